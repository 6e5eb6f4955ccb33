"""Single columns: the types they may have, and the checks that hold for all of them."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from regjax._messages import listed, quoted, suggestion

MISSING = ("", "NA", "N/A", "nan", "NaN", "null", "NULL", "?")
"""Texts of a file that say that a value is missing."""

Rows = Sequence[int] | np.ndarray
"""The numbers of the rows of a table as messages name them: from 1, a header not counted."""


class TableError(ValueError):
    """A table that cannot be used as it is; the message says what to change."""


def check_roles(
    names: Sequence[str], target: str, roles: Sequence[str], drop: Sequence[str]
) -> None:
    """Raise unless target, other roles and dropped columns are different columns of a table."""
    check_known(names, [target, *roles, *drop])
    if target in drop:
        raise TableError(f"The target {quoted(target)} cannot be dropped.")
    if len({target, *roles, *drop}) < 1 + len(roles) + len(set(drop)):
        raise TableError("Target, weights, groups and dropped columns must be different ones.")


def check_known(names: Sequence[str], wanted: Iterable[str]) -> None:
    """Raise unless a table with columns of these names has the wanted ones."""
    known = set(names)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise TableError(
            f"There is no column {listed(unknown)}; the table has {listed(names)}."
            f"{suggestion(unknown[0], names)}"
        )


def check_feature_names(names: Sequence[str]) -> None:
    """Raise if two features, or one and the intercept, have the same name."""
    taken = [*names, "(intercept)"]
    if len(set(taken)) < len(taken):
        twice = sorted(name for name, times in collections.Counter(taken).items() if times > 1)
        raise TableError(f"Several features are named {listed(twice)}: rename a column.")


def by_name(frame: pl.DataFrame) -> dict[str, pl.Series]:
    """Return the columns of a frame, each found in constant time."""
    return {column.name: column for column in frame.get_columns()}


def frame_of(columns: Iterable[pl.Series]) -> pl.DataFrame:
    """Return columns as a frame under their own names, empty ones too."""
    return pl.DataFrame({column.name: column for column in columns})


def is_text(dtype: pl.DataType) -> bool:
    """Return whether a column holds text of any kind."""
    return dtype in (pl.String, pl.Categorical, pl.Enum)


def is_number(dtype: pl.DataType) -> bool:
    """Return whether a column holds numbers or booleans."""
    return dtype.is_numeric() or dtype == pl.Boolean


def text(column: pl.Series) -> pl.Series:
    """Return a column as text without blanks around; what is blank as a whole is missing."""
    try:
        cells = column.cast(pl.String).str.strip_chars()
    except pl.exceptions.PolarsError as error:
        raise TableError(
            f"Column {quoted(column.name)} holds {column.dtype}, not labels."
        ) from error
    return cells.replace("", None)


def as_weights(column: pl.Series) -> np.ndarray:
    """Return a column without gaps as sample weights, or raise."""
    if not is_number(column.dtype):
        raise TableError(
            f"The weights {quoted(column.name)} hold {column.dtype} instead of numbers."
        )
    values = column.cast(pl.Float64).to_numpy()
    if (values < 0).any():
        raise TableError(f"The weights {quoted(column.name)} must be at least 0.")
    return values


def too_wide(X: np.ndarray) -> np.ndarray:
    """Return which columns (n_features,) have squares that overflow, or vanish though they vary."""
    with np.errstate(over="ignore", invalid="ignore"):
        deviation, spread = X.std(axis=0), np.ptp(X, axis=0)
    return ~np.isfinite(deviation) | ((deviation == 0) & (spread > 0))


def missing(column: pl.Series) -> np.ndarray:
    """Return which values (n_rows,) of a column are missing."""
    # NumPy, since a call of polars costs a tenth of a millisecond, and tables have many columns.
    if column.dtype.is_float():
        return np.isnan(column.to_numpy())
    return column.is_null().to_numpy() if column.null_count() else np.zeros(len(column), dtype=bool)


def incomplete(columns: Mapping[str, pl.Series], n_rows: int) -> np.ndarray:
    """Return which rows (n_rows,) miss a value in one of the columns."""
    rows = np.zeros(n_rows, dtype=bool)
    for column in columns.values():
        rows |= missing(column)
    return rows


def refuse_missing(columns: Mapping[str, pl.Series], rows: Rows, *, of_model: bool = False) -> None:
    """Raise if a value is missing or infinite; every such column is named, and the first row.

    Columns that a model takes cannot be dropped.
    """
    gaps: dict[str, np.ndarray] = {}
    infinite: dict[str, np.ndarray] = {}
    for name, column in columns.items():
        lost = missing(column)
        if lost.any():
            gaps[name] = np.flatnonzero(lost)
        if column.dtype.is_float() and np.isinf(column.to_numpy()).any():
            infinite[name] = np.flatnonzero(np.isinf(column.to_numpy()))
    if gaps:
        counted = [f"{quoted(name)} ({len(found)})" for name, found in gaps.items()]
        more = f" and {len(counted) - 12} more" if len(counted) > 12 else ""
        columns_too = "" if of_model else " or such columns (--drop NAME)"
        raise TableError(
            f"Missing values in column(s) {', '.join(counted[:12])}{more}, the first in data row "
            f"{_first(gaps, rows)}: leave such rows out (--drop-missing){columns_too}, or fill the "
            "values in first."
        )
    if infinite:
        raise TableError(
            f"Infinite values in column(s) {listed(infinite)}, or numbers beyond 1e308, the first "
            f"in data row {_first(infinite, rows)}: remove those rows."
        )


def _first(found: Mapping[str, np.ndarray], rows: Rows) -> int:
    return int(rows[min(int(indices[0]) for indices in found.values())])


def place(column: pl.Series, value: str, rows: Rows | None) -> str:
    """Return where the first cell with this text is; nothing for rows that are not in memory."""
    if rows is None:
        return ""
    held = (column == value).fill_null(value=False).arg_max()
    return "" if held is None else f" in data row {int(rows[held])}"
