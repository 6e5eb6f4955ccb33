"""How tables are read: what a file leaves open, and what the user says of its columns."""

from __future__ import annotations

import codecs
import dataclasses
from collections.abc import Sequence
from typing import Any

from regjax._messages import listed, quoted
from regjax.tables._columns import TableError

_OF_TEXT_FILES = ("separator", "decimal", "thousands", "units", "encoding")
_NAMED = {"tab": "\t", "\\t": "\t", "space": " "}
_DECIMALS = (".", ",")
_THOUSANDS = (",", ".", "'", " ", "_")


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """What the reader of a table is told; whatever is left out is detected where it is certain.

    Attributes:
        separator: character between the fields of a text file, or "tab".
        decimal: mark before the decimals, "." or ",".
        thousands: mark between groups of three digits: one of `,`, `.`, `'`, `_` and " ".
        units: texts that stand before or behind numbers, as "%", "€" or "kg"; 55% becomes 55.
        encoding: of the characters of a text file, as "utf-8" or "cp1252".
        categorical: columns that are taken for text whatever they look like.
        drop_missing: whether rows with missing values are left out.

    Raises:
        TableError: for an option that cannot be used.

    Example:
        >>> ReadOptions(separator=";", decimal=",", categorical=["zip"])
        ... # doctest: +NORMALIZE_WHITESPACE
        ReadOptions(separator=';', decimal=',', thousands=None, units=(), encoding=None,
                    categorical=('zip',), drop_missing=False)
    """

    separator: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    units: Sequence[str] = ()
    encoding: str | None = None
    categorical: Sequence[str] = ()
    drop_missing: bool = False

    def __post_init__(self) -> None:
        for name in ("separator", "thousands"):
            value = getattr(self, name)
            object.__setattr__(self, name, _NAMED.get(value, value))
        for name in ("units", "categorical"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(each, str) for each in value):
                raise TableError(f"{name} must be a list of texts, got {quoted(value)}.")
            object.__setattr__(self, name, tuple(value))
        separator = self.separator
        if separator is not None and (
            len(separator) != 1 or not separator.isascii() or separator in '"\n\r\0'
        ):
            raise TableError(
                "The separator (--separator) must be one character, such as ; or |, or tab, got "
                f"{quoted(separator)}."
            )
        if self.decimal not in (None, *_DECIMALS):
            raise TableError(
                f"The decimal mark (--decimal) must be . or , and is {quoted(self.decimal)}."
            )
        if self.thousands not in (None, *_THOUSANDS):
            raise TableError(
                "The mark between thousands (--thousands) must be one of "
                f"{listed(_THOUSANDS)}, got {quoted(self.thousands)}."
            )
        if self.thousands is not None and self.thousands == self.decimal:
            raise TableError(f"{quoted(self.decimal)} cannot mark both decimals and thousands.")
        for unit in self.units:
            if not unit.strip() or any(c.isdecimal() for c in unit):
                raise TableError(
                    f"A unit (--unit) is a text beside numbers, as %, € or kg, got {quoted(unit)}."
                )
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
                "".encode(self.encoding)
            except (LookupError, ValueError) as error:
                raise TableError(
                    f"There is no encoding {quoted(self.encoding)} (--encoding); there are utf-8, "
                    "utf-16, latin-1, cp1252 and many more."
                ) from error

    def over(self, other: ReadOptions) -> ReadOptions:
        """Return `other` with whatever is given here in its place.

        Example:
            >>> ReadOptions(decimal=",").over(ReadOptions(decimal=".", separator=";")).separator
            ';'
        """
        return dataclasses.replace(other, **self.given())

    def given(self) -> dict[str, Any]:
        """Return the options that are not left out."""
        return {name: value for name, value in self.to_json().items() if value}

    def check_typed(self, what: str) -> None:
        """Raise if an option of text files is given, where `what` has types of its own."""
        wrong = [name for name in self.given() if name in _OF_TEXT_FILES]
        if wrong:
            raise TableError(
                f"{', '.join(wrong)}: said of text files (.csv, .tsv, .txt), and {what} is none."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the options as JSON takes them."""
        return dataclasses.asdict(self)
