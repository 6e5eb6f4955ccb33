"""Penalties and optimizers on sharded weights: the same numbers, layouts kept, small messages."""

import json
import pathlib
import subprocess
import sys

import pytest

PROGRAM = pathlib.Path(__file__).parent / "sharded_problems.py"


@pytest.mark.parametrize(
    ("which", "least"), [("few", 5), pytest.param("all", 200, marks=pytest.mark.slow)]
)
def test_sharded_weights_give_the_same_numbers_and_gather_no_leaf(which, least):
    command = [sys.executable, str(PROGRAM), which]
    run = subprocess.run(command, cwd=PROGRAM.parents[1], stdout=subprocess.PIPE, check=True)
    rows = json.loads(run.stdout)
    assert len(rows) >= least
    assert {name: wrong for name, wrong in rows if wrong} == {}
