"""Reading and encoding of tables, and every refusal."""

import contextlib
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regjax.datasets import load_dataset
from regjax.tables import (
    Encoding,
    TableError,
    encode_table,
    read_table,
    table_from_arrays,
)

FRAME = pl.DataFrame(
    {
        "area": [50.0, 80.0, 65.0, 120.0, 95.0, 70.0],
        "rooms": [2, 3, 2, 5, 4, 3],
        "garden": [True, False, True, True, False, False],
        "heating": ["gas", "oil", "gas", "pump", "oil", "pump"],
        "state": ["new", "old", "old", "new", "old", "old"],
        "price": [100.0, 150.5, 120.0, 260.0, 180.0, 140.0],
    }
)


def test_columns_become_features_in_order_with_levels_named():
    table = encode_table(FRAME, "price")
    assert table.encoding.feature_names == [
        "area",
        "rooms",
        "garden",
        "heating=gas",
        "heating=oil",
        "heating=pump",
        "state=old",
    ]
    np.testing.assert_array_equal(table.X[0], [50, 2, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(table.X[5], [70, 3, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(table.y, FRAME["price"].to_numpy())
    assert table.encoding.task == "regression"


def test_dropped_columns_are_gone_and_the_order_of_columns_does_not_matter():
    table = encode_table(FRAME, "price", drop=["heating", "state"])
    assert table.encoding.feature_names == ["area", "rooms", "garden"]
    shuffled = FRAME.select(reversed(FRAME.columns))
    np.testing.assert_array_equal(table.encoding.encode(shuffled), table.X)


def test_encoding_survives_json():
    encoding = encode_table(FRAME, "price").encoding
    again = Encoding.from_json(json.loads(json.dumps(encoding.to_json())))
    assert again == encoding


def test_fingerprint_changes_with_any_value():
    table = encode_table(FRAME, "price")
    other = encode_table(FRAME.with_columns(pl.Series("rooms", [2, 3, 2, 6, 4, 3])), "price")
    assert encode_table(FRAME, "price").fingerprint == table.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("target", "task", "classes"),
    [
        (["b", "a", "b", "c"] * 5, "classification", ("a", "b", "c")),
        ([True, False, True, True] * 5, "classification", ("false", "true")),
        ([10, 2, 10, 2] * 5, "classification", ("2", "10")),
        ([1, 2, 3, 4] * 5, "regression", ()),
        ([*range(10)] * 11, "classification", tuple("0123456789")),
        ([*range(11)] * 10, "regression", ()),
        ([0.5, 1.0, 0.5, 1.0] * 5, "regression", ()),
    ],
    ids=["text", "boolean", "two integers", "four of 20", "ten of 110", "eleven of 110", "floats"],
)
def test_task_follows_the_type_of_the_target(target, task, classes):
    frame = pl.DataFrame({"x": np.arange(float(len(target))), "y": target})
    table = encode_table(frame, "y")
    assert (table.encoding.task, table.encoding.classes) == (task, classes)
    if task == "classification":
        labels = np.asarray(classes)[table.y]
        assert labels.tolist() == frame["y"].cast(pl.String).to_list()


def test_task_can_be_overridden_and_the_guess_is_told():
    frame = pl.DataFrame({"x": np.arange(20.0), "y": [0, 1] * 10})
    assert "--task regression" in encode_table(frame, "y").notes[0]
    assert encode_table(frame, "y", task="regression").y.dtype == np.float64
    assert encode_table(frame, "y", task="regression").notes == ()


def test_a_column_that_counts_the_rows_is_told():
    notes = encode_table(_with(id=[3, 1, 2, 6, 5, 4]), "price").notes
    assert any("'id' counts the rows" in note for note in notes)
    assert encode_table(_with(id=[3, 1, 2, 7, 5, 4]), "price").notes == ()


def test_numbers_beyond_64_bits_are_counted_too():
    frame = pl.DataFrame({"a": pl.Series([2**70 + i for i in range(6)], dtype=pl.Int128)})
    notes = encode_table(frame.with_columns(y=pl.Series([1.5, 2, 3, 4, 9, 5])), "y").notes
    assert any("'a' counts the rows" in note for note in notes)


def test_both_zeros_are_one_class():
    frame = pl.DataFrame({"x": np.arange(20.0), "y": [0.0, -0.0, 1.0, 1.0] * 5})
    table = encode_table(frame, "y", task="classification")
    assert len(table.encoding.classes) == 2
    assert table.y.tolist() == [0, 0, 1, 1] * 5


def test_a_text_among_few_numbers_is_told():
    frame = _with(rooms=["1", "2", "1", "2", "many", "1"])
    notes = encode_table(frame, "price").notes
    assert any("'rooms' holds numbers, but also 'many'" in note for note in notes)


def test_constant_column_is_kept_and_told():
    table = encode_table(FRAME.with_columns(pl.lit(3.0).alias("flat")), "price")
    assert any("'flat'" in note and "coefficient 0" in note for note in table.notes)


def _with(**columns):
    return FRAME.with_columns(**{name: pl.Series(values) for name, values in columns.items()})


REFUSALS = {
    "target dropped": (FRAME, {"drop": ["price"]}, "cannot be dropped"),
    "two features of one name": (
        FRAME.with_columns(pl.Series("heating=gas", range(6))),
        {},
        "Several features are named 'heating=gas'",
    ),
    "a reserved name": (FRAME.rename({"area": "(intercept)"}), {}, "'.intercept.'"),
    "squares overflow": (FRAME.with_columns(pl.col("area") * 1e200), {}, "'area' are too large"),
    "squares vanish": (FRAME.with_columns(pl.col("area") * 1e-200), {}, "or too small"),
    "unknown target": (FRAME, {"target": "cost"}, "no column 'cost'.*'price'"),
    "unknown drop": (FRAME, {"drop": ["cost"]}, "no column 'cost'"),
    "only the target": (FRAME.select("price"), {}, "nothing but 'price'"),
    "dates as text": (_with(built=["2020-01-0" + day for day in "112233"]), {}, "holds dates"),
    "numbers and a text": (
        pl.DataFrame({"a": [*map(str, range(29)), "none"], "y": np.arange(30.0)}),
        {"target": "y"},
        "'a' holds numbers, but also 'none'",
    ),
    "a target of both": (
        pl.DataFrame({"a": np.arange(30.0) ** 2, "y": [*map(str, range(29)), "none"]}),
        {"target": "y"},
        "target 'y' holds numbers, but also 'none'",
    ),
    "a target that identifies": (_with(name=list("abcdef")), {"target": "name"}, "identifier"),
    "a target too large": (_with(price=[1e200 * i for i in range(6)]), {}, "target.*rescale"),
    "lists": (_with(parts=[[1], [2]] * 3), {}, "holds List"),
    "a target of lists": (_with(price=[[1], [2]] * 3), {"task": "classification"}, "List"),
    "two rows": (FRAME.head(2), {}, "2 row"),
    "missing number": (_with(rooms=[2, None, 2, None, 4, 3]), {}, r"'rooms' \(2\)"),
    "missing text": (_with(state=["new", None, "old", "new", "old", "old"]), {}, r"'state' \(1\)"),
    "missing target": (_with(price=[1.0, None, 2, 3, 4, 5]), {}, r"'price' \(1\)"),
    "NaN": (_with(area=[1.0, np.nan, 2, 3, 4, 5]), {}, r"'area' \(1\)"),
    "infinity": (_with(area=[1.0, np.inf, 2, 3, 4, 5]), {}, "Infinite.*'area'"),
    "date": (
        _with(built=["2020-01-01"] * 6).with_columns(pl.col("built").str.to_date()),
        {},
        "Date",
    ),
    "constant target": (_with(price=[1.0] * 6), {}, "constant"),
    "text for a regression": (FRAME, {"target": "heating", "task": "regression"}, "String"),
    "a class per row": (
        FRAME,
        {"target": "price", "task": "classification"},
        "too many for classes",
    ),
}


@pytest.mark.parametrize("case", REFUSALS, ids=str)
def test_unusable_tables_are_refused_by_name(case):
    frame, arguments, message = REFUSALS[case]
    with pytest.raises(TableError, match=message):
        encode_table(frame, **{"target": "price", **arguments})


def test_identifier_columns_are_refused():
    frame = pl.DataFrame({"name": [f"n{i}" for i in range(30)], "y": np.arange(30.0)})
    with pytest.raises(TableError, match=r"'name' has 30 different texts.*--drop NAME"):
        encode_table(frame, "y")


def test_new_tables_are_checked_against_the_encoding():
    encoding = encode_table(FRAME, "price").encoding
    with pytest.raises(TableError, match="lacks the column.*'rooms', 'state'"):
        encoding.encode(FRAME.drop("rooms", "state"))
    with pytest.raises(TableError, match="'coal'.*never seen.*'gas', 'oil', 'pump'"):
        encoding.encode(_with(heating=["coal"] * 6))
    with pytest.raises(TableError, match="'area' holds 'wide' in data row 1, where .* numbers"):
        encoding.encode(_with(area=["wide"] * 6))
    with pytest.raises(TableError, match="no rows"):
        encoding.encode(FRAME.head(0))
    with pytest.raises(TableError, match="Missing"):
        encoding.encode(_with(area=[None, 1.0, 2, 3, 4, 5]))


def test_files_read_back_what_was_written(tmp_path):
    FRAME.write_csv(tmp_path / "t.csv")
    FRAME.write_csv(tmp_path / "t.tsv", separator="\t")
    FRAME.write_parquet(tmp_path / "t.parquet")
    for ending in ("csv", "tsv", "parquet"):
        assert read_table(tmp_path / f"t.{ending}").equals(FRAME)


@pytest.mark.parametrize(
    ("early", "late", "dtype"),
    [
        ("1", "2.5", pl.Float64),
        ("1", "x", pl.String),
        ("1", "9" * 25, pl.Int128),
        ("true", "maybe", pl.String),
        ("2.5", "1", pl.Float64),
        ("1", "NA", pl.Int64),
    ],
)
def test_the_type_of_a_column_may_show_far_down(tmp_path, early, late, dtype):
    rows = [early] * 12_000 + [late]
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{row},1\n" for row in rows))
    column = read_table(tmp_path / "t.csv")["a"]
    assert column.dtype == dtype
    assert len(column) == 12_001
    assert column.null_count() == (late == "NA")


FILES = {
    "missing.csv": (None, "no file"),
    "empty.csv": (b"", "empty"),
    "header.csv": (b"a,b\n", "no rows"),
    "ragged.csv": (b"a,b\n1,2\n1,2,3\n", "cannot be read"),
    "twice.csv": (b"a,a,b\n1,2,3\n", "several columns named 'a'"),
    "latin.csv": ("a,b\ncafé,1\n".encode("latin-1"), "cannot be read"),
    "open.csv": (b"a,b;c\n1,2;3\n", "separated by ',' or ';': say which with --separator"),
    "latin_header.csv": ("größe,b\n1,2\n".encode("latin-1"), "not UTF-8"),
    "picture.png": (b"\x89PNG", "no known ending"),
    "torn.parquet": (b"PAR1 torn", "cannot be read.*[^?]$"),
    "nul.csv": (b"a,b\n1,2\n\0,4\n5,6\n", "NUL bytes"),
    "utf16.csv": ("a,b\n1,2\n".encode("utf-16-le"), "NUL bytes.*--encoding utf-16-le"),
}


@pytest.mark.parametrize("name", FILES, ids=str)
def test_unreadable_files_are_refused(name, tmp_path):
    content, message = FILES[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TableError, match=message):
        read_table(tmp_path / name)
    with pytest.raises(TableError, match="folder"):
        read_table(tmp_path)


@settings(deadline=None, max_examples=200)
@given(content=st.one_of(st.binary(max_size=80), st.text("ab1,.\n\"'-\t ", max_size=80)))
def test_any_file_gives_a_table_or_one_clear_error(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with contextlib.suppress(TableError):
        frame = read_table(path)
        table = encode_table(frame, frame.columns[-1])
        assert np.isfinite(table.X).all()
        assert len(table.X) == len(table.y) == frame.height


def test_arrays_become_a_table():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(8, 2)), rng.normal(size=8)
    table = table_from_arrays(X, y)
    np.testing.assert_array_equal(table.X, X)
    assert table.encoding.feature_names == ["x0", "x1"]
    for bad_X, bad_y in ((X[:, 0], y), (X, y[:-1]), (X[:0], y[:0]), (X, X)):
        with pytest.raises(TableError, match="shape"):
            table_from_arrays(bad_X, bad_y)


def test_embedded_data():
    shapes = {"diabetes": (442, 11), "diabetes_quadratic": (442, 65), "digits": (1797, 65)}
    for name, shape in shapes.items():
        frame, target = load_dataset(name)
        assert frame.shape == shape
        assert target == frame.columns[-1]
    frame, _ = load_dataset("diabetes_quadratic")
    z = (frame["bmi"] - frame["bmi"].mean()) / frame["bmi"].std(ddof=0)
    np.testing.assert_allclose(frame["bmi^2"], z**2)
    assert "sex^2" not in frame.columns
    with pytest.raises(TableError, match="'diabetes', 'diabetes_quadratic', 'digits'"):
        load_dataset("iris")
