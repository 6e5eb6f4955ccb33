"""Data frames of other libraries as the one kind that tables are made of."""

from __future__ import annotations

import collections
import sys
from typing import Any

import numpy as np
import polars as pl

from regjax._messages import listed
from regjax.tables._columns import TableError, frame_of
from regjax.tables.reading import reading


def is_frame(data: Any) -> bool:
    """Return whether `data` is a data frame that `as_frame` takes.

    Example:
        >>> is_frame(pl.DataFrame({"area": [50, 80]})), is_frame([[50], [80]])
        (True, False)
    """
    return (
        isinstance(data, pl.DataFrame | pl.LazyFrame)
        or _is_pandas(data)
        or hasattr(data, "__arrow_c_stream__")
        or hasattr(data, "__arrow_c_array__")
    )


def as_frame(data: Any) -> pl.DataFrame:
    """Return a data frame of polars, pandas or Arrow as one of polars, columns by name.

    Arrow means anything that hands out an Arrow stream: tables and record batches of pyarrow,
    results of DuckDB. The index of pandas is left out.

    Raises:
        TypeError: for anything else.
        TableError: if two columns have one name, or values of one column differ in type.

    Example:
        >>> as_frame(pl.LazyFrame({"area": [50, 80]})).shape
        (2, 1)
    """
    if isinstance(data, pl.DataFrame):
        return data
    if not is_frame(data):
        raise TypeError(
            f"Expected a data frame of polars, pandas or Arrow, got {type(data).__name__}."
        )
    with reading("The data frame cannot be used as a table"):
        if isinstance(data, pl.LazyFrame):
            return data.collect()
        return _from_pandas(data) if _is_pandas(data) else pl.DataFrame(data)


def _is_pandas(data: Any) -> bool:
    # Only a program that has loaded pandas can hold one of its frames.
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def _from_pandas(data: Any) -> pl.DataFrame:
    names = [str(name) for name in data.columns]
    twice = sorted(name for name, times in collections.Counter(names).items() if times > 1)
    if twice:
        raise TableError(f"The table has several columns named {listed(twice)}; rename them.")
    columns = (data.iloc[:, j] for j in range(len(names)))
    return frame_of(_from_series(*pair) for pair in zip(names, columns, strict=True))


def _from_series(name: str, column: Any) -> pl.Series:
    # Not by Arrow: pandas would need a further package for it.
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return pl.Series(name, column.to_numpy())
    objects = column.astype(object)
    try:
        return pl.Series(name, objects.where(objects.notna(), None).tolist())
    except (TypeError, ValueError, OverflowError) as error:
        raise TableError(
            f"Column {name!r} holds values of several types: make them all numbers or all text."
        ) from error
