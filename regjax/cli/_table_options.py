"""The options that say how a table is read, for every command that reads one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

_OPTIONS = (
    click.option(
        "--separator", help="Between the fields of a text file: one character, or tab; else found."
    ),
    click.option("--decimal", help="Mark before decimals: . or , as in 1,5; else found."),
    click.option("--thousands", help="Mark in numbers such as 6,000: one of , . ' _ or space."),
    click.option(
        "--unit",
        "units",
        multiple=True,
        help="Text beside numbers, as %, € or kg: 55% is read as 55; may be repeated.",
    ),
    click.option(
        "--encoding", help="Of a text file, as cp1252 or latin-1; by default UTF-8, or as marked."
    ),
    click.option(
        "--categorical",
        multiple=True,
        help="Column to take for text whatever it looks like; may be repeated.",
    ),
    click.option("--drop-missing", is_flag=True, help="Leave out rows with missing values."),
)
_NAMES = ("separator", "decimal", "thousands", "units", "encoding", "categorical", "drop_missing")


def table_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of reading; the function gets them as one `read_options`."""

    @functools.wraps(function)
    def wrapper(*args: Any, **options: Any) -> Any:
        from regjax.tables import ReadOptions

        given = ReadOptions(**{name: options.pop(name) for name in _NAMES})
        return function(*args, read_options=given, **options)

    for option in reversed(_OPTIONS):
        wrapper = option(wrapper)
    return wrapper
