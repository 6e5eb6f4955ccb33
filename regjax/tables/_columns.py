"""Single columns: what may stand in them, and the features they become."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import numpy as np
import polars as pl

from regjax._messages import listed

_MOST_LEVELS = 1000
_DATE = r"^\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})\b"


class TableError(ValueError):
    """A table that cannot be used as it is; the message says what to change."""


def check_roles(
    names: Sequence[str], target: str, roles: Sequence[str], drop: Sequence[str]
) -> None:
    """Raise unless target, other roles and dropped columns are different columns of a table."""
    unknown = [name for name in (target, *roles, *drop) if name not in names]
    if unknown:
        raise TableError(f"There is no column {listed(unknown)}; the table has {listed(names)}.")
    if target in drop:
        raise TableError(f"The target {target!r} cannot be dropped.")
    if len({target, *roles, *drop}) < 1 + len(roles) + len(set(drop)):
        raise TableError("Target, weights, groups and dropped columns must be different ones.")


def check_feature_names(names: Sequence[str]) -> None:
    """Raise if two features, or one and the intercept, have the same name."""
    taken = [*names, "(intercept)"]
    if len(set(taken)) < len(taken):
        twice = sorted(name for name, times in collections.Counter(taken).items() if times > 1)
        raise TableError(f"Several features are named {listed(twice)}: rename a column.")


def is_text(dtype: pl.DataType) -> bool:
    """Return whether a column holds text of any kind."""
    return dtype in (pl.String, pl.Categorical, pl.Enum)


def text(column: pl.Series) -> pl.Series:
    """Return a column as plain text."""
    try:
        return column.cast(pl.String)
    except pl.exceptions.PolarsError as error:
        raise TableError(f"Column {column.name!r} holds {column.dtype}, not labels.") from error


def as_weights(column: pl.Series) -> np.ndarray:
    """Return a column without gaps as sample weights, or raise."""
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        raise TableError(f"The weights {column.name!r} hold {column.dtype} instead of numbers.")
    values = column.cast(pl.Float64).to_numpy()
    if (values < 0).any():
        raise TableError(f"The weights {column.name!r} must be at least 0.")
    return values


def too_wide(X: np.ndarray) -> np.ndarray:
    """Return which columns (n_features,) have squares that overflow, or vanish though they vary."""
    with np.errstate(over="ignore", invalid="ignore"):
        deviation, spread = X.std(axis=0), np.ptp(X, axis=0)
    return ~np.isfinite(deviation) | ((deviation == 0) & (spread > 0))


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
        raise TableError(f"Infinite values in column(s) {listed(infinite)}: remove those rows.")


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
    levels = text(column).unique().sort()
    if levels.str.contains(_DATE).all():
        raise TableError(
            f"Column {column.name!r} holds dates such as {levels[0]!r}, which have no encoding: "
            "turn them into numbers or drop them (--drop NAME)."
        )
    if len(levels) > _MOST_LEVELS or len(levels) > max(10, n_rows // 2):
        odd = no_numbers(levels)
        if odd is not None:
            raise TableError(
                f"Column {column.name!r} holds numbers, but also {odd!r}: mend these rows, or drop "
                "the column (--drop NAME)."
            )
        raise TableError(
            f"Column {column.name!r} has {len(levels)} different texts in {n_rows} rows "
            "and looks like an identifier: drop it (--drop NAME)."
        )
    return tuple(levels.to_list())


def no_numbers(column: pl.Series) -> str | None:
    """Return a text that is no number from a column where most are, or None."""
    levels = text(column).unique().sort()
    odd = levels.filter(levels.cast(pl.Float64, strict=False).is_null())
    return odd[0] if 0 < len(odd) <= len(levels) / 2 else None


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
            f"Column {column.name!r} holds {listed(unknown)}, which the model has never seen; "
            f"it knows {listed(levels)}."
        )
    shown = levels[1:] if len(levels) == 2 else levels
    return np.stack([values == level for level in shown], axis=1).astype(np.float64)
