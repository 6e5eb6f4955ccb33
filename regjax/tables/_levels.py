"""What a column of training data is: numbers, booleans, or text with its levels."""

from __future__ import annotations

from typing import Literal, NamedTuple

import polars as pl

from regjax._messages import quoted
from regjax.tables._columns import Rows, TableError, is_number, place, text
from regjax.tables._numbers import as_numbers, formatted
from regjax.tables.options import ReadOptions

_MOST_LEVELS = 1000
_DATE = r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})\b"

Kind = Literal["number", "boolean", "text"]


class Column(NamedTuple):
    """A column as a model knows it.

    Attributes:
        name: in the table.
        kind: how its cells are read.
        levels: the different texts of a column of text, in order; of others empty.
    """

    name: str
    kind: Kind
    levels: tuple[str, ...] = ()

    @property
    def feature_names(self) -> list[str]:
        """Names of the features that it becomes."""
        if self.kind != "text":
            return [self.name]
        return [f"{self.name}={level}" for level in self.shown]

    @property
    def shown(self) -> tuple[str, ...]:
        """The levels that have a feature of their own: of two the second."""
        return self.levels[1:] if len(self.levels) == 2 else self.levels


def learn_column(
    column: pl.Series, n_rows: int, options: ReadOptions, rows: Rows | None = None
) -> Column:
    """Return what a column of `n_rows` rows is.

    Args:
        column: of a text, the rows with every different value are enough.
        n_rows: of the table.
        options: how the table was read.
        rows: numbers of the rows, where all of them are in `column`.

    Raises:
        TableError: if it has no encoding, or it is not certain which.
    """
    name = column.name
    by_name = name in options.categorical
    if is_number(column.dtype) and not by_name:
        return Column(name, "boolean" if column.dtype == pl.Boolean else "number")
    if not (by_name or column.dtype in (pl.String, pl.Categorical, pl.Enum)):
        raise TableError(
            f"Column {quoted(name)} holds {column.dtype}, which has no encoding: turn it into "
            "numbers or drop it (--drop NAME)."
        )
    cells = text(column)
    levels = cells.drop_nulls().unique().sort()
    if len(levels) > _MOST_LEVELS and by_name:
        raise TableError(
            f"Column {quoted(name)} has {len(levels):,} different texts; at most {_MOST_LEVELS:,} "
            "become features: drop it (--drop NAME)."
        )
    if not by_name:
        _refuse_doubtful(cells, levels, n_rows, options, rows)
    return Column(name, "text", tuple(levels.to_list()))


def _refuse_doubtful(
    cells: pl.Series, levels: pl.Series, n_rows: int, options: ReadOptions, rows: Rows | None
) -> None:
    """Raise if texts are dates, formatted numbers or identifiers rather than levels."""
    name = quoted(cells.name)
    as_text = "or take it for text with --categorical NAME, or drop it (--drop NAME)"
    if levels.str.contains(_DATE).all():
        raise TableError(
            f"Column {name} holds dates such as {quoted(levels[0])}, which have no encoding: "
            f"turn them into numbers, {as_text}."
        )
    refuse_formatted(f"Column {name}", cells, levels, options, rows, as_text)
    if len(levels) > _MOST_LEVELS or len(levels) > max(10, n_rows // 2):
        odd = odd_text(levels, options)
        if odd is not None:
            raise TableError(
                f"Column {name} holds numbers, but also {quoted(odd)}{place(cells, odd, rows)}: "
                f"mend these rows, {as_text}."
            )
        raise TableError(
            f"Column {name} has {len(levels):,} different texts in {n_rows:,} rows and looks like "
            "an identifier: drop it (--drop NAME)."
        )


def refuse_formatted(
    what: str,
    cells: pl.Series,
    levels: pl.Series,
    options: ReadOptions,
    rows: Rows | None,
    otherwise: str,
) -> None:
    """Raise if most texts are numbers, and some are not written plainly."""
    found = formatted(levels, options)
    if found is None:
        return
    # Only what was read from a text file knows its decimal mark.
    from_file = options.decimal is not None and found.options
    remedy = f"read it with {found.options}" if from_file else "turn it into plain numbers"
    raise TableError(
        f"{what} holds {quoted(found.text)}{place(cells, found.text, rows)}, a formatted number: "
        f"{remedy}, {otherwise}."
    )


def odd_text(levels: pl.Series, options: ReadOptions) -> str | None:
    """Return a text that is not a number where most of these different texts are, or None."""
    odd = levels.filter(as_numbers(levels, options).is_null())
    return odd[0] if 0 < len(odd) <= len(levels) / 2 else None
