"""Texts of the user inside messages: quoted, on one line, and never longer than a line."""

from __future__ import annotations

from collections.abc import Iterable

_MOST = 60
_KEPT = 40


def quoted(value: object) -> str:
    """Return `value` for a message: its `repr`, and of a long one the beginning and the length.

    Control characters and what is not Unicode come out escaped.

    Example:
        >>> quoted("price"), quoted(2.5)
        ("'price'", '2.5')
        >>> quoted("x" * 1000)
        "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'... (1,000 characters)"
    """
    if isinstance(value, str) and len(value) > _MOST:
        return f"{value[:_KEPT]!r}... ({len(value):,} characters)"
    text = repr(value)
    return text if len(text) <= 4 * _MOST else f"{text[:_KEPT]}... ({len(text):,} characters)"


def listed(values: Iterable[object], most: int = 12) -> str:
    """Return the first `most` of several values for a message, and how many more there are.

    Example:
        >>> listed(["age", "bmi"]), listed(range(5), most=2)
        ("'age', 'bmi'", '0, 1 and 3 more')
    """
    every = list(values)
    shown = ", ".join(map(quoted, every[:most]))
    return shown if len(every) <= most else f"{shown} and {len(every) - most:,} more"
