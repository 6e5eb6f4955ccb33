"""A row's features and prediction depend on that row alone, wherever it is read from."""

import contextlib

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import regjax
from regjax import fits, sweeps
from regjax.cli import main
from regjax.tables import ReadOptions, TableError, encode_table, open_parquet, read_cells

POOLS = {
    "numbers": ["0", "1", "-2", "3.5", "1e-3", "+4", "100000", "007", ".5", "2."],
    "whole numbers": ["0", "1", "2", "12", "-7"],
    "departments": ["01", "02", "1", "2A", "2B", "75"],
    "decimals as text": ["1", "1.0", "01.0", "1e0", "one"],
    "truths": ["true", "false"],
    "loud truths": ["TRUE", "False", "true"],
    "truths and more": ["TRUE", "false", "maybe", "1", "0"],
    "days": ["2020-01-01", "2020-01-02", "new"],
    "versions": ["1.2", "1.10", "1.2.3", "2.0.0"],
    "percent": ["5%", "12%", "55%", "5"],
    "kilograms": ["5 kg", "12 kg"],
    "blanks": ["a", " a", "a b", "b ", "é"],
    "gaps": ["x", "NA", "y", "null"],
    "quotes": ["a,b", 'a"b', "a;b", "a\nb", "'"],
}
OPTIONS = [
    ReadOptions(),
    ReadOptions(),
    ReadOptions(units=["%", "kg"]),
    ReadOptions(categorical=["c0"]),
    ReadOptions(drop_missing=True),
]
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]


@st.composite
def tables(draw):
    """Return columns of texts, a subset of the rows, and an order of the columns."""
    n_rows, n_columns = draw(st.integers(8, 24)), draw(st.integers(1, 4))
    columns = {}
    for j in range(n_columns):
        pool = POOLS[draw(st.sampled_from(sorted(POOLS)))]
        cells = st.lists(st.sampled_from(pool), min_size=n_rows, max_size=n_rows)
        columns[f"c{j}"] = draw(cells)
    rows = draw(st.lists(st.integers(0, n_rows - 1), min_size=1, max_size=5))
    return columns, rows, draw(st.permutations(list(columns)))


def sources(frame, folder):
    """Yield a data frame in every form in which its rows may come."""
    yield frame
    frame.write_parquet(folder / "rows.parquet")
    yield read_cells(folder / "rows.parquet")
    with contextlib.suppress(ModuleNotFoundError):
        yield frame.to_arrow()
        yield frame.to_pandas()


def check_rows(columns, rows, order, options, from_file, folder):
    """Train on all rows; any of them, in any order and from anywhere, have the same features."""
    y = np.sin(np.arange(len(columns["c0"]))).round(6)
    texts = pl.DataFrame({**columns, "y": y})
    texts.write_csv(folder / "all.csv")
    given_options = (
        options
        if from_file
        else ReadOptions(categorical=options.categorical, drop_missing=options.drop_missing)
    )
    try:
        data = folder / "all.csv" if from_file else texts
        table = sweeps.load_table(data, "y", task="regression", read_options=given_options)
    except TableError:
        assume(False)
    encoding = table.encoding
    expected = {}
    for i in range(texts.height):
        with contextlib.suppress(TableError):
            expected[i] = encoding.encode(texts[[i]])[0]
    # Rows that training left out are refused alone, and the others are those of the training.
    np.testing.assert_array_equal(np.reshape(list(expected.values()), table.X.shape), table.X)
    rows = [i for i in rows if i in expected]
    assume(rows)
    subset = texts[rows].select(order)
    found = np.array([expected[i] for i in rows])
    for frame in sources(subset, folder):
        np.testing.assert_array_equal(encoding.encode(frame), found)
    subset.write_csv(folder / "rows.csv")
    new = read_cells(folder / "rows.csv", encoding.read_options)
    np.testing.assert_array_equal(encoding.encode(new), found)


CASES = {
    "case": tables(),
    "options": st.sampled_from(OPTIONS),
    "from_file": st.booleans(),
}


@settings(deadline=None, max_examples=20, suppress_health_check=QUIET)
@given(**CASES)
def test_features_of_a_row_depend_on_that_row_alone(case, options, from_file, tmp_path):
    check_rows(*case, options, from_file, tmp_path)


@pytest.mark.slow
@settings(deadline=None, max_examples=250, suppress_health_check=QUIET)
@given(**CASES)
def test_features_of_rows_in_thousands_of_tables(case, options, from_file, tmp_path):
    check_rows(*case, options, from_file, tmp_path)


def typed_columns():
    """Return columns of every type, as they come from a frame that somebody typed."""
    rng = np.random.default_rng(0)
    return {
        "whole": rng.integers(-5, 5, 40),
        "number": rng.normal(size=40),
        "truth": rng.random(40) < 0.5,
        "text": rng.choice(["01", "1", "TRUE", "x"], 40),
        "code": rng.integers(0, 3, 40),
        "y": rng.normal(size=40),
    }


