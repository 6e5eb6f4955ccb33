"""Whatever stands in an argument: exit code 0 or 2, and one line that says what is wanted."""

import re
import sys

import click
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from regjax.cli import main
from regjax.cli._dispatch import _FORMS

TRAIN = """
def train(hp, key, **choices):
    return {"loss": hp["x"] * 1.0}
"""


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arguments")
    rng = np.random.default_rng(0)
    area = rng.uniform(40, 200, 30)
    town = rng.choice(["a", "b", "c"], 30)
    frame = pl.DataFrame({"area": area, "town": town, "price": 3 * area + rng.normal(size=30)})
    frame.write_csv(folder / "t.csv")
    (folder / "fn.py").write_text(TRAIN)
    (folder / "empty").mkdir()
    (folder / "loop.csv").symlink_to("loop.csv")
    yield folder
    sys.modules.pop("fn", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(folder)]


@pytest.fixture
def folder(module_folder, monkeypatch):
    monkeypatch.chdir(module_folder)
    return module_folder


def refusal(*arguments):
    """Return the message of a command that refuses its arguments, or None."""
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    # With 1 ends a sweep that ran, and failed or diverged.
    assert done.exit_code in (0, 1, 2), (arguments, done.output)
    assert "(unexpected" not in done.output, (arguments, done.output)
    assert "\x1b" not in done.output
    if done.exit_code == 0:
        return None
    errors = [line for line in done.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, done.output
    assert len("Error: ") < len(errors[0]) <= len("Error: ") + 500
    return errors[0].removeprefix("Error: ")


CV = ("cv", "t.csv", "--target", "price", "--n-lambdas", "4", "--no-figures")
SWEEP = ("sweep", "t.csv", "--target", "price", "--no-figures")
FUNCTION = ("sweep", "fn.py:train", "--set", "x=1")

REFUSED = {
    "whole": ((*CV, "--folds", "2.5"), "--folds must be a whole number, got '2.5'."),
    "folds": ((*CV, "--folds", "1"), "--folds must be at least 2, got '1'."),
    "many folds": ((*CV, "--folds", "31"), "between 2 and the number of rows, 30; got 31"),
    "repeats": ((*CV, "--repeats", "999999999999"), "--repeats must be at most 10000, got"),
    "seed": ((*CV, "--seed", "9" * 400), "--seed must be at most .*99'... .400 characters"),
    "digits": ((*CV, "--seed", "9" * 5000), "--seed must be a whole number, got .*5,000 char"),
    "share": ((*CV, "--l1-ratio", "nan"), "--l1-ratio takes numbers as in 0.1,0.5,1, got 'nan'"),
    "shares": ((*CV, "--l1-ratio", "0.5,2"), "between 0 and 1, got '0.5,2'"),
    "ratio": ((*SWEEP, "--l1-ratio", "inf"), "--l1-ratio must be a number between 0 and 1"),
    "validation": ((*SWEEP, "--validation", "1"), "--validation .* 0 and 1, both left out, got"),
    "epochs": ((*SWEEP, "--epochs", "-3"), "--epochs must be at least 1, got '-3'."),
    "batch": ((*SWEEP, "--batch-size", ""), "--batch-size must be a whole number, got ''."),
    "hidden": ((*SWEEP, "--hidden", "1" * 20), "--hidden must be at most 1000000, got"),
    "seeds": ((*SWEEP, "--seeds", "1000000000"), "--seeds must be at most 10000, got"),
    "workers": ((*SWEEP, "--workers", "0"), "--workers must be at least 1, got '0'."),
    "lambdas": ((*CV, "--lambdas", "1,x"), "--lambdas: '1,x' is no grid: write 0.01,0.1,1"),
    "rate": ((*SWEEP, "--learning-rate", "0:1:3"), "--learning-rate: A range .*0 < low < high"),
    "model": ((*SWEEP, "--models", "laso"), "no model 'laso'.* Did you mean 'lasso'"),
    "column": ((*CV, "--drop", "twon"), "no column 'twon'; the table has .* Did you mean 'town'"),
    "data set": (("cv", "diabets"), "no file 'diabets'. Did you mean 'diabetes'"),
    "empty path": ((*CV, "--out", ""), "--out must name a file or folder, got ''."),
    "root": ((*CV, "--out", "/"), "--out must name a file or folder below the root"),
    "blank path": (("predict", " ", "t.csv"), "RUN must name a file or folder, got ' '."),
    "loop": (("cv", "loop.csv", "--target", "y"), "DATA must not be a loop of symbolic links"),
    "long path": (("cv", "x" * 300, "--target", "y"), "DATA must have a shorter name, got .*300"),
    "long name": ((*CV, "--out", "y" * 240), "at most 200 bytes: name another with --out"),
    "long name of a sweep": ((*FUNCTION, "--out", "y" * 240), "at most 200 bytes"),
    "not UTF-8": ((*CV, "--drop", "a\udcff"), r"--drop 'a\\udcff' is not UTF-8"),
    "not UTF-8 path": (("cv", "a\udcff.csv"), r"'a\\udcff.csv' is not UTF-8"),
    "escape": ((*CV, "--drop", "\x1b[31m"), r"no column '\\x1b\[31m'; the table has 'area'"),
    "option": (("cv", "--drip\x1b[31m", "x"), r"No such option .*--drip\\x1b"),
    "command": (("cvv\n", "x"), r"No such command .*cvv\\n"),
    "choice": ((*CV, "--choose", "z" * 10**5), "--choose.*zzz.*one of .*'one_standard_error'"),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_the_first_line_names_the_option_what_is_wanted_and_what_it_got(case, folder):
    arguments, message = REFUSED[case]
    assert re.search(message, refusal(*arguments) or "")


# --- every option of every command ---

VALUES = {
    "empty": "",
    "blank": " ",
    "negative": "-1",
    "huge": "999999999999",
    "400 digits": "9" * 400,
    "5000 digits": "9" * 5000,
    "minus 400 digits": "-" + "9" * 400,
    "fraction": "1.5",
    "NaN": "nan",
    "infinity": "inf",
    "1e400": "1e400",
    "1e-320": "1e-320",
    "superscript": "²",
    "other digits": "٣",
    "long name": ((*CV, "--out", "y" * 240), "at most 200 bytes: name another with --out"),
    "long name of a sweep": ((*FUNCTION, "--out", "y" * 240), "at most 200 bytes"),
    "not UTF-8": "a\udcff",
    "NUL": "a\0b",
    "control": "\x1b[31m\n\t",
    "root": "/",
    "loop": "loop.csv",
    "folder": "empty",
    "file": "t.csv",
    "below a file": "t.csv/x",
    "device": "/dev/null",
    "250 letters": "y" * 250,
    "300 letters": "x" * 300,
    "long": "x" * 10**5,
    "markup": "[red][/x]",
    "unknown": "nosuch",
    "comma": ",",
    "colon": ":",
    "range": "1:2:inf",
    "long range": "1:2:999999999999",
    "fractional range": "1e-3:1:1e9",
    "draw": "log:0.1:1",
    "part": "1/" + "9" * 30,
    "size": "9" * 400 + "GB",
    "dashes": "--",
    "setting": "x=1:2:inf",
    "setting of 400 digits": "x=" + "9" * 400,
    "seeds": "seed=" + "9" * 400,
    "wide draw": "x=int:0:" + "9" * 400,
}
COMMANDS = {
    "cv": (main.commands["cv"], CV, ("t.csv",)),
    "path": (main.commands["path"], ("path", *CV[1:]), ("t.csv",)),
    "sweep": (
        _FORMS["[DATA]"],
        (*SWEEP, "--models", "ridge", "--lambdas", "0.1", "--seeds", "2"),
        ("t.csv",),
    ),
    "train": (_FORMS["FILE.py:NAME"], FUNCTION, ("fn.py:train",)),
    "merge": (_FORMS["merge DIR"], ("sweep", "merge", "parts"), ("parts",)),
    "predict": (main.commands["predict"], ("predict", "run", "t.csv"), ("run", "t.csv")),
}


def with_value(arguments, option, value):
    """Return arguments with a value in the place of a positional one, or for an option."""
    if option in arguments and not option.startswith("--"):
        return [value if word == option else word for word in arguments]
    return [*arguments, option, value]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_no_value_of_any_option_ends_in_a_traceback(command, folder, tmp_path, monkeypatch):
    described, arguments, positional = COMMANDS[command]
    takes_value = [
        max(option.opts, key=len)
        for option in described.params
        if isinstance(option, click.Option) and not option.is_flag
    ]
    monkeypatch.chdir(tmp_path)
    for name in ("t.csv", "fn.py", "empty", "loop.csv"):
        (tmp_path / name).symlink_to(folder / name)
    for option in (*positional, *takes_value):
        for value in VALUES.values():
            out = [] if option == "--out" or command in ("merge", "predict") else ["--overwrite"]
            refusal(*with_value(arguments, option, value), *out)
