"""Texts of the user inside messages: quoted, on one line, and never longer than a line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_MOST = 60
_KEPT = 40
# Comparing names costs the product of their lengths.
_MOST_COMPARED, _LONGEST_COMPARED = 2000, 100


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


def printable(text: str) -> str:
    r"""Return text with control characters and the like written as `repr` writes them.

    Escape sequences, line breaks, marks that turn the direction of writing, and halves of
    surrogate pairs would act on a terminal instead of being seen.

    Example:
        >>> printable("caf\xe9 \x1b[31mred\n")
        'café \\x1b[31mred\\n'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shortened(text: str, most: int = 60) -> str:
    """Return text of at most `most` characters; what is longer loses its middle.

    Example:
        >>> shortened("0123456789" * 9, most=11)
        '01234…56789'
    """
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def counted(n: int, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "feature"), counted(2, "feature")
        ('1 feature', '2 features')
    """
    return f"{n} {noun}{'' if n == 1 else 's'}"


def suggestion(name: str, names: Sequence[str]) -> str:
    """Return a question for the name that was probably meant, or nothing.

    Example:
        >>> suggestion("prize", ["area", "price"]), suggestion("cost", ["area"])
        (" Did you mean 'price'?", '')
    """
    known = [each for each in names[:_MOST_COMPARED] if len(each) <= _LONGEST_COMPARED]
    near = difflib.get_close_matches(name[:_LONGEST_COMPARED], known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
