"""Tables and numbers as all commands print them."""

from __future__ import annotations

from rich import box
from rich.table import Table


def new_table(title: str, columns: tuple[str, ...]) -> Table:
    """Return an empty table; columns of text stand left, columns of numbers right."""
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, title=title)
    for column in columns:
        left = column in ("model", "fit", "feature", "choice")
        grid.add_column(column, justify="left" if left else "right", no_wrap=True)
    return grid


def number(value: float | None, form: str) -> str:
    """Return a number in this format, and a dash for none."""
    return "-" if value is None else f"{value:{form}}"