@pytest.mark.parametrize("n", [1, 7])
def test_typed_rows_are_the_same_from_everywhere(n, tmp_path):
    frame = pl.DataFrame(typed_columns())
    table = encode_table(frame, "y", read_options=ReadOptions(categorical=["code"]))
    for start in range(0, 40 - n, 3):
        rows = frame[start : start + n].drop("y")
        rows.write_csv(tmp_path / "rows.csv")
        forms = [*sources(rows, tmp_path), read_cells(tmp_path / "rows.csv")]
        for form in forms:
            np.testing.assert_array_equal(table.encoding.encode(form), table.X[start : start + n])


TYPES = {
    "numbers for text": ("text", [1], "'text' holds Int64, where the model takes text .* '01'"),
    "truths for text": ("text", [True], "'text' holds Boolean, where .* 'TRUE'"),
    "a word for a number": ("number", ["4", "x"], "'number' holds 'x' in data row 2, .* numbers"),
    "a truth for a number": ("number", ["true"], "'number' holds 'true' in data row 1"),
    "a number for a truth": ("truth", [1, 0, 2], "'truth' holds 2 in data row 3, .* booleans"),
    "a word for a truth": ("truth", ["TRUE", "1", "yes"], "'truth' holds 'yes' in data row 3"),
    "a new level": ("text", ["x", "y"], "'text' holds 'y', .*never seen.* in data row 2"),
    "lists": ("number", [[1.0]], "holds List"),
}


@pytest.mark.parametrize("case", TYPES)
def test_a_cell_of_another_type_is_named_with_its_row(case):
    name, values, message = TYPES[case]
    frame = pl.DataFrame(typed_columns())
    encoding = encode_table(frame, "y").encoding
    rows = frame[: len(values)].with_columns(pl.Series(name, values))
    with pytest.raises(TableError, match=message):
        encoding.encode(rows)


# --- through models and the command line ---

DEPARTMENTS = ["01", "02", "1", "2A", "2B", "75"]


@pytest.fixture(scope="module")
def departments(tmp_path_factory):
    """Return a folder with a table, and with what cv and sweep made of it."""
    folder = tmp_path_factory.mktemp("departments")
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "size": rng.normal(size=60).round(3),
            "open": ["TRUE", "FALSE", "sometimes"] * 20,
            "dep": DEPARTMENTS * 10,
        }
    )
    effect = {"01": 10.0, "1": -10.0}
    y = frame["size"] + frame["dep"].replace_strict(effect, default=0.0)
    frame = frame.with_columns(y=(y + 0.1 * rng.normal(size=60)).round(3))
    frame.write_csv(folder / "t.csv")
    fit = fits.cross_validate(fits.open_data(folder / "t.csv", "y"), n_lambdas=20)
    fits.save_fit(fit, folder / "cv")
    sweeps.sweep(
        folder / "t.csv", "y", models=["lasso"], lambdas=[1e-3], seeds=1, out=folder / "sweep"
    )
    return folder


@pytest.mark.parametrize("run", ["cv", "sweep"])
def test_predictions_of_a_row_do_not_depend_on_the_file(run, departments, tmp_path):
    frame = read_cells(departments / "t.csv")
    model = regjax.load(departments / run)
    every = model.predict(departments / "t.csv")
    assert every[0] > 8
    assert every[2] < -8
    for rows in ([0], [2], [3, 0], [12, 0, 6]):
        subset = frame[rows].select("dep", "y", "open", "size")
        subset.write_csv(tmp_path / "new.csv")
        subset.write_parquet(tmp_path / "new.parquet")
        for data in (subset, str(tmp_path / "new.csv"), tmp_path / "new.parquet"):
            np.testing.assert_allclose(model.predict(data), every[rows], rtol=1e-12)
        done = CliRunner().invoke(
            main, ["predict", str(departments / run), str(tmp_path / "new.csv")]
        )
        assert done.exit_code == 0, done.output
        shown = [float(line) for line in done.stdout.splitlines()[1:]]
        np.testing.assert_allclose(shown, every[rows], rtol=1e-12)


def test_a_folder_predicts_each_row_once(departments, tmp_path):
    model = regjax.load(departments / "cv")
    frame = read_cells(departments / "t.csv")
    parts = tmp_path / "parts"
    (parts / "z.parquet").mkdir(parents=True)
    frame[:20].write_parquet(parts / "a.parquet")
    frame[20:].write_parquet(parts / "z.parquet" / "part-0.parquet")
    done = CliRunner().invoke(main, ["predict", str(departments / "cv"), str(parts)])
    shown = [float(line) for line in done.stdout.splitlines()[1:]]
    np.testing.assert_allclose(shown, model.predict(frame), rtol=1e-12)
    with pytest.raises(TableError, match="'y' holds String instead of numbers"):
        open_parquet(parts, "y")
