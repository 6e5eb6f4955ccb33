"""Tables larger than memory: Parquet files and folders, read a batch of rows at a time."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import polars as pl

from regjax._messages import listed, quoted
from regjax.tables._columns import (
    Rows,
    TableError,
    as_weights,
    by_name,
    check_feature_names,
    check_known,
    check_roles,
    incomplete,
    is_number,
    is_text,
    refuse_missing,
)
from regjax.tables._files import parquet_files
from regjax.tables._levels import learn_column
from regjax.tables.encoding import Encoding
from regjax.tables.options import ReadOptions
from regjax.tables.reading import reading

Batch = TypeVar("Batch")

_COUNTED = 65_536


@dataclasses.dataclass(frozen=True)
class ParquetStream:
    """Parquet files as batches of features and response; made by `open_parquet`.

    Attributes:
        files: in the order in which they are read.
        encoding: how columns become features; `encoding.feature_names` names them.
        weight: name of the column of sample weights, or None.
        n_rows: of all files, without those that are left out.
        source: where they came from, for the record: a name, the files, dropped columns.
        notes: what a user should know of the rows, one sentence each.
    """

    files: tuple[pathlib.Path, ...]
    encoding: Encoding
    weight: str | None
    n_rows: int
    source: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the files, one after the other, in hexadecimal."""
        digest = hashlib.sha256()
        for path in self.files:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    def batches(self, rows: int = 65_536) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield `(X, y)`, or `(X, y, sample_weight)`, of at most `rows` rows each.

        Raises:
            TableError: for a missing value, an infinite one, or a type that changed.

        Example:
            >>> import pathlib, tempfile
            >>> import polars as pl
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     frame = pl.DataFrame({"area": [50, 80, 65], "price": [1.0, 2.0, 1.5]})
            ...     frame.write_parquet(pathlib.Path(folder) / "part.parquet")
            ...     [len(y) for X, y in open_parquet(folder, "price").batches(2)]
            [2, 1]
        """
        drop_missing = self.encoding.read_options.drop_missing
        complete = self._complete if drop_missing else None
        return _over_batches(self.files, self._names, rows, self._batch, complete)

    def count_complete(self) -> int:
        """Return how many rows miss no value, which reads all of them."""
        counts = _over_batches(
            self.files, self._names, _COUNTED, lambda frame, _: int(self._complete(frame).sum())
        )
        return sum(counts)

    @property
    def _roles(self) -> list[str]:
        return [self.encoding.target, *([] if self.weight is None else [self.weight])]

    @property
    def _names(self) -> list[str]:
        return [*(column.name for column in self.encoding.columns), *self._roles]

    def _complete(self, frame: pl.DataFrame) -> np.ndarray:
        others = by_name(frame.select(self._roles))
        return self.encoding.complete(frame) & ~incomplete(others, frame.height)

    def _batch(self, frame: pl.DataFrame, rows: Rows) -> tuple[np.ndarray, ...]:
        refuse_missing(by_name(frame), rows)
        y = frame[self.encoding.target].cast(pl.Float64).to_numpy()
        weight = () if self.weight is None else (as_weights(frame[self.weight]),)
        return self.encoding.encode(frame, rows), y, *weight


def open_parquet(
    path: str | pathlib.Path,
    target: str,
    *,
    weight: str | None = None,
    drop: Sequence[str] = (),
    read_options: ReadOptions | None = None,
) -> ParquetStream:
    """Return the Parquet file, or all those anywhere below the folder, at `path` as a stream.

    Each file counts once, whatever links lead to it; names that begin with a dot or an underscore
    are left out. Only the texts are read, for their levels; text columns are encoded as in
    `regjax.tables.encode_table`.

    Args:
        target: name of the response column, of numbers.
        weight: name of a column of sample weights.
        drop: columns to leave out.
        read_options: which columns are categorical, and whether rows with missing values are
            left out.

    Raises:
        TableError: if there is no file or no row, a file has other columns than the first or
            cannot be read, or a column cannot be used.

    Example:
        >>> import pathlib, tempfile
        >>> import polars as pl
        >>> from regjax.paths import lasso_path, statistics_of_batches
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for i in range(3):
        ...         frame = pl.DataFrame({"area": [50.0, 80 + i], "price": [1.0 + i, 2.0]})
        ...         frame.write_parquet(pathlib.Path(folder) / f"{i}.parquet")
        ...     stream = open_parquet(folder, "price")
        ...     statistics = statistics_of_batches(stream.batches())
        >>> stream.encoding.feature_names, statistics.weight
        (['area'], 6.0)
        >>> lasso_path(statistics).coef.shape
        (100, 1)
    """
    options = read_options or ReadOptions()
    shown = repr(str(path))
    options.check_typed(shown)
    files = parquet_files(path)
    schema = _schema(files[0])
    for file in files[1:]:
        if _schema(file) != schema:
            raise TableError(
                f"{str(file)!r} and {str(files[0])!r} differ in the names or types of their "
                "columns: write them alike."
            )
    named = [target, *([] if weight is None else [weight])]
    check_roles(list(schema), target, named[1:], drop)
    check_known(list(schema), options.categorical)
    for name in named:
        if not is_number(schema[name]):
            raise TableError(f"Column {quoted(name)} holds {schema[name]} instead of numbers.")
    n_rows = sum(map(_height, files))
    if n_rows == 0:
        raise TableError(f"The files at {shown} have no rows.")
    left_out = {*named, *drop}
    features = [name for name in schema if name not in left_out]
    if not features:
        raise TableError(f"There is nothing but {listed(named)} to predict from.")
    table = pl.scan_parquet(list(files), glob=False, hive_partitioning=False)
    columns = []
    for name in features:
        # Of a text only its levels come into memory, of numbers nothing.
        found = pl.Series(name, [], dtype=schema[name])
        if is_text(schema[name]) or name in options.categorical:
            with reading(f"Column {quoted(name)} of {shown} cannot be read"):
                found = table.select(name).unique().collect(engine="streaming")[name]
        columns.append(learn_column(found, n_rows, options))
    encoding = Encoding(tuple(columns), target, "regression", read_options=options)
    check_feature_names(encoding.feature_names)
    source = {"name": str(path), "files": len(files), "drop": list(drop)}
    stream = ParquetStream(files, encoding, weight, n_rows, source)
    if not options.drop_missing:
        return stream
    complete = stream.count_complete()
    if complete == 0:
        raise TableError(f"Every row of {shown} misses a value.")
    left = f"{n_rows - complete:,} of {n_rows:,} rows miss values and are left out."
    notes = (left,) if complete < n_rows else ()
    return dataclasses.replace(stream, n_rows=complete, notes=notes)


def encoded_batches(
    path: str | pathlib.Path,
    encoding: Encoding,
    rows: int = 65_536,
    *,
    drop_missing: bool = False,
) -> Iterator[np.ndarray]:
    """Yield the features of the Parquet files at `path`, at most `rows` rows at a time.

    With `drop_missing` rows that miss a value are left out.

    Raises:
        TableError: if a file lacks a column of `encoding`, before anything is read; or for
            values that `Encoding.encode` refuses.

    Example:
        >>> import tempfile
        >>> import polars as pl
        >>> from regjax.tables import encode_table
        >>> frame = pl.DataFrame({"area": [50, 80, 65], "price": [1.0, 2.0, 1.5]})
        >>> encoding = encode_table(frame, "price").encoding
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     frame.write_parquet(pathlib.Path(folder) / "new.parquet")
        ...     [len(X) for X in encoded_batches(folder, encoding, 2)]
        [2, 1]
    """
    files = parquet_files(path)
    names = [column.name for column in encoding.columns]
    for file in files:
        held = _schema(file)
        absent = [name for name in names if name not in held]
        if absent:
            raise TableError(
                f"{str(file)!r} lacks the column(s) {listed(absent)}; it has {listed(held)}."
            )
    complete = encoding.complete if drop_missing else None
    return _over_batches(files, names, rows, encoding.encode, complete)


def _over_batches(
    files: tuple[pathlib.Path, ...],
    names: list[str],
    rows: int,
    convert: Callable[[pl.DataFrame, Rows], Batch],
    complete: Callable[[pl.DataFrame], np.ndarray] | None = None,
) -> Iterator[Batch]:
    """Yield what `convert` makes of the columns `names` of every batch of `complete` rows."""
    if rows < 1:
        raise ValueError(f"rows must be at least 1, got {rows}.")
    for file in files:
        table = _scan(file).select(names)
        for start in range(0, _height(file), rows):
            place = f"{str(file)!r}, from row {start} on"
            with reading(f"{place}, cannot be read"):
                frame = table.slice(start, rows).collect()
                numbers: Rows = range(start + 1, start + 1 + frame.height)
                try:
                    if complete is not None:
                        keep = complete(frame)
                        frame, numbers = frame.filter(pl.Series(keep)), np.asarray(numbers)[keep]
                        if frame.is_empty():
                            continue
                    batch = convert(frame, numbers)
                except TableError as error:
                    raise TableError(f"{place}: {error}") from error
            yield batch


def _scan(file: pathlib.Path) -> pl.LazyFrame:
    return pl.scan_parquet(file, glob=False, hive_partitioning=False)


def _schema(file: pathlib.Path) -> dict[str, pl.DataType]:
    with reading(f"{str(file)!r} cannot be read as Parquet"):
        return dict(_scan(file).collect_schema())


def _height(file: pathlib.Path) -> int:
    with reading(f"{str(file)!r} cannot be read as Parquet"):
        return int(_scan(file).select(pl.len()).collect().item())
