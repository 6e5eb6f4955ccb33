"""How text files are read: what is detected, what options say, what is refused and why."""

import json
import os
import re

import numpy as np
import polars as pl
import pytest

from regjax import fits, sweeps
from regjax.tables import (
    Encoding,
    ReadOptions,
    TableError,
    encode_table,
    encoded_batches,
    open_parquet,
    read_cells,
    read_table,
)

Y = np.random.default_rng(0).normal(size=30).round(3)


def write(folder, cells, *, form="{},{}", head="a,y", end="\n", encoding="utf-8", name="t.csv"):
    """Write a column `a` of cells beside a column `y` of numbers, and return the path."""
    rows = [form.format(cell, y) for cell, y in zip(cells, Y, strict=True)]
    path = folder / name
    path.write_bytes(end.join([head, *rows, ""]).encode(encoding))
    return path


def repeat(*cells):
    return [cells[i % len(cells)] for i in range(30)]


def load(path, **options):
    return sweeps.load_table(path, "y", read_options=ReadOptions(**options))


# --- the form of a file ---

NUMBERS = [1.5 + i * i for i in range(30)]
FORMS = {
    "semicolons": {"form": "{};{}", "head": "a;y"},
    "tabs": {"form": "{}\t{}", "head": "a\ty"},
    "tabs in .txt": {"form": "{}\t{}", "head": "a\ty", "name": "t.txt"},
    "commas in .txt": {"name": "t.txt"},
    "pipes": {"form": "{}|{}", "head": "a|y"},
    "returns alone": {"end": "\r"},
    "returns and line feeds": {"end": "\r\n"},
    "blanks around": {"form": "  {} , {}\t", "head": " a , y"},
    "a mark of UTF-8": {"encoding": "utf-8-sig"},
    "a mark of UTF-16": {"encoding": "utf-16"},
    "a mark of UTF-32": {"encoding": "utf-32"},
    "commas inside quotes": {"form": "{};{}", "head": 'a;y;"b, c"'},
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_a_file_is_found_where_it_is_certain(form, tmp_path):
    settings = dict(FORMS[form])
    if form == "commas inside quotes":
        settings["form"] = '{};{};"1, 2"'
    frame = read_table(write(tmp_path, NUMBERS, **settings))
    assert frame.columns[:2] == ["a", "y"]
    np.testing.assert_array_equal(frame["a"].to_numpy(), NUMBERS)
    np.testing.assert_array_equal(frame["y"].to_numpy(), Y)


def german(value):
    return str(value).replace(".", ",")


def test_blank_lines_at_the_end_are_no_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,\n,\n3,4\n,\n \n\n")
    assert read_table(path).rows() == [(1, None), (None, None), (3, 4)]
    path.write_text("a\n1\n\n")
    assert read_table(path).rows() == [(1,), (None,)]


def test_decimal_commas_are_found_where_they_are_certain(tmp_path):
    rows = [f"{german(a)};{german(y)};01.02.2020" for a, y in zip(NUMBERS, Y, strict=True)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a;y;day", *rows]))
    table = sweeps.load_table(path, "y", drop=["day"])
    np.testing.assert_array_equal(table.X[:, 0], NUMBERS)
    np.testing.assert_array_equal(table.y, Y)
    # New rows are read as those of the training, whatever they show by themselves.
    new = tmp_path / "new.csv"
    new.write_text("a\n" + '"6,000"\n')
    np.testing.assert_array_equal(table.encoding.encode(read_cells(new)), [[6.0]])
    new.write_text("a\n1.234\n")
    with pytest.raises(TableError, match="'a' holds '1.234' in data row 1"):
        table.encoding.encode(read_cells(new))


READ = {
    "percent": (lambda i: f"{i}%", {"units": ["%"]}, lambda i: i),
    "percent behind a blank": (lambda i: f"-{i}.5 %", {"units": ["%"]}, lambda i: -i - 0.5),
    "euros": (lambda i: f"€{i}.73", {"units": ["€"]}, lambda i: i + 0.73),
    "dollars below 0": (lambda i: f"-${i + 1}", {"units": ["$", "€"]}, lambda i: -i - 1),
    "kilograms": (lambda i: f"{i} kg", {"units": ["kg"]}, lambda i: i),
    "thousands": (lambda i: f'"{i + 1},000"', {"thousands": ","}, lambda i: 1000 * (i + 1)),
    "apostrophes": (lambda i: f"{i + 1}'000.5", {"thousands": "'"}, lambda i: 1e3 * (i + 1) + 0.5),
    "blanks": (lambda i: f"{i + 1} 000", {"thousands": "space"}, lambda i: 1000 * (i + 1)),
    "hard blanks": (lambda i: f"{i + 1}\u00a0000", {"thousands": " "}, lambda i: 1000 * (i + 1)),
}


@pytest.mark.parametrize("case", READ)
def test_formatted_numbers_are_refused_with_the_option_that_reads_them(case, tmp_path):
    cell, options, value = READ[case]
    path = write(tmp_path, map(cell, range(30)))
    with pytest.raises(TableError, match=r"'a' holds .* in data row \d+, a formatted") as caught:
        load(path)
    for name, given in options.items():
        for mark in [given] if isinstance(given, str) else given[:1]:
            flag = "unit" if name == "units" else name
            shown = {" ": "space", "'": '"\'"', "space": "space"}.get(mark, f"'{mark}'")
            assert f"--{flag} {shown}" in str(caught.value)
    for message in ("--categorical NAME", "--drop NAME"):
        assert message in str(caught.value)
    np.testing.assert_allclose(load(path, **options).X[:, 0], [value(i) for i in range(30)])
    few = write(tmp_path, repeat(cell(1), cell(2)), name="few.csv")
    with pytest.raises(TableError, match="formatted"):
        load(few)
    assert load(few, categorical=["a"]).encoding.columns[0].kind == "text"


def test_a_number_and_a_comma_is_no_group_of_thousands(tmp_path):
    path = write(tmp_path, repeat('"1,5"', '"6,000"'))
    with pytest.raises(TableError, match="'a' holds '1,5' in data row 1.*--decimal ','"):
        load(path)
    with pytest.raises(TableError, match="'1,5'"):
        load(path, thousands=",")


TEXTS = {
    "departments": ["01", "02", "1", "2A", "2B", "75"],
    "versions": ["1.2.3", "1.10.0", "2.0.0"],
    "times": ["12:30", "7:05", "0:00"],
    "ranges": ["1-2", "3-4", "5+"],
    "ordinals": ["1st", "2nd", "3rd"],
    "words": ["5 kg", "heavy", "light"],
    "truths": ["TRUE", "FALSE", "maybe"],
}


@pytest.mark.parametrize("kind", TEXTS)
def test_texts_that_are_no_numbers_stay_text(kind, tmp_path):
    table = load(write(tmp_path, repeat(*TEXTS[kind])))
    assert table.encoding.columns[0].levels == tuple(sorted(TEXTS[kind]))


def test_codes_with_zeros_in_front_are_named(tmp_path):
    path = write(tmp_path, repeat("01", "02", "13"))
    table = load(path)
    assert table.encoding.columns[0].kind == "number"
    assert any("'a' holds '01'" in note and "--categorical" in note for note in table.notes)
    table = load(path, categorical=["a"])
    assert table.encoding.columns[0].levels == ("01", "02", "13")
    assert table.notes == ()
    # Labels of groups are never numbers.
    path = write(tmp_path, repeat("01", "1"), form="{},5,{}", head="g,b,y")
    groups = sweeps.load_table(path, "y", groups="g", task="regression").groups
    assert sorted(set(groups)) == ["01", "1"]


def test_a_text_that_is_formatted_is_refused_in_frames_and_targets_too(tmp_path):
    frame = pl.DataFrame({"a": repeat("5%", "7%"), "y": Y})
    for message in ("'a' holds '5%' in data row 1", "turn it into plain numbers"):
        with pytest.raises(TableError, match=message):
            encode_table(frame, "y")
    assert encode_table(frame, "a", task="classification").encoding.classes == ("5%", "7%")
    with pytest.raises(TableError, match="target 'a' holds '5%'.*--task classification"):
        encode_table(frame, "a")
    frame.write_parquet(tmp_path / "t.parquet")
    with pytest.raises(TableError, match="'a' holds '5%', a formatted number"):
        open_parquet(tmp_path, "y")
    options = ReadOptions(categorical=["a"])
    stream = open_parquet(tmp_path, "y", read_options=options)
    assert stream.encoding == encode_table(frame, "y", read_options=options).encoding


def test_numbers_may_be_categorical(tmp_path):
    frame = pl.DataFrame({"a": [i % 3 for i in range(30)], "y": Y})
    options = ReadOptions(categorical=["a"])
    table = encode_table(frame, "y", read_options=options)
    assert table.encoding.feature_names == ["a=0", "a=1", "a=2"]
    frame.write_parquet(tmp_path / "t.parquet")
    stream = open_parquet(tmp_path, "y", read_options=options)
    np.testing.assert_array_equal(next(stream.batches())[0], table.X)
    frame.write_csv(tmp_path / "t.csv")
    np.testing.assert_array_equal(table.encoding.encode(read_cells(tmp_path / "t.csv")), table.X)


# --- missing values ---


def test_rows_with_missing_values_are_left_out_on_demand_and_counted(tmp_path):
    cells = ["NA" if i % 10 == 4 else i * i for i in range(30)]
    path = write(tmp_path, cells)
    with pytest.raises(TableError, match=r"'a' \(3\), the first in data row 5: .*--drop-missing"):
        load(path)
    table = load(path, drop_missing=True)
    kept = np.array([cell != "NA" for cell in cells])
    np.testing.assert_array_equal(table.y, Y[kept])
    assert any("3 of 30 rows miss values" in note for note in table.notes)
    frame = read_table(path)
    for i, part in enumerate((frame[:7], frame[7:])):
        part.write_parquet(tmp_path / f"{i}.parquet")
    options = ReadOptions(drop_missing=True)
    stream = fits.open_data(tmp_path, "y", read_options=options)
    assert (stream.n_rows, stream.notes) == (27, ("3 of 30 rows miss values and are left out.",))
    np.testing.assert_array_equal(np.concatenate([X for X, _ in stream.batches(4)]), table.X)
    with pytest.raises(TableError, match="0.parquet', from row 4 on: .* in data row 5"):
        list(open_parquet(tmp_path, "y").batches(4))


def test_a_later_fault_names_its_row_in_the_file_though_rows_are_left_out(tmp_path):
    cells = ["", *range(27), "inf", 3]
    with pytest.raises(TableError, match="Infinite .* in data row 29"):
        load(write(tmp_path, cells), drop_missing=True)


# --- options ---

WRONG = {
    "a long separator": ({"separator": ";;"}, "separator.*';;'"),
    "a quote": ({"separator": '"'}, "separator"),
    "a decimal": ({"decimal": ";"}, "decimal.*';'"),
    "thousands": ({"thousands": "x"}, "thousands.*'x'"),
    "one mark for both": ({"decimal": ",", "thousands": ","}, "both"),
    "an encoding": ({"encoding": "utf-9"}, "encoding 'utf-9'"),
    "no encoding of text": ({"encoding": "base64"}, "'base64'"),
    "a unit": ({"units": ["5"]}, "unit.*'5'"),
    "a name alone": ({"categorical": "a"}, "categorical must be a list"),
}


@pytest.mark.parametrize("case", WRONG)
def test_options_are_checked(case):
    options, message = WRONG[case]
    with pytest.raises(TableError, match=message):
        ReadOptions(**options)


def test_options_that_do_not_fit_the_data_are_refused(tmp_path):
    frame = pl.DataFrame({"a": NUMBERS, "y": Y})
    frame.write_parquet(tmp_path / "t.parquet")
    options = ReadOptions(decimal=",")
    for data in (frame, tmp_path / "t.parquet", "diabetes"):
        with pytest.raises(TableError, match=r"decimal: said of text files .* none"):
            sweeps.load_table(data, "y", read_options=options)
    with pytest.raises(TableError, match="decimal: said of text"):
        fits.open_data(tmp_path, "y", read_options=options)
    with pytest.raises(ValueError, match="no columns to name"):
        sweeps.load_table((np.eye(3), np.arange(3.0)), read_options=options)
    for data in (frame, tmp_path / "t.parquet"):
        with pytest.raises(TableError, match="no column 'b'"):
            fits.open_data(data, "y", read_options=ReadOptions(categorical=["b"]))
    latin = write(tmp_path, repeat("é", "a", "b"), encoding="latin-1")
    with pytest.raises(TableError, match=r"not UTF-8 \(line 2\).*--encoding"):
        load(latin)
    with pytest.raises(TableError, match="not ascii"):
        load(latin, encoding="ascii")
    assert load(latin, encoding="latin-1").encoding.columns[0].levels == ("a", "b", "é")


def test_options_go_with_the_encoding(tmp_path):
    path = write(tmp_path, repeat('"1,5 kg"', '"2,5 kg"', '"30 kg"'), form='{};"{}"', head="a;y")
    frame = pl.DataFrame({"a": repeat(1.5, 2.5, 30.0), "y": Y})
    path.write_text(path.read_text().replace(".", ","))
    table = load(path, units=["kg"], decimal=",")
    np.testing.assert_array_equal(table.X[:, 0], frame["a"].to_numpy())
    again = Encoding.from_json(json.loads(json.dumps(table.encoding.to_json())))
    assert again.read_options == ReadOptions(decimal=",", units=["kg"])
    np.testing.assert_array_equal(again.encode(read_cells(path)), table.X)
    points = write(tmp_path, frame["a"], name="points.csv")
    with pytest.raises(TableError, match="'1.5' in data row 1"):
        again.encode(read_cells(points))
    said = again.with_options(ReadOptions(decimal="."))
    np.testing.assert_array_equal(said.encode(read_cells(points)), table.X)
    with pytest.raises(TableError, match="does not take 'a' for text"):
        again.with_options(ReadOptions(categorical=["a"]))


# --- long texts, many columns ---


@pytest.mark.parametrize("where", ["cell", "name", "quote"])
def test_messages_stay_short_whatever_the_texts(where, tmp_path):
    long = "x" * 200_000
    cells = [*map(str, range(29)), long if where == "cell" else "none"]
    path = write(tmp_path, cells, head=f"{long if where == 'name' else 'a'},y")
    if where == "quote":
        path.write_text(f'a,y\n1,2,"{long}"\n')
    with pytest.raises(TableError) as caught:
        load(path)
    assert len(str(caught.value)) < 1000


def count_calls(patch):
    """Return a list that grows with every call that goes through all columns of a frame."""
    calls = []

    def counted(call):
        return lambda *args, **settings: calls.append(0) or call(*args, **settings)

    for name in ("columns", "schema"):
        patch.setattr(pl.DataFrame, name, property(counted(getattr(pl.DataFrame, name).fget)))
    patch.setattr(pl.DataFrame, "get_column", counted(pl.DataFrame.get_column))
    return calls


@pytest.mark.parametrize("how", ["train", "encode"])
def test_the_work_grows_with_the_columns_and_not_with_their_square(how, monkeypatch):
    counts = []
    for width in (20, 80):
        frame = pl.DataFrame({f"c{i}": np.arange(5.0) ** 2 + i for i in range(width)})
        encoding = encode_table(frame, "c0").encoding
        with monkeypatch.context() as patch:
            calls = count_calls(patch)
            if how == "train":
                encode_table(frame, "c0")
            else:
                encoding.encode(frame)
        counts.append(len(calls))
    assert counts[0] == counts[1]


def test_what_is_not_utf_8_is_refused_under_the_name_of_its_file(tmp_path):
    frame = pl.DataFrame({"a": repeat("abcdefgh", "ijklmnop"), "y": Y})
    whole = tmp_path / "t.parquet"
    frame.write_parquet(whole, compression="uncompressed", statistics=False)
    content = whole.read_bytes()
    for folder, name, spoilt in (
        ("text", "bad.parquet", content.replace(b"ijklmnop", b"ijk\xff\xfenop")),
        ("column", "bad.parquet", content.replace(b"\x01a", b"\x01\xff")),
        ("name", os.fsdecode(b"\xff.parquet"), content),
    ):
        assert spoilt != content or folder == "name"
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / name
        file.write_bytes(spoilt)
        with pytest.raises(TableError, match=re.escape(repr(str(file))[1:-1])):
            fits.open_data(file, "y")
        with pytest.raises(TableError, match=re.escape(str(tmp_path / folder))):
            list(fits.open_data(tmp_path / folder, "y").batches())
        encoding = encode_table(frame, "y").encoding
        with pytest.raises(TableError, match=re.escape(repr(str(file))[1:-1])):
            list(encoded_batches(tmp_path / folder, encoding))
    with pytest.raises(TableError, match="is not UTF-8: rename"):
        read_table(tmp_path / os.fsdecode(b"\xff.csv"))


def test_a_column_may_have_no_name(tmp_path):
    table = load(write(tmp_path, NUMBERS, head=",y"))
    assert table.encoding.feature_names == [""]
    np.testing.assert_array_equal(table.encoding.encode(read_cells(tmp_path / "t.csv")), table.X)
