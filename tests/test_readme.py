"""The README keeps its word: its Python runs, its map is complete, its links lead somewhere."""

import pathlib
import re

import jax.numpy as jnp
import numpy as np
import pytest

import regjax

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_python_blocks_run(number):
    # An ellipsis stands for the reader's own code.
    code = BLOCKS[number].replace("    ...\n", "    return hyperparameters\n")
    names = {"params": {"decoder": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}}
    lines = [line for line in code.splitlines() if "masks.embeddings" not in line]
    exec("\n".join(lines), names)
    if "result" in names:
        assert names["result"].best()["lasso"].lambda_ > 0
    if "path" in names:
        assert names["path"].duality_gap.max() <= 1e-6
        assert names["found"].coef_1se.argmax() == 0
    if "run" in names:
        assert len(names["run"].table) == 90
        assert names["run"].best().hyperparameters["learning_rate"] == 0.1
        assert names["run"].best().hyperparameters["lambda_"] <= 1e-3


def test_values_in_the_comments_are_right():
    w = jnp.array([1.0, -2.0, 3.0])
    np.testing.assert_allclose(regjax.l1_prox(w, 0.5, step_size=2.0), [0.0, -1.0, 2.0])
    assert "[0., -1., 2.]" in BLOCKS[0]


def test_the_ten_lines_are_ten():
    statements = [line for line in BLOCKS[0].splitlines() if line and "import" not in line]
    assert len(statements) <= 10


def test_every_room_is_on_the_map():
    rooms = {
        path.stem
        for path in (ROOT / "regjax").iterdir()
        if not path.stem.startswith("_") and (path.is_dir() or path.suffix == ".py")
    } - {"py"}
    assert {room for room in rooms if f"| `regjax.{room}` |" not in README} == set()


def test_every_conversion_is_in_the_table_of_lambdas():
    functions = {name for name in dir(regjax.conventions) if name.startswith("from_")}
    assert {name for name in functions if f"`{name}`" not in README} == set()


def test_links_and_figures_exist():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
    assert "make demo" in README
    assert "make test" in README
