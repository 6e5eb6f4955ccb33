"""Single columns: what may stand in them, and the features they become."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

_MOST_LEVELS = 1000


class TableError(ValueError):
    """A table that cannot be used as it is; the message says what to change."""


def quoted(names: Sequence[str], most: int = 12) -> str:
    """Return names for a message, the first `most` of them."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def is_text(dtype: pl.DataType) -> bool:
    """Return whether a column holds text of any kind."""
    return dtype in (pl.String, pl.Categorical, pl.Enum)


def text(column: pl.Series) -> pl.Series:
    """Return a column as plain text."""
    return column.cast(pl.String)


def refuse_missing(frame: pl.DataFrame) -> None:
    """Raise if a value is missing or infinite; every such column is named."""
    missing, infinite = [], []
    for column in frame:
        nulls = column.null_count()
        if column.dtype.is_float():
            nulls += int(column.is_nan().sum())
            if column.is_infinite().any():
                infinite.append(column.name)
        if nulls:
            missing.append(f"{column.name!r} ({nulls})")
    if missing:
        raise TableError(
            f"Missing values in column(s) {', '.join(missing)}: drop those rows or columns "
            "(--drop NAME), or fill the values in first."
        )
    if infinite:
        raise TableError(f"Infinite values in column(s) {quoted(infinite)}: remove those rows.")


def levels(column: pl.Series, n_rows: int) -> tuple[str, ...] | None:
    """Return the levels of a text column of `n_rows` rows, or None for numbers.

    Of the rows, those with every different text are enough.
    """
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        return None
    if not is_text(column.dtype):
        raise TableError(
            f"Column {column.name!r} holds {column.dtype}, which has no encoding: turn it into "
            "numbers or drop it (--drop NAME)."
        )
    levels = text(column).unique().sort().to_list()
    if len(levels) > _MOST_LEVELS or len(levels) > max(10, n_rows // 2):
        raise TableError(
            f"Column {column.name!r} has {len(levels)} different texts in {n_rows} rows "
            "and looks like an identifier: drop it (--drop NAME)."
        )
    return tuple(levels)


def feature_names(name: str, levels: tuple[str, ...] | None) -> list[str]:
    """Return the names of the features that a column becomes."""
    if levels is None:
        return [name]
    shown = levels[1:] if len(levels) == 2 else levels
    return [f"{name}={level}" for level in shown]


def encode_column(column: pl.Series, levels: tuple[str, ...] | None) -> np.ndarray:
    """Return the features (n_rows, n_features) of a column."""
    if levels is None:
        if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
            raise TableError(f"Column {column.name!r} holds {column.dtype} instead of numbers.")
        return column.cast(pl.Float64).to_numpy().reshape(-1, 1)
    values = text(column).to_numpy()
    unknown = sorted(set(values) - set(levels))
    if unknown:
        raise TableError(
            f"Column {column.name!r} holds {quoted(unknown)}, which the model has never seen; "
            f"it knows {quoted(levels)}."
        )
    shown = levels[1:] if len(levels) == 2 else levels
    return np.stack([values == level for level in shown], axis=1).astype(np.float64)
