"""Files of all kinds: a table, or one clear error; in process and through the command line."""

import contextlib
import json
import warnings

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regjax import fits
from regjax.cli import main
from regjax.paths import ConvergenceWarning
from regjax.sweeps import load_table
from regjax.tables import Encoding, ReadOptions, TableError, read_cells

NUMBERS = ["0", "1", "-2", "3.5", "1e-3", "7", "12", "-0.0", "+4", "100000"]
WIDE = ["1e308", "-1e308", "1e200", "1e-320", "1e154", "9" * 25, "-9223372036854775809", "1e999"]
GAPS = ["", "NA", "nan", "NaN", "null", "?", "inf", "-inf", "Infinity"]
TEXTS = ["x", "y", "z", "true", "false", "é", "٣", "2020-01-01", "12:30", "0x10", "1_000", " 1"]
QUOTED = ['"a,b"', '"a""b"', '"a\nb"', '"', '""', "'", '"1"', '"1,5"', "\\", "#", "\ufeff", "a\tb"]
FORMATTED = [
    "5%",
    "12 %",
    "-€2.73",
    "3 kg",
    '"6,000"',
    '"1,5"',
    "1'000",
    "1.000.000",
    "007",
    "9" * 400,
]
KINDS = [NUMBERS] * 8 + [NUMBERS + WIDE] * 2 + [TEXTS, TEXTS[:2], NUMBERS + TEXTS, TEXTS + QUOTED]
KINDS += [FORMATTED, FORMATTED[:1], NUMBERS + FORMATTED]
NAMES = [
    "a",
    "b",
    "c",
    "y",
    "",
    " ",
    "a=x",
    "(intercept)",
    "a_duplicated_0",
    '"q,r"',
    "é",
    "1",
    "y",
]
ENCODINGS = ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-32", "cp1252"]


@st.composite
def csv_files(draw):
    """Return the bytes of a small CSV file; at most one thing is wrong with its form."""
    fault = draw(st.sampled_from([None] * 6 + ["names", "ragged", "gaps", "form", "short"]))
    n_columns = draw(st.integers(1 if fault == "short" else 2, 5))
    n_rows = draw(st.integers(0 if fault == "short" else 4, 14))
    names = [f"c{j}" for j in range(n_columns)]
    if fault == "names":
        names = draw(st.lists(st.sampled_from(NAMES), min_size=n_columns, max_size=n_columns))
    columns = []
    for _ in range(n_columns):
        pool = draw(st.sampled_from(KINDS)) + (GAPS if fault == "gaps" else [])
        pool = draw(st.sampled_from([pool] * 6 + [pool[:1], [f"k{i}" for i in range(14)]]))
        if n_rows and draw(st.booleans()):
            columns.append(draw(st.permutations([str(i * i) for i in range(n_rows)])))
            continue
        columns.append(draw(st.lists(st.sampled_from(pool), min_size=n_rows, max_size=n_rows)))
    rows = [list(row) for row in zip(*columns, strict=True)]
    if fault == "ragged":
        row = draw(st.sampled_from(rows))
        row[:] = draw(st.sampled_from([row[:-1], [*row, "1"], []]))
    separator, encoding, tail = ",", "utf-8", "\n"
    end = draw(st.sampled_from(["\n"] * 4 + ["\r\n", "\r"]))
    if fault == "form":
        separator = draw(st.sampled_from([",", ",", ";", "\t", "|", " , "]))
        encoding = draw(st.sampled_from(ENCODINGS))
        tail = draw(st.sampled_from(["", "\n\n", "\0"]))
    text = end.join(separator.join(row) for row in [names, *rows]) + tail
    return text.encode(encoding, errors="replace")


FILES = st.one_of(
    *[csv_files()] * 8,
    st.binary(max_size=60),
    st.text("ab1,.\n\r\"'-\t; é", max_size=60).map(str.encode),
)
TASKS = st.sampled_from([None, None, "regression", "classification"])
OPTIONS = st.builds(
    ReadOptions,
    separator=st.sampled_from([None, None, ",", ";", "x"]),
    thousands=st.sampled_from([None, None, "'", "space"]),
    decimal=st.sampled_from([None, None, ".", ","]),
    units=st.sampled_from([(), (), ("%",), ("kg", "€")]),
    encoding=st.sampled_from([None, None, None, "latin-1", "utf-16-le", "cp1252", "ascii"]),
    drop_missing=st.booleans(),
)
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def check_file(path, content, task, options=None):
    """Read, encode and fit; whatever is refused says so in one sentence of its own."""
    path.write_bytes(content)
    try:
        cells = read_cells(path, options)
        table = load_table(path, cells.columns[-1], task=task, read_options=options)
        again = Encoding.from_json(json.loads(json.dumps(table.encoding.to_json())))
        frame = cells.filter(pl.Series(again.complete(cells))) if options else cells
    except TableError as error:
        if len(str(error)) > 2000:
            raise
        return
    assert np.isfinite(table.X).all()
    assert table.X.shape == (len(table.y), len(table.encoding.feature_names))
    if len(frame) == len(table.y):
        # Rows may have been left out for the target alone.
        np.testing.assert_array_equal(again.encode(frame), table.X)
    if table.encoding.task == "classification":
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        with contextlib.suppress(TableError):
            fit = fits.cross_validate(table, folds=2, n_lambdas=5)
            for model in fit.fitted.values():
                assert np.isfinite(model.predict(table.X)).all()
            assert np.isfinite(fit.errors()["mean_error"].to_numpy()).all()


