"""Data frames of polars, pandas and Arrow: the same numbers, names kept, columns found by name."""

import sys

import numpy as np
import polars as pl
import pytest

import regjax
from regjax import fits, sweeps
from regjax.tables import TableError, as_frame, encode_table, is_frame

NAMES = ("age", "bmi", "rooms")


def numbers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3)) * [1.0, 10.0, 0.1]
    X[:, 2] = rng.integers(1, 6, 30)
    return X, X @ [1.0, -0.5, 2.0] + 0.1 * rng.normal(size=30)


def of_polars(columns):
    return pl.DataFrame(columns)


def of_pandas(columns):
    return pytest.importorskip("pandas").DataFrame(columns)


def of_pyarrow(columns):
    return pytest.importorskip("pyarrow").table(columns)


class ArrowStream:
    """A table of a library that nothing is known of but the protocol."""

    def __init__(self, columns):
        self._frame = pl.DataFrame(columns)

    def __arrow_c_stream__(self, requested_schema=None):
        return self._frame.__arrow_c_stream__(requested_schema)


MATRICES = {"polars": of_polars, "pandas": of_pandas, "pyarrow": of_pyarrow}
TABLES = MATRICES | {"a stream of Arrow": ArrowStream}

FITS = {
    "path": lambda X, y: regjax.elastic_net_path(X, y, l1_ratio=0.5, n_lambdas=5),
    "cv": lambda X, y: regjax.elastic_net_cv(X, y, n_lambdas=5),
    "ridge_cv": lambda X, y: regjax.ridge_cv(X, y, n_lambdas=5),
    "multi_task": lambda X, y: regjax.multi_task_path(X, np.c_[y, -y], n_lambdas=5),
    "multi_task_cv": lambda X, y: regjax.multi_task_cv(X, np.c_[y, -y], n_lambdas=5),
}


def as_columns(X, names=NAMES):
    return dict(zip(names, X.T, strict=True))


@pytest.mark.parametrize("kind", MATRICES)
@pytest.mark.parametrize("how", FITS)
def test_paths_take_frames_keep_names_and_find_columns_by_name(kind, how):
    X, y = numbers()
    make = MATRICES[kind]
    fit, plain = FITS[how](make(as_columns(X)), y), FITS[how](X, y)
    path = getattr(fit, "path", fit)
    assert path.feature_names == NAMES
    np.testing.assert_allclose(fit.coef, plain.coef, rtol=1e-9)
    expected = plain.predict(X)
    shuffled = {name: as_columns(X)[name] for name in ("rooms", "age", "bmi")}
    more = {"city": ["x"] * 30, **shuffled}
    for columns in (as_columns(X), shuffled, more):
        np.testing.assert_allclose(fit.predict(make(columns)), expected, rtol=1e-9)
    np.testing.assert_allclose(fit.predict(X), expected, rtol=1e-9)
    with pytest.raises(ValueError, match="lacks the column.s. 'bmi', 'rooms'"):
        fit.predict(make({"age": X[:, 0], "sex": X[:, 1], "x": X[:, 2]}))
    # A fit without names takes columns as they stand.
    np.testing.assert_allclose(plain.predict(make(as_columns(X))), expected, rtol=1e-9)
    with pytest.raises(ValueError, match="2 columns, the fit 3"):
        fit.predict(X[:, :2])


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_any_library_are_the_same_table(kind):
    X, y = numbers()
    columns = as_columns(X) | {"heat": ["gas", "oil", "pump"] * 10, "new": y > 0, "price": y}
    given = TABLES[kind](columns)
    assert is_frame(given)
    table, expected = encode_table(given, "price"), encode_table(pl.DataFrame(columns), "price")
    assert table.fingerprint == expected.fingerprint
    fit = fits.cross_validate(fits.open_data(given, "price"), n_lambdas=5)
    model = fit.fitted["minimum"]
    shuffled = {name: columns[name] for name in reversed(columns)}
    predicted = model.predict(TABLES[kind](shuffled))
    np.testing.assert_array_equal(predicted, model.predict(table.X))
    np.testing.assert_allclose(predicted, fit.cv.predict(table.X), rtol=1e-10)
    with pytest.raises(TableError, match="lacks the column.s. 'age', .*; it has 'bmi'"):
        model.predict(TABLES[kind]({"bmi": [1.0]}))
    swept = sweeps.load_table(given, "price")
    assert swept.fingerprint == expected.fingerprint


def test_lazy_frames_are_collected_and_other_things_refused():
    assert as_frame(pl.LazyFrame({"a": [1]})).columns == ["a"]
    for other in ([[1.0]], np.ones((2, 2)), None, {"a": [1]}):
        assert not is_frame(other)
        with pytest.raises(TypeError, match="polars, pandas or Arrow"):
            as_frame(other)
    with pytest.raises(TypeError, match="data frame of polars, pandas or Arrow"):
        sweeps.load_table(3)


def test_pandas_keeps_gaps_types_and_refuses_what_is_ambiguous():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "text": ["x", None, "y"],
            "kind": pd.Categorical(["u", "v", "u"]),
            "gap": [1.0, np.nan, 2.0],
            5: [True, False, True],
        },
        index=[7, 7, 8],
    )
    table = as_frame(frame)
    assert table.columns == ["whole", "text", "kind", "gap", "5"]
    assert table.dtypes == [pl.Int64, pl.String, pl.String, pl.Float64, pl.Boolean]
    assert table["whole"].to_list() == [1, None, 3]
    assert table["text"].to_list() == ["x", None, "y"]
    with pytest.raises(TableError, match="'a' holds values of several types"):
        as_frame(pd.DataFrame({"a": [1, "x"]}))
    with pytest.raises(TableError, match="several columns named 'a'"):
        as_frame(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_pandas_needs_no_further_package(monkeypatch):
    pd = pytest.importorskip("pandas")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert as_frame(pd.DataFrame({"a": [1.5], "b": ["x"]})).row(0) == (1.5, "x")
