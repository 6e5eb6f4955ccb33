"""Tables larger than memory: Parquet files and folders, read a batch of rows at a time."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import polars as pl

from regjax._messages import listed
from regjax.tables._columns import (
    TableError,
    as_weights,
    check_feature_names,
    check_roles,
    is_text,
    levels,
    refuse_missing,
)
from regjax.tables._reading import reading
from regjax.tables.encoding import Encoding

Batch = TypeVar("Batch")


@dataclasses.dataclass(frozen=True)
class ParquetStream:
    """Parquet files as batches of features and response; made by `open_parquet`.

    Attributes:
        files: in the order in which they are read.
        encoding: how columns become features; `encoding.feature_names` names them.
        weight: name of the column of sample weights, or None.
        n_rows: of all files.
        source: where they came from, for the record: a name, the files, dropped columns.
    """

    files: tuple[pathlib.Path, ...]
    encoding: Encoding
    weight: str | None
    n_rows: int
    source: Mapping[str, Any]

    notes: ClassVar[tuple[str, ...]] = ()

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
        names = [*(name for name, _ in self.encoding.columns), self.encoding.target]

        def batch(frame: pl.DataFrame) -> tuple[np.ndarray, ...]:
            refuse_missing(frame)
            y = frame[self.encoding.target].cast(pl.Float64).to_numpy()
            weight = () if self.weight is None else (as_weights(frame[self.weight]),)
            return self.encoding.encode(frame), y, *weight

        names += [] if self.weight is None else [self.weight]
        return _over_batches(self.files, names, rows, batch)


def open_parquet(
    path: str | pathlib.Path, target: str, *, weight: str | None = None, drop: Sequence[str] = ()
) -> ParquetStream:
    """Return the Parquet file, or all those anywhere below the folder, at `path` as a stream.

    Only the texts are read, for their levels; text columns are encoded as in
    `regjax.tables.encode_table`.

    Args:
        target: name of the response column, of numbers.
        weight: name of a column of sample weights.
        drop: columns to leave out.

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
    files = _files(path)
    schema = _schema(files[0])
    for file in files[1:]:
        if _schema(file) != schema:
            raise TableError(
                f"{str(file)!r} and {str(files[0])!r} differ in the names or types of their "
                "columns: write them alike."
            )
    named = [target, *([] if weight is None else [weight])]
    check_roles(list(schema), target, named[1:], drop)
    for name in named:
        if not (schema[name].is_numeric() or schema[name] == pl.Boolean):
            raise TableError(f"Column {name!r} holds {schema[name]} instead of numbers.")
    n_rows = sum(map(_height, files))
    if n_rows == 0:
        raise TableError(f"The files at {str(path)!r} have no rows.")
    features = [name for name in schema if name not in (*named, *drop)]
    if not features:
        raise TableError(f"There is nothing but {listed(named)} to predict from.")
    table = pl.scan_parquet(list(files), glob=False)
    columns = []
    for name in features:
        # Of a text only its levels come into memory, of numbers nothing.
        column = table.select(name)
        seen = column.unique() if is_text(schema[name]) else column.head(0)
        with reading(f"Column {name!r} of {str(path)!r} cannot be read"):
            found = seen.collect(engine="streaming")[name]
        columns.append((name, levels(found, n_rows)))
    encoding = Encoding(tuple(columns), target, "regression")
    check_feature_names(encoding.feature_names)
    source = {"name": str(path), "files": len(files), "drop": list(drop)}
    return ParquetStream(files, encoding, weight, n_rows, source)


def encoded_batches(
    path: str | pathlib.Path, encoding: Encoding, rows: int = 65_536
) -> Iterator[np.ndarray]:
    """Yield the features of the Parquet files at `path`, at most `rows` rows at a time.

    Raises:
        TableError: if a file lacks a column of `encoding`, before anything is read; or for
            values that `Encoding.encode` refuses.

    Example:
        >>> import tempfile
        >>> import polars as pl
        >>> encoding = Encoding((("area", None),), "price", "regression")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "new.parquet"
        ...     pl.DataFrame({"area": [50, 80, 65]}).write_parquet(path)
        ...     [len(X) for X in encoded_batches(folder, encoding, 2)]
        [2, 1]
    """
    files = _files(path)
    names = [name for name, _ in encoding.columns]
    for file in files:
        held = list(_schema(file))
        absent = [name for name in names if name not in held]
        if absent:
            raise TableError(
                f"{str(file)!r} lacks the column(s) {listed(absent)}; it has {listed(held)}."
            )
    return _over_batches(files, names, rows, encoding.encode)


def _files(path: str | pathlib.Path) -> tuple[pathlib.Path, ...]:
    root = pathlib.Path(path)
    files = tuple(sorted(root.rglob("*.parquet"))) if root.is_dir() else (root,)
    if not files or not files[0].is_file():
        raise TableError(
            f"There is no Parquet file at {str(path)!r}; a CSV file is given by its own name."
        )
    return files


def _over_batches(
    files: tuple[pathlib.Path, ...],
    names: list[str],
    rows: int,
    convert: Callable[[pl.DataFrame], Batch],
) -> Iterator[Batch]:
    """Yield what `convert` makes of the columns `names` of every batch of rows."""
    if rows < 1:
        raise ValueError(f"rows must be at least 1, got {rows}.")
    for file in files:
        table = pl.scan_parquet(file, glob=False).select(names)
        for start in range(0, _height(file), rows):
            place = f"{str(file)!r}, from row {start} on"
            with reading(f"{place}, cannot be read"):
                frame = table.slice(start, rows).collect()
            try:
                batch = convert(frame)
            except TableError as error:
                raise TableError(f"{place}: {error}") from error
            yield batch


def _schema(file: pathlib.Path) -> dict[str, pl.DataType]:
    with reading(f"{str(file)!r} cannot be read as Parquet"):
        return dict(pl.scan_parquet(file, glob=False).collect_schema())


def _height(file: pathlib.Path) -> int:
    with reading(f"{str(file)!r} cannot be read as Parquet"):
        return int(pl.scan_parquet(file, glob=False).select(pl.len()).collect().item())