@settings(deadline=None, max_examples=120, suppress_health_check=QUIET)
@given(content=FILES, task=TASKS)
def test_any_file_gives_a_fit_or_one_clear_error(content, task, tmp_path):
    check_file(tmp_path / "t.csv", content, task)


@pytest.mark.slow
@settings(deadline=None, max_examples=1000, suppress_health_check=QUIET)
@given(content=FILES, task=TASKS, options=st.none() | OPTIONS)
def test_thousands_of_files_give_a_fit_or_one_clear_error(content, task, options, tmp_path):
    check_file(tmp_path / "t.csv", content, task, options)


def invoke(*arguments):
    """Run the command; return its exit code and output after checks that hold for all of them."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 2), result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error:")]
    assert len(errors) == (result.exit_code == 2), result.output
    return result


def last_column(content):
    header = content.decode("utf-8", errors="replace").replace("\r", "\n").split("\n")[0]
    return header.split(",")[-1].strip('"') or "y"


COMMANDS = {
    "cv": ("--folds", "2", "--n-lambdas", "4", "--no-figures"),
    "path": ("--n-lambdas", "4", "--no-figures"),
}


@settings(deadline=None, max_examples=30, suppress_health_check=QUIET)
@given(content=FILES, command=st.sampled_from(sorted(COMMANDS)))
def test_the_command_fits_any_file_or_ends_with_one_line(content, command, tmp_path):
    (tmp_path / "t.csv").write_bytes(content)
    # After two dashes, since names may begin with one.
    target = f"--target={last_column(content)}"
    where = ("--out", tmp_path / "run", "--overwrite")
    invoke(command, tmp_path / "t.csv", target, *where, *COMMANDS[command])


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"c0": rng.normal(size=20), "c1": ["x", "y", "z", "x"] * 5})
    frame = frame.with_columns(c2=frame["c0"] * 2 + rng.normal(size=20))
    folder = tmp_path_factory.mktemp("fuzz")
    fits.save_fit(fits.cross_validate(fits.open_data(frame, "c2")), folder / "run")
    return folder / "run"


@settings(deadline=None, max_examples=30, suppress_health_check=QUIET)
@given(content=FILES)
def test_predictions_of_any_file_are_finite_or_end_with_one_line(content, run_folder, tmp_path):
    (tmp_path / "t.csv").write_bytes(content)
    done = invoke("predict", run_folder, tmp_path / "t.csv")
    if done.exit_code == 0:
        assert np.isfinite([float(line) for line in done.output.splitlines()[1:]]).all()


PARQUET = pl.DataFrame(
    {
        "c0": np.linspace(0, 1, 60) ** 2,
        "c1": ["x", "y", "z"] * 20,
        "c2": np.sin(np.arange(60.0)),
    }
)


@settings(deadline=None, max_examples=40, suppress_health_check=QUIET)
@given(
    spots=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=4),
    cut=st.none() | st.integers(0),
    command=st.sampled_from(["cv", "path", "predict"]),
    as_folder=st.booleans(),
)
def test_a_torn_parquet_file_is_used_or_ends_with_one_line(
    spots, cut, command, as_folder, run_folder, tmp_path
):
    file = tmp_path / "parts" / "t.parquet"
    file.parent.mkdir(exist_ok=True)
    PARQUET.write_parquet(file, row_group_size=20)
    content = bytearray(file.read_bytes())
    for place, value in spots:
        content[place % len(content)] = value
    file.write_bytes(content if cut is None else content[: cut % len(content)])
    data = file.parent if as_folder else file
    if command == "predict":
        invoke("predict", run_folder, data)
        return
    where = ("--target", "c2", "--out", tmp_path / "run", "--overwrite")
    invoke(command, data, *where, *COMMANDS[command])
