"""Text files as cells: their encoding, their line ends and what separates their fields."""

from __future__ import annotations

import codecs
import collections
import csv
import io
import itertools
import pathlib
import re
from typing import NamedTuple

import polars as pl

from regjax._messages import listed, quoted
from regjax.tables._columns import TableError
from regjax.tables.options import ReadOptions
from regjax.tables.reading import reading

_BLOCK = 1 << 20
_SAMPLE = 1 << 16
_SEPARATORS = (",", ";", "\t", "|")
_MOST_RECORDS = 200
# That of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Cells(NamedTuple):
    """The fields of a text file, every column as text without blanks around."""

    frame: pl.DataFrame
    separator: str


class _Text(NamedTuple):
    """A file as polars reads it: its path or its content in UTF-8; its beginning; its line end."""

    source: pathlib.Path | io.BytesIO
    sample: str
    line_end: str


def read_text(path: pathlib.Path, options: ReadOptions) -> Cells:
    """Return the cells of a text file.

    Raises:
        TableError: if it is not text, or not a table.
    """
    shown = repr(str(path))
    text = _decoded(path, options.encoding)
    separator = options.separator
    if separator is None:
        separator = _separator(text.sample, "," if path.suffix.lower() == ".csv" else "\t", shown)
    hint = " Has every row as many fields as the header (--separator)?"
    with reading(f"{shown} cannot be read as a table", hint):
        frame = pl.read_csv(
            text.source,
            separator=separator,
            eol_char=text.line_end,
            infer_schema=False,
            glob=False,
        )
        frame = frame.with_columns(pl.all().str.strip_chars())
    raw = frame.columns
    if any("\r" in name or "\n" in name for name in raw):
        raise TableError(
            f"{shown} has a header with line ends inside, {listed(raw, 3)}: write every line with "
            "the same line end."
        )
    known = set(raw)
    # Polars tells columns of one name apart by an ending of its own.
    twice = [
        match[1]
        for name in raw
        if (match := re.fullmatch(r"(.*)_duplicated_\d+", name)) and match[1] in known
    ]
    names = [name.strip() for name in raw]
    twice += [name for name, times in collections.Counter(names).items() if times > 1]
    if twice:
        raise TableError(f"{shown} has several columns named {listed(twice)}; rename them.")
    frame.columns = names
    return Cells(_without_blank_end(frame), separator)


def _without_blank_end(frame: pl.DataFrame) -> pl.DataFrame:
    """Leave out blank lines at the end; in a single column they would be missing values."""
    height = frame.height
    while frame.width > 1 and height and not any(frame.row(height - 1)):
        height -= 1
    return frame.head(height)


def _decoded(path: pathlib.Path, encoding: str | None) -> _Text:
    """Check that a file is text, and return it in UTF-8."""
    with path.open("rb") as file:
        start = file.read(4)
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    encoding = encoding or marked or "utf-8"
    as_it_is = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
    content = None if as_it_is else io.BytesIO()
    decoder = codecs.getincrementaldecoder(encoding)()
    sample, lines, returns = "", 0, 0
    with path.open("rb") as file:
        while True:
            block = file.read(_BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as error:
                raise TableError(_not_text(path, encoding, error, lines)) from error
            if "\0" in text:
                raise TableError(
                    f"{str(path)!r} cannot be read: it holds NUL bytes, which no text has; save "
                    "it as UTF-8, or name its encoding (--encoding utf-16-le)."
                )
            sample += text[: _SAMPLE - len(sample)]
            lines += text.count("\n")
            returns += text.count("\r")
            if content is not None:
                content.write(text.encode())
            if not block:
                break
    if content is not None:
        content.seek(0)
    line_end = "\r" if returns and not lines else "\n"
    return _Text(content or path, sample.lstrip("\ufeff"), line_end)


def _not_text(path: pathlib.Path, encoding: str, error: UnicodeError, lines: int) -> str:
    if isinstance(error, UnicodeDecodeError):
        lines += error.object[: error.start].count(b"\n")
    what = "UTF-8" if encoding == "utf-8" else encoding
    return (
        f"{str(path)!r} cannot be read: it is not {what} (line {lines + 1}); name its encoding, as "
        "in --encoding cp1252 or latin-1, or save it as UTF-8."
    )


def _separator(sample: str, usual: str, shown: str) -> str:
    """Return what separates the fields, or raise if the beginning of a file leaves it open."""
    records = {mark: _records(sample, mark) for mark in _SEPARATORS}
    fields = {mark: [len(record) for record in found] for mark, found in records.items()}
    even = [mark for mark, n in fields.items() if len(set(n)) == 1 and n[0] > 1]
    # What cuts through quotes is no separator.
    cuts = {
        mark: sum('"' in field for record in records[mark] for field in record) for mark in even
    }
    even = [mark for mark in even if cuts[mark] == min(cuts.values())]
    if len(even) == 1:
        return even[0]
    if len(even) > 1:
        raise TableError(
            f"The fields of {shown} may be separated by {' or '.join(map(_name, even))}: say which "
            "with --separator."
        )
    in_header = [mark for mark, counts in fields.items() if counts and counts[0] > 1]
    # Rows of different lengths are a fault that the reader finds and explains.
    return in_header[0] if len(in_header) == 1 else usual


def _records(sample: str, mark: str) -> list[list[str]]:
    """Return the fields of the first records that are whole and not empty."""
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=mark)
    try:
        records = list(itertools.islice(reader, _MOST_RECORDS + 1))
    except csv.Error:
        return []
    if len(sample) == _SAMPLE:
        records = records[:-1]
    return [record for record in records if record]


def _name(mark: str) -> str:
    return "tab" if mark == "\t" else quoted(mark)
