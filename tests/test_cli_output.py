"""What commands print: after it is saved, never cut, and names as nothing but names."""

import ast
import contextlib
import errno
import importlib
import io
import os
import pathlib
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from rich.cells import cell_len

import regjax.cli
from regjax.cli import _command, main
from regjax.cli._output import Table, console, print_table, say, write_data

CLI = pathlib.Path(regjax.cli.__file__).parent

TRAIN = """
def train(hp, key):
    return {"loss[val]": hp["x"], "loss[train]": 2 * hp["x"], "[/acc]": 1.0, "\\x1b[2Jm": hp["x"]}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=40) for name in ("[red]a", "b\x1b[31m", "c$d$e", "=f|g")}
    y = columns["[red]a"] + columns["b\x1b[31m"] + 0.1 * rng.normal(size=40)
    pl.DataFrame({**columns, "y\x1b[0m": y}).write_csv(tmp_path / "t.csv")
    (tmp_path / "names.py").write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "_exit", sys.exit)
    yield tmp_path
    sys.modules.pop("names", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]


class Broken(io.TextIOWrapper):
    """Standard output that fails from its first character on."""

    def __init__(self, failure):
        super().__init__(io.BytesIO(), encoding="utf-8")
        self.failure = failure

    def write(self, text):
        raise self.failure


def run(*arguments, stdout):
    """Return the exit code of a command, and what it wrote to standard error."""
    errors = io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(errors):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as error:
            return error.code, errors.getvalue()
    raise AssertionError("a command ends the process")


def printed(*arguments, encoding="utf-8"):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    code, errors = run(*arguments, stdout=stream)
    stream.flush()
    return code, stream.buffer.getvalue().decode(encoding), errors


TARGET = ("--target", "y\x1b[0m")
QUICK = ("--n-lambdas", "5", "--no-figures")
SWEEP = ("names.py:train", "--set", "x=1,2", "--seeds", "2", "--metric", "loss[val]")
COMMANDS = {
    "cv": (["cv", "t.csv", *TARGET, *QUICK], "runs/t-cv/cv.csv"),
    "path": (["path", "t.csv", *TARGET, *QUICK], "runs/t-path/strengths.csv"),
    "sweep": (
        ["sweep", "t.csv", *TARGET, "--models=ridge", "--lambdas=0.1", "--no-figures"],
        "runs/t/results.csv",
    ),
    "train": (["sweep", *SWEEP], "runs/train/results.csv"),
    "merge": (["sweep", "merge", "parts"], "parts/results.csv"),
    "predict": (["predict", "runs/t-cv", "t.csv", "--out", "p.csv"], "p.csv"),
}


def prepare(case):
    if case == "predict":
        assert printed("cv", "t.csv", *TARGET, *QUICK)[0] == 0
    if case == "merge":
        for i in (1, 2):
            assert printed("sweep", *SWEEP, "--shard", f"{i}/2", "--out", "parts")[0] == 0


FAILURES = {
    "closed pipe": (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
    "full disk": (OSError(errno.ENOSPC, "No space left on device"), 1, "No space left"),
}


@pytest.mark.parametrize(
    ("case", "failure"), [*((case, "closed pipe") for case in COMMANDS), ("cv", "full disk")]
)
def test_output_that_fails_costs_the_output_alone(case, failure, folder):
    arguments, file = COMMANDS[case]
    prepare(case)
    error, expected, message = FAILURES[failure]
    code, errors = run(*arguments, stdout=Broken(error))
    assert code == expected, errors
    assert message in errors
    assert bool(errors) == bool(message)
    assert pathlib.Path(file).exists()


@pytest.mark.parametrize("case", COMMANDS, ids=str)
def test_an_interrupt_while_results_are_printed_costs_none(case, folder, monkeypatch):
    arguments, file = COMMANDS[case]
    prepare(case)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    file_of = {"train": "_outcome", "merge": "_outcome"}.get(case, case)
    module = importlib.import_module(f"regjax.cli.{file_of}")
    monkeypatch.setattr(module, "say" if case == "predict" else "print_table", interrupted)
    code, errors = run(*arguments, stdout=io.StringIO())
    assert code == 130
    place = pathlib.Path(file) if case == "predict" else pathlib.Path(file).parent
    assert errors == f"Interrupted: results are in {place}.\n"
    assert pathlib.Path(file).exists()


@pytest.mark.parametrize(
    ("case", "encoding"),
    [*((case, "ascii") for case in COMMANDS), ("cv", "utf-8"), ("train", "utf-8")],
)
def test_any_encoding_shows_names_and_nothing_acts_on_the_terminal(case, encoding, folder):
    arguments, file = COMMANDS[case]
    prepare(case)
    code, output, errors = printed(*arguments, encoding=encoding)
    assert (code, errors) == (0, "")
    assert pathlib.Path(file).exists()
    assert output.replace("\n", "").isprintable()
    shown = ["[red]a", r"b\x1b[31m"] if case in ("cv", "path") else []
    if case in ("train", "merge"):
        shown = ["loss[val]", "loss[train]", "[/acc]", r"\x1b[2Jm"]
    for name in shown:
        assert name in output, name


def test_predictions_in_a_pipe_are_data_and_in_a_terminal_text(folder, monkeypatch):
    prepare("predict")
    code, output, _ = printed("predict", "runs/t-cv", "t.csv", encoding="ascii")
    assert code == 0
    assert output.startswith("y\x1b[0m\n")
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", stream)
    write_data("y\x1b[0m,z\n1,2\n")
    assert stream.getvalue() == "y\\x1b[0m,z\n1,2\n"


def test_head_reads_one_line_and_the_run_is_there(folder):
    code = "from regjax.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *COMMANDS["cv"][0]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait() == 141
    assert errors == b""
    assert pathlib.Path("runs/t-cv/choices.csv").exists()


# --- tables ---

LETTERS = ["a", "Z", "_", " ", "[red]", "[/]", "\x1b[31m", "\n", "é", "面", "$", "…", "\u202e"]


def random_name(rng, most=12):
    return "n" + "".join(rng.choice(LETTERS, rng.integers(0, most)))


def random_number(rng):
    value = rng.choice([-1, 1]) * 10.0 ** rng.integers(-300, 300)
    return format(value * rng.uniform(1, 10), rng.choice([".4g", ".3g", ".6g"]))


@pytest.mark.parametrize("n_columns", [1, 3, 8])
def test_tables_of_any_width_cut_no_number_and_no_verdict(n_columns, capsys, monkeypatch):
    rng = np.random.default_rng(n_columns)
    for width in range(20, 201, 6):
        monkeypatch.setattr(console, "_width", width)
        table = Table("Results", ("feature", *(random_name(rng) for _ in range(n_columns)), "fit"))
        for i in range(4):
            numbers = [random_number(rng) for _ in range(n_columns)]
            table.add_row(random_name(rng), *numbers, "underfitting", chosen=i == 2)
        print_table(table)
        lines = capsys.readouterr().out.splitlines()
        words = [(word, cell_len(line) <= width) for line in lines for word in line.split()]
        for row, _ in table.rows:
            for cell in row[1:]:
                assert (cell, True) in words, (width, cell)
        assert all(line.isprintable() for line in lines)
        assert "[red]" not in table.rows[0][0] or any("[red]" in line for line in lines)


@pytest.mark.parametrize("width", [20, 40, 80])
def test_lines_break_between_words_alone(width, capsys, monkeypatch):
    monkeypatch.setattr(console, "_width", width)
    text = "Note: the least error is at lambda = 0.000012345678, in runs/of/a-very/long_folder."
    say(text)
    assert capsys.readouterr().out.split() == text.split()


# --- one way out ---


def test_all_that_is_printed_goes_one_way():
    allowed = {"_output.py", "_stdout.py"}
    for file in set(CLI.glob("*.py")) - {CLI / name for name in allowed}:
        for node in ast.walk(ast.parse(file.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in ("print", "click.echo", "click.secho", "console.print"), file
            assert not called.startswith(("sys.stdout", "sys.stderr")), file


def test_a_fault_is_one_line_whatever_its_text(folder):
    @main.command("raise-it")
    def raises():
        raise fault

    try:
        for fault, code, words in (  # noqa: B007
            (ValueError("bad \x1b[31m\n  name"), 2, r"bad \x1b[31m name"),
            (ValueError("x" * 10**6), 2, "xxx"),
            (ModuleNotFoundError("install regjax[plots]"), 2, "regjax[plots]"),
            (MemoryError(), 2, "MemoryError"),
            (KeyError("lost"), 1, "KeyError: 'lost' (unexpected"),
        ):
            found, output, errors = printed("raise-it")
            assert (found, output) == (code, "")
            assert words in errors
            assert errors.startswith("Error: ")
            assert errors.count("\n") == 1
            assert len(errors) < 520
    finally:
        del main.commands["raise-it"]


def test_what_fails_in_a_figure_costs_the_figures_alone(folder, monkeypatch):
    def fails(*arguments, **keywords):
        raise RuntimeError("no canvas")

    monkeypatch.setattr("regjax.plots.plot_path", fails)
    code, output, errors = printed("cv", "t.csv", *TARGET, "--n-lambdas", "5")
    assert (code, errors) == (0, "")
    assert "Note: the figures cannot be drawn: RuntimeError: no canvas" in output
    assert pathlib.Path("runs/t-cv/cv.csv").exists()


def test_without_figures_none_are_announced(folder):
    for case in ("cv", "path", "sweep"):
        code, output, _ = printed(*COMMANDS[case][0])
        assert code == 0
        assert "Tables, models, manifest: runs/t" in output


def test_one_of_a_thing_is_not_several(folder):
    pl.DataFrame({"x": [1.0, 2.0, 4.0], "y": [1.0, 2.0, 3.5]}).write_csv("one.csv")
    _, output, _ = printed("path", "one.csv", "--target", "y", *QUICK)
    assert "3 rows, 1 feature; regression" in output
    _, output, _ = printed("sweep", "names.py:train", "--set", "x=1")
    assert "1 lane in 1 program, to" in output
    assert _command.main is main
