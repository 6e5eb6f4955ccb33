"""The README keeps its word: its Python runs, its map is complete, its links lead somewhere."""

import itertools
import pathlib
import re
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import regjax

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
# Every block of Python, with the paragraph above it, which names the extra that it needs.
FOUND = re.findall(r"([^\n]*(?:\n[^\n]+)*)\n\n```python\n(.*?)```", README, flags=re.DOTALL)
BLOCKS = [code for _, code in FOUND]
EXTRAS = ["".join(re.findall(r"extra `(\w+)`", above)) for above, _ in FOUND]

# What comes with each extra; whatever else is installed is hidden from the blocks.
PACKAGES = {
    "": set(),
    "plots": {"matplotlib"},
    "sklearn": {"sklearn", "joblib", "threadpoolctl"},
    "sweep": {"click", "equinox", "matplotlib", "polars", "rich", "safetensors", "sklearn"}
    | {"joblib", "threadpoolctl"},
}
OTHERS = {"flax", "haiku", "ipykernel", "numpyro", "pandas", "pyarrow", "ray", "torch"}
HIDDEN = set().union(OTHERS, *PACKAGES.values())

# Finds all that is installed but what is hidden.
FINDER = """
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in hidden else super().find_spec(name, path, target)

sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Finder]
"""

# What the blocks must come to, by a name that they set.
CHECKS = {
    "result": "assert result.best()['lasso'].lambda_ > 0",
    "found": "assert path.duality_gap.max() <= 1e-6 and found.coef_1se.argmax() == 0",
    "run": "assert len(run.table) == 90 and run.best().hyperparameters['learning_rate'] == 0.1\n"
    "assert run.best().hyperparameters['lambda_'] <= 1e-3",
}


@pytest.mark.slow
def test_blocks_run_as_they_stand_with_the_extra_named_above_them_alone():
    # In one process: what an extra brings is there for those that bring all of it and more.
    order = sorted(set(EXTRAS), key=lambda extra: len(PACKAGES[extra]))
    assert all(PACKAGES[a] <= PACKAGES[b] for a, b in itertools.pairwise(order))
    code = [FINDER]
    for extra in order:
        code.append(f"hidden = {HIDDEN - PACKAGES[extra]}")
        for block in [block for block, needs in zip(BLOCKS, EXTRAS, strict=True) if needs == extra]:
            checks = [line for name, line in CHECKS.items() if f"\n{name} = " in block]
            code.append(f"exec({block!r}, names := {{}})")
            code += [f"exec({line!r}, names)" for line in checks]
    script = "\n".join(code)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_block_is_found_and_every_check_is_made():
    assert len(BLOCKS) == README.count("```python")
    assert set(EXTRAS) <= set(PACKAGES)
    assert all(sum(f"\n{name} = " in block for block in BLOCKS) == 1 for name in CHECKS)


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
