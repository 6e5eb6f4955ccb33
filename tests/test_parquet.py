"""Streams of Parquet files against the same rows in memory."""

import numpy as np
import polars as pl
import pytest

from regjax.paths import fold_statistics, lasso_cv, lasso_path, statistics_of_batches
from regjax.tables import TableError, encode_table, encoded_batches, open_parquet


def frame(n=60, seed=0):
    rng = np.random.default_rng(seed)
    area = rng.normal(size=n)
    return pl.DataFrame(
        {
            "heat": rng.choice(["gas", "oil", "pump"], size=n),
            "area": area,
            "new": rng.random(n) < 0.3,
            "price": 2 * area + rng.normal(size=n),
            "rooms": rng.integers(1, 9, size=n),
            "w": rng.uniform(0.5, 2, size=n),
        }
    )


def write(folder, table, cuts=(7, 7, 40)):
    """Write the rows as files below `folder`, one of them empty and one deeper."""
    (folder / "deep").mkdir()
    starts = [0, *cuts]
    ends = [*cuts, table.height]
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        place = folder / "deep" / f"{i}.parquet" if i == 0 else folder / f"{i}.parquet"
        table[start:end].write_parquet(place, row_group_size=10)
    return folder


@pytest.mark.parametrize("rows", [1, 9, 1000])
def test_a_folder_streams_the_rows_that_a_table_holds(tmp_path, rows):
    table = frame()
    stream = open_parquet(write(tmp_path, table), "price", weight="w")
    assert stream.n_rows == 60
    batches = list(stream.batches(rows))
    assert max(len(y) for _, y, _ in batches) <= rows
    X, y, weight = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    # The deeper file sorts behind the others.
    order = np.r_[7:60, 0:7]
    expected = encode_table(table.drop("w")[order], "price", task="regression")
    np.testing.assert_array_equal(X, expected.X)
    np.testing.assert_array_equal(y, expected.y)
    np.testing.assert_array_equal(weight, table["w"].to_numpy()[order])
    assert stream.encoding == expected.encoding


def test_paths_from_a_stream_are_those_of_the_rows(tmp_path):
    table = frame(200)
    table.write_parquet(tmp_path / "all.parquet")
    stream = open_parquet(tmp_path / "all.parquet", "price", drop=["w"])
    whole = encode_table(table.drop("w"), "price", task="regression")
    path = lasso_path(statistics_of_batches(stream.batches(33)), tol=1e-10)
    expected = lasso_path(whole.X, whole.y, tol=1e-10)
    np.testing.assert_allclose(path.coef, expected.coef, atol=1e-4)
    parts = fold_statistics(stream.batches(33), 4, seed=1)
    assert sum(part.weight for part in parts) == 200
    total = parts[0] + parts[1] + parts[2] + parts[3]
    np.testing.assert_allclose(total.xx, statistics_of_batches(stream.batches()).xx, atol=1e-8)
    found = lasso_cv(parts)
    rows = lasso_cv(whole.X, whole.y, folds=4)
    assert np.abs(found.mean_error[0] / rows.mean_error[0] - 1).max() < 0.2
    assert any(
        not np.array_equal(a.xx, b.xx)
        for a, b in zip(parts, fold_statistics(stream.batches(33), 4, seed=2), strict=True)
    )


def spoil(folder, how):
    table = frame()
    write(folder, table)
    if how == "other columns":
        table.drop("area").write_parquet(folder / "9.parquet")
    if how == "other types":
        table.with_columns(pl.col("area").cast(pl.String)).write_parquet(folder / "9.parquet")
    if how == "torn":
        file = folder / "3.parquet"
        file.write_bytes(file.read_bytes()[:-20])
    if how == "missing":
        gap = pl.when(pl.col("rooms") > 5).then(None).otherwise(pl.col("area")).alias("area")
        table.with_columns(gap).write_parquet(folder / "9.parquet")
    if how == "infinite weight":
        table.with_columns(w=pl.lit(np.inf)).write_parquet(folder / "9.parquet")
    if how == "identifier":
        for file in folder.rglob("*.parquet"):
            file.unlink()
        names = pl.Series("heat", [f"house {i}" for i in range(60)])
        table.with_columns(names).write_parquet(folder / "1.parquet")
    if how == "empty":
        for file in folder.rglob("*.parquet"):
            file.unlink()
        table[:0].write_parquet(folder / "1.parquet")
    if how == "no file":
        for file in folder.rglob("*.parquet"):
            file.unlink()


