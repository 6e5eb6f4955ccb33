"""The one way from a command to the terminal: text that only shows, tables that are never cut.

All text, also the user's own, passes `printable` and is never markup. A reader that leaves early,
as `head` does, ends nothing: what is left to print is dropped, and the work goes on.
"""

from __future__ import annotations

import dataclasses
import errno
import sys
import textwrap
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from regjax._messages import printable, shortened
from regjax.cli._stdout import StandardOutput, encodable

_LONGEST_CELL = 200
_LONGEST_ERROR = 500
_LONGEST_NUMBER = 12
_NARROWEST = 20
_LEFT = ("model", "fit", "feature", "choice")
# What a shell reports of a program that wrote to a closed pipe: 128 + SIGPIPE.
_CLOSED_PIPE = 141


stdout = StandardOutput()
console = Console(file=stdout)  # type: ignore[arg-type]


def finish() -> int:
    """Write out what is held back; return the exit code that standard output leads to."""
    stdout.flush()
    failure, stdout.failure = stdout.failure, None
    if failure is None:
        return 0
    if failure.errno == errno.EPIPE:
        return _CLOSED_PIPE
    complain(f"Standard output cannot be written: {failure.strerror}.")
    return 1


def say(text: str) -> None:
    """Print a text; lines are broken between words alone."""
    for line in _lines(_clean(text)):
        _print(line)


def complain(text: str, hint: str = "") -> None:
    """Print a text to standard error as one line, shortened if need be, and a hint below."""
    line = shortened(printable(" ".join(text.split())), _LONGEST_ERROR)
    for part in (f"Error: {line}", *([hint] if hint else [])):
        warn(part)


def warn(text: str) -> None:
    """Print a line to standard error, which may be closed."""
    stream = sys.stderr
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(f"{encodable(printable(text), encoding)}\n")
        stream.flush()
    except OSError:
        pass


def heading(text: str) -> None:
    """Print the title of what follows."""
    text = _clean(text)
    if cell_len(text) + 4 > console.width:
        say(text)
    else:
        console.rule(Text(text, "bold"))


def write_data(text: str) -> None:
    """Print data: as they are, in UTF-8, to a file or a pipe; to a terminal as other text."""
    if not stdout.isatty():
        stdout.write_bytes(text.encode())
        return
    for line in text.removesuffix("\n").split("\n"):
        _print(_clean(line))


def number(value: float | None, form: str) -> str:
    """Return a number in this format, and a dash for none.

    Example:
        >>> number(0.25, ".4f"), number(2e30, ".4f"), number(None, ".4f")
        ('0.2500', '2e+30', '-')
    """
    if value is None:
        return "-"
    text = f"{value:{form}}"
    # A fixed number of decimals would write out all digits of what is huge.
    return text if len(text) <= _LONGEST_NUMBER else f"{value:.4g}"


@dataclasses.dataclass
class Table:
    """Rows of text under named columns.

    Attributes:
        title: printed above.
        columns: names.
        rows: with whether a row stands out, or None where a section ends.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[tuple[str, ...], bool] | None] = dataclasses.field(default_factory=list)

    def add_row(self, *cells: str, chosen: bool = False) -> None:
        self.rows.append((cells, chosen))

    def end_section(self) -> None:
        self.rows.append(None)


def print_table(table: Table) -> None:
    """Print a table across, columns of text left and columns of numbers right, if it fits.

    Where the terminal is too narrow for its columns, every row is a block of its own with a line
    per column: nothing is cut.
    """
    columns = [_cell(column) for column in table.columns]
    rows = [row and (tuple(map(_cell, row[0])), row[1]) for row in table.rows]
    cells = [columns, *(row[0] for row in rows if row)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    say(table.title)
    for gap in (3, 2, 1):
        width = 1 + sum(widths) + gap * (len(widths) - 1)
        if width <= console.width:
            _print_across(columns, rows, widths, gap)
            return
    _print_blocks(columns, rows, widths)


def print_more(n: int, where: str) -> None:
    """Print how many rows a table has left out, if it has, and where they are."""
    if n > 0:
        say(f"{n} more {'is' if n == 1 else 'are'} in {where}.")


_Rows = list[tuple[tuple[str, ...], bool] | None]


def _print_across(columns: list[str], rows: _Rows, widths: list[int], gap: int) -> None:
    def line(cells: Any) -> str:
        parts = []
        for name, cell, width in zip(columns, cells, widths, strict=True):
            blank = " " * (width - cell_len(cell))
            parts.append(cell + blank if name in _LEFT else blank + cell)
        return (" " + (" " * gap).join(parts)).rstrip()

    _print("")
    _print(line(columns), "bold")
    rule = "-" if encodable("─", stdout.encoding) != "─" else "─"
    _print(" " + rule * (sum(widths) + gap * (len(widths) - 1)))
    for row in rows:
        _print(*(("",) if row is None else (line(row[0]), "bold green" if row[1] else "")))
    if rows and rows[-1] is not None:
        _print("")


def _print_blocks(columns: list[str], rows: _Rows, widths: list[int]) -> None:
    longest = max(map(cell_len, columns))
    beside = 1 + longest + 2 + max(widths) <= console.width
    for cells, chosen in filter(None, rows):
        _print("")
        style = "bold green" if chosen else ""
        for name, cell in zip(columns, cells, strict=True):
            if beside:
                _print(f" {name}{' ' * (longest - cell_len(name))}  {cell}", style)
            else:
                _print(f" {name}", style)
                _print(f"   {cell}", style)
    _print("")


def _print(line: str, style: str = "") -> None:
    console.print(Text(line, style), soft_wrap=True, highlight=False)


def _lines(text: str) -> list[str]:
    width = max(_NARROWEST, console.width)
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _cell(text: str) -> str:
    return shortened(_clean(text), _LONGEST_CELL)


def _clean(text: str) -> str:
    return encodable(printable(text), stdout.encoding)
