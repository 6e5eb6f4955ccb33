"""Cells as values of a type: of one that is known, or of the one that a file's cells show."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import polars as pl

from regjax._messages import listed, quoted
from regjax.tables._columns import (
    MISSING,
    Rows,
    TableError,
    frame_of,
    is_number,
    is_text,
    text,
)
from regjax.tables._levels import Column
from regjax.tables._numbers import as_numbers, decimal_commas, plain
from regjax.tables.options import ReadOptions

_TRUTHS = ("true", "false")


def values_of(column: pl.Series, known: Column, options: ReadOptions, rows: Rows) -> pl.Series:
    """Return the values of a column that is known to hold numbers, booleans or text.

    Numbers and booleans become float64, text becomes text without blanks around. Each cell is
    read by itself: nothing depends on the cells beside it.

    Raises:
        TableError: for a cell, or a type, that is nothing of the kind.
    """
    if column.dtype == pl.Null:
        return column.cast(pl.String if known.kind == "text" else pl.Float64)
    if known.kind == "text":
        return _as_levels(column, known)
    if is_number(column.dtype):
        values = column.cast(pl.Float64)
        cells = None
    elif is_text(column.dtype):
        cells = _with_gaps(text(column))
        values = as_numbers(cells, options)
        if known.kind == "boolean":
            truths = cells.str.to_lowercase()
            values = values.zip_with(
                ~truths.is_in(_TRUTHS).fill_null(value=False),
                (truths == "true").cast(pl.Float64),
            )
    else:
        raise TableError(
            f"Column {quoted(column.name)} holds {column.dtype}, where the model takes "
            f"{known.kind}s."
        )
    wrong = pl.Series([], dtype=pl.Boolean)
    if cells is not None:
        wrong = values.is_null() & cells.is_not_null()
    if known.kind == "boolean" and not wrong.any():
        held = values.fill_nan(None)
        wrong = held.is_not_null() & ~held.is_in([0.0, 1.0])
    if wrong.any():
        first = wrong.arg_max()
        assert first is not None
        shown = quoted(column[first])
        raise TableError(
            f"Column {quoted(column.name)} holds {shown} in data row {int(rows[first])}, where "
            f"the model takes {known.kind}s: mend that row, or say how its cells are written "
            "(--decimal, --thousands, --unit)."
        )
    return values


def type_cells(
    cells: pl.DataFrame, options: ReadOptions, separator: str, as_text: Collection[str]
) -> tuple[pl.DataFrame, ReadOptions, list[str]]:
    """Return the columns of a text file under the types that their cells show.

    Args:
        cells: every column as text, without blanks around.
        options: as given; the decimal mark may be left to be found here.
        separator: of the fields of the file.
        as_text: names of columns that stay text.

    Returns:
        The typed columns; the options with the decimal mark; notes for the user.
    """
    columns = [_with_gaps(column) for column in cells.get_columns()]
    if options.decimal is None:
        commas = separator != "," and options.thousands != "," and decimal_commas(columns)
        commas = commas or options.thousands == "."
        options = dataclasses.replace(options, decimal="," if commas else ".")
    kept = set(as_text)
    typed, notes = [], []
    for column in columns:
        values = column if column.name in kept else _typed(column, options)
        typed.append(values)
        if values.dtype.is_integer() and column.str.contains(r"^[+-]?0\d").any():
            zeros = column.filter(column.str.contains(r"^[+-]?0\d"))[0]
            notes.append(
                f"Column {quoted(column.name)} holds {quoted(zeros)} and is taken for numbers; if "
                "these are codes, name it with --categorical NAME."
            )
    return frame_of(typed), options, notes


def _typed(cells: pl.Series, options: ReadOptions) -> pl.Series:
    held = cells.drop_nulls()
    if held.is_empty():
        return cells
    if held.str.to_lowercase().is_in(_TRUTHS).all():
        return cells.str.to_lowercase() == "true"
    written = plain(cells, options)
    numbers = written.cast(pl.Float64, strict=False)
    if numbers.null_count() > cells.null_count():
        return cells
    for whole in (pl.Int64, pl.Int128):
        values = written.cast(whole, strict=False)
        if values.null_count() == cells.null_count():
            return values
    return numbers


def _as_levels(column: pl.Series, known: Column) -> pl.Series:
    if is_text(column.dtype):
        cells = text(column)
        # Whatever is a level of the model is that level, and not a gap.
        gaps = [word for word in MISSING if word not in known.levels]
        return _with_gaps(cells, gaps)
    if is_number(column.dtype):
        _refuse_lossy(column, known)
    return text(column)


def _refuse_lossy(column: pl.Series, known: Column) -> None:
    """Raise if numbers no longer show which of the texts that the model knows they were."""
    levels = pl.Series(known.levels, dtype=pl.String)
    if column.dtype == pl.Boolean:
        lower = levels.str.to_lowercase()
        lossy = levels.filter(lower.is_in(_TRUTHS) & (lower != levels))
    else:
        back = levels.cast(column.dtype, strict=False).cast(pl.String)
        lossy = levels.filter((back != levels).fill_null(value=False))
    if len(lossy):
        raise TableError(
            f"Column {quoted(column.name)} holds {column.dtype}, where the model takes text such "
            f"as {listed(lossy, 3)}: give it as text."
        )


def _with_gaps(cells: pl.Series, words: Collection[str] = MISSING) -> pl.Series:
    """Return texts with null in place of the words that say that a value is missing."""
    gaps = cells.is_in(list(words)).fill_null(value=False)
    return cells.set(gaps, None) if gaps.any() else cells
