"""Texts that are numbers: as they are written plainly, and as people format them."""

from __future__ import annotations

import re
from typing import NamedTuple

import polars as pl

from regjax.tables.options import ReadOptions

_MINUS = "\u2212"
_APOSTROPHES = "'\u2019"
_SPACES = "\u00a0\u202f\u2009"
_CURRENCY = "€$£¥₹₩₽₺₴₫₪฿¢"
_CORE = rf"(?:\d{{1,3}}(?:[,.{_APOSTROPHES}_ {_SPACES}]\d{{3}})+|\d+)(?:[.,]\d+)?|[.,]\d+"
_FORMATTED = (
    rf"^[+\-{_MINUS}]?\s*(?:[{_CURRENCY}]\s*)?[+\-{_MINUS}]?(?:{_CORE})(?:\s*[%‰{_CURRENCY}])?$"
)
_WITH_UNIT = rf"^[+\-{_MINUS}]?(?:{_CORE})\s*([^\s\d.,{_APOSTROPHES}_+\-{_MINUS}][^\s\d]*)$"
_PARTS = re.compile(
    rf"[+\-{_MINUS}]?\s*(?P<before>[{_CURRENCY}]?)\s*[+\-{_MINUS}]?"
    rf"(?P<core>{_CORE})\s*(?P<behind>[^\s\d]*)"
)
_MOST_EXAMPLES = 1000


class Formatted(NamedTuple):
    """A text that looks like a formatted number, and the options that would read it."""

    text: str
    options: str


def plain(cells: pl.Series, options: ReadOptions) -> pl.Series:
    """Return texts without blanks around in plain notation; null what these options do not read."""
    decimal, thousands = options.decimal or ".", options.thousands
    if decimal == "." and thousands is None and not options.units:
        return cells
    if options.units:
        units = "|".join(re.escape(unit.strip()) for unit in sorted(options.units, key=len)[::-1])
        cells = cells.str.replace(rf"^([+-]?)\s*(?:{units})\s*", "$1")
        cells = cells.str.replace(rf"\s*(?:{units})$", "")
    frame = cells.alias("cell").to_frame()
    cell = pl.col("cell")
    if thousands is not None:
        alike = {" ": f"[ {_SPACES}]", "'": f"[{_APOSTROPHES}]"}
        mark = alike.get(thousands, re.escape(thousands))
        grouped = rf"^[+-]?\d{{1,3}}(?:{mark}\d{{3}})+(?:{re.escape(decimal)}\d*)?$"
        frame = frame.with_columns(
            pl.when(cell.str.contains(grouped))
            .then(cell.str.replace_all(mark, ""))
            .when(~cell.str.contains(mark))
            .then(cell)
            .alias("cell")
        )
    if decimal == ",":
        written = cell.str.replace(",", ".", literal=True)
        frame = frame.with_columns(
            pl.when(~cell.str.contains(".", literal=True)).then(written).alias("cell")
        )
    return frame["cell"].rename(cells.name)


def as_numbers(cells: pl.Series, options: ReadOptions) -> pl.Series:
    """Return texts without blanks around as float64, null where one is not a number."""
    return plain(cells, options).cast(pl.Float64, strict=False)


def formatted(levels: pl.Series, options: ReadOptions) -> Formatted | None:
    """Return an example if most of these different texts are numbers, some of them formatted."""
    if levels.is_empty():
        return None
    numeric = as_numbers(levels, options).is_not_null()
    odd = levels.filter(levels.str.contains(_FORMATTED) & ~numeric)
    if odd.is_empty():
        units = levels.str.extract(_WITH_UNIT)
        odd = levels if units.null_count() == 0 and units.n_unique() == 1 else odd
    if odd.is_empty() or 2 * (len(odd) + int(numeric.sum())) <= len(levels):
        return None
    examples = odd[:_MOST_EXAMPLES].to_list()
    hints = [_options(example) for example in examples]
    # Of 6,000 and 1,5 the second says what a comma means.
    best = next((i for i, hint in enumerate(hints) if " or " not in hint), 0)
    return Formatted(examples[best], hints[best])


def decimal_commas(columns: list[pl.Series]) -> bool:
    """Return whether texts of a file certainly have commas before their decimals.

    Certain is a column of numbers with single commas that do not all stand before three digits,
    while no column has decimal points.
    """
    found = False
    for cells in columns:
        held = cells.drop_nulls()
        if held.is_empty():
            continue
        points = held.str.contains(".", literal=True).any()
        if points and held.str.contains(r"^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$").all():
            return False
        if found or not held.str.contains(",", literal=True).any():
            continue
        numbers = held.str.contains(r"^[+-]?(?:\d+(?:,\d*)?|,\d+)(?:[eE][+-]?\d+)?$").all()
        groups = held.str.contains(r"^[+-]?[1-9]\d{0,2},\d{3}$|^[^,]*$").all()
        found = numbers and not groups
    return found


def _options(text: str) -> str:
    """Return the options that read a formatted number, as they are typed."""
    parts = _PARTS.fullmatch(text)
    if parts is None:
        return ""
    units = [f"--unit {_typed(unit)}" for unit in (parts["before"], parts["behind"]) if unit]
    marks = re.sub(r"\d", "", parts["core"])
    if not marks:
        return " ".join(units)
    last, rest = marks[-1], set(marks[:-1]) - {marks[-1]}
    in_threes = re.search(r"\d[^\d]\d{3}$", parts["core"]) is not None
    if marks.count(last) > 1 or last not in ".," or (in_threes and not rest):
        chosen = f"--thousands {_typed(last)}"
        if len(marks) == 1 and last in ".,":
            chosen += f" or --decimal {_typed(last)}"
    else:
        chosen = " ".join(
            [
                *([] if last == "." else [f"--decimal {_typed(last)}"]),
                *(f"--thousands {_typed(mark)}" for mark in sorted(rest)),
            ]
        )
    return " ".join([*units, *([chosen] if chosen else [])])


def _typed(mark: str) -> str:
    """Return a mark as one types it in a shell."""
    if mark in f" {_SPACES}":
        return "space"
    return '"\'"' if mark in _APOSTROPHES else f"'{mark}'"
