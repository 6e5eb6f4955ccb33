"""The pages of `docs` keep their word: what they show runs, and comes to what they say."""

import pathlib
import re

import pytest

DOCS = pathlib.Path(__file__).parents[1] / "docs"


def run_blocks(page):
    """Run all Python of a page and return its names."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL):
        exec(block, names)
    return names


@pytest.mark.slow
def test_lambdas_by_gradient_descent(capsys):
    names = run_blocks("derivatives.md")
    assert capsys.readouterr().out == "6.24 -> 4.00\n"
    log_lambdas = names["log_lambdas"]
    # Of columns that matter lambda is weak; without a coefficient it never moved.
    assert log_lambdas[1:5].max() < -2.5
    assert (log_lambdas[5:] == -1.0).sum() > 20
