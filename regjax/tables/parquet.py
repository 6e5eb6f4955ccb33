"""Tables larger than memory: Parquet files and folders, read a batch of rows at a time."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from regjax.tables._columns import TableError, is_text, levels, quoted, refuse_missing
from regjax.tables.encoding import Encoding


@dataclasses.dataclass(frozen=True)
class ParquetStream:
    """Parquet files as batches of features and response; made by `open_parquet`.

    Attributes:
        files: in the order in which they are read.
        encoding: how columns become features; `encoding.feature_names` names them.
        weight: name of the column of sample weights, or None.
        n_rows: of all files.
    """

    files: tuple[pathlib.Path, ...]
    encoding: Encoding
    weight: str | None
    n_rows: int

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
        if rows < 1:
            raise ValueError(f"rows must be at least 1, got {rows}.")
        numbers = [self.encoding.target, *([] if self.weight is None else [self.weight])]
        names = [*(name for name, _ in self.encoding.columns), *numbers]
        for file in self.files:
            table = pl.scan_parquet(file).select(names)
            for start in range(0, _height(file), rows):
                try:
                    frame = table.slice(start, rows).collect()
                    refuse_missing(frame)
                    response = [frame[name].cast(pl.Float64).to_numpy() for name in numbers]
                    batch = (self.encoding.encode(frame), *response)
                except (TableError, pl.exceptions.PolarsError, OSError) as error:
                    raise TableError(f"{str(file)!r}, from row {start} on: {error}") from error
                yield batch


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
    root = pathlib.Path(path)
    files = tuple(sorted(root.rglob("*.parquet"))) if root.is_dir() else (root,)
    if not files or not files[0].is_file():
        raise TableError(f"There is no Parquet file at {str(path)!r}.")
    schema = _schema(files[0])
    for file in files[1:]:
        if _schema(file) != schema:
            raise TableError(
                f"{str(file)!r} and {str(files[0])!r} differ in the names or types of their "
                "columns: write them alike."
            )
    named = [target, *([] if weight is None else [weight])]
    unknown = [name for name in (*named, *drop) if name not in schema]
    if unknown:
        raise TableError(
            f"There is no column {quoted(unknown)}; the files have {quoted(list(schema))}."
        )
    if len({*named, *drop}) < len(named) + len(set(drop)):
        raise TableError("Target, weight and dropped columns must be different ones.")
    for name in named:
        if not (schema[name].is_numeric() or schema[name] == pl.Boolean):
            raise TableError(f"Column {name!r} holds {schema[name]} instead of numbers.")
    n_rows = sum(map(_height, files))
    if n_rows == 0:
        raise TableError(f"The files at {str(path)!r} have no rows.")
    features = [name for name in schema if name not in (*named, *drop)]
    if not features:
        raise TableError(f"There is nothing but {quoted(named)} to predict from.")
    table = pl.scan_parquet(list(files))
    columns = []
    for name in features:
        # Of a text only its levels come into memory, of numbers nothing.
        column = table.select(name)
        seen = column.unique() if is_text(schema[name]) else column.head(0)
        columns.append((name, levels(seen.collect(engine="streaming")[name], n_rows)))
    return ParquetStream(files, Encoding(tuple(columns), target, "regression"), weight, n_rows)


def _schema(file: pathlib.Path) -> dict[str, pl.DataType]:
    try:
        return dict(pl.read_parquet_schema(file))
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TableError(f"{str(file)!r} cannot be read as Parquet: {reason}.") from error


def _height(file: pathlib.Path) -> int:
    return int(pl.scan_parquet(file).select(pl.len()).collect().item())