@pytest.mark.parametrize(
    ("how", "settings", "message"),
    [
        ("other columns", {}, "differ in the names"),
        ("other types", {}, "differ in the names"),
        ("torn", {}, "cannot be read as Parquet"),
        ("missing", {}, "9.parquet', from row 0 on: Missing values in column"),
        ("infinite weight", {"weight": "w"}, "Infinite values in column"),
        ("identifier", {}, "looks like an identifier"),
        ("empty", {}, "have no rows"),
        ("no file", {}, "no Parquet file"),
        (None, {"target": "prize"}, "no column 'prize'"),
        (None, {"weight": "price"}, "must be different"),
        (None, {"drop": ["price"]}, "cannot be dropped"),
        (None, {"target": "heat"}, "instead of numbers"),
        (None, {"drop": ["heat", "area", "new", "rooms", "w"]}, "nothing but 'price'"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, how, settings, message):
    spoil(tmp_path, how)
    with pytest.raises(TableError, match=message):
        list(open_parquet(tmp_path, **{"target": "price"} | settings).batches())


def test_batches_and_folds_need_rows(tmp_path):
    stream = open_parquet(write(tmp_path, frame()), "price")
    with pytest.raises(ValueError, match="at least 1"):
        next(stream.batches(0))
    with pytest.raises(ValueError, match="at least 2"):
        fold_statistics([], 1)
    with pytest.raises(ValueError, match="got no row"):
        fold_statistics([(np.ones((2, 1)), np.ones(2))], 5)


def test_a_folder_counts_each_regular_file_once(tmp_path):
    table = frame()
    folder = tmp_path / "data"
    inner = folder / "z.parquet"
    inner.mkdir(parents=True)
    table[:20].write_parquet(folder / "a.parquet")
    table[20:50].write_parquet(inner / "part-0.parquet")
    table[50:].write_parquet(inner / "PART-1.PARQUET")
    # What else programs leave beside the data, and further names of the same files.
    (folder / "_metadata").write_bytes(b"PAR1")
    for name in ("_common.parquet", ".hidden.parquet", "__pycache__/x.parquet", ".git/x.parquet"):
        (folder / name).parent.mkdir(exist_ok=True)
        table.write_parquet(folder / name)
    (folder / "b.parquet").symlink_to(folder / "a.parquet")
    (inner / "same.parquet").hardlink_to(inner / "part-0.parquet")
    (folder / "again").symlink_to(inner)
    (inner / "loop").symlink_to(folder)
    stream = open_parquet(folder, "price")
    assert len(stream.files) == 3
    X, y = (np.concatenate(parts) for parts in zip(*stream.batches(), strict=True))
    assert stream.n_rows == len(y) == len(X) == 60
    np.testing.assert_array_equal(np.sort(y), np.sort(table["price"].to_numpy()))
    batches = encoded_batches(folder, stream.encoding)
    np.testing.assert_array_equal(np.concatenate(list(batches)), X)


def test_data_behind_links_are_read_and_links_to_nothing_named(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere").mkdir()
    frame()[:30].write_parquet(tmp_path / "elsewhere" / "1.parquet")
    frame()[30:].write_parquet(tmp_path / "2.parquet")
    (tmp_path / "data" / "1").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "2.parquet").symlink_to(tmp_path / "2.parquet")
    assert open_parquet(tmp_path / "data", "price").n_rows == 60
    for name, target in (("3.parquet", "nowhere"), ("3.parquet", "3.parquet")):
        link = tmp_path / "data" / name
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / "data" / target)
        with pytest.raises(TableError, match="no file .*3.parquet"):
            open_parquet(tmp_path / "data", "price")


def test_numbers_cost_no_reading_however_many_columns_there_are(tmp_path, monkeypatch):
    counts = []
    for width in (5, 20):
        columns = {f"c{i}": [1.0 + i, 2.0, 5.0] for i in range(width)}
        pl.DataFrame(columns).write_parquet(tmp_path / "t.parquet")
        calls, collect = [], pl.LazyFrame.collect
        with monkeypatch.context() as patch:
            patch.setattr(
                pl.LazyFrame,
                "collect",
                lambda self, c=collect, n=calls, **more: n.append(0) or c(self, **more),
            )
            open_parquet(tmp_path, "c0")
        counts.append(len(calls))
    assert counts[0] == counts[1]
