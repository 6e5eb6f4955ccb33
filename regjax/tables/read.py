"""Files as data frames."""

from __future__ import annotations

import pathlib
from collections.abc import Collection

import polars as pl

from regjax.tables._columns import TableError
from regjax.tables._files import check_name
from regjax.tables._text_files import read_text
from regjax.tables._values import type_cells
from regjax.tables.options import ReadOptions
from regjax.tables.reading import reading

_OF_TEXT = (".csv", ".tsv", ".txt")


def read_table(path: str | pathlib.Path, read_options: ReadOptions | None = None) -> pl.DataFrame:
    """Return the CSV, TSV or Parquet file at `path` as a data frame, columns typed by its cells.

    Blank lines at the end of a text file are no rows, unless it has a single column.

    Raises:
        TableError: if it does not exist, is a folder, is empty or cannot be read as a table.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "houses.csv"
        ...     _ = path.write_text("area;price\\n50,5;100\\n80;150\\n")
        ...     read_table(path).row(0)
        (50.5, 100)
    """
    return read_typed(path, read_options or ReadOptions())[0]


def read_cells(path: str | pathlib.Path, read_options: ReadOptions | None = None) -> pl.DataFrame:
    """Return the file at `path` as a data frame; every column of a text file is text.

    That is how `Encoding.encode` takes new rows: a model knows the types of its columns, and does
    not guess them from the rows that a file happens to hold.

    Raises:
        TableError: as in `read_table`.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "houses.csv"
        ...     _ = path.write_text("zip, area\\n01, 50\\n")
        ...     read_cells(path).row(0, named=True)
        {'zip': '01', 'area': '50'}
    """
    path = _checked(path)
    frame = read_text(path, read_options or ReadOptions()).frame if is_text_file(path) else None
    return _with_rows(path, _parquet(path) if frame is None else frame)


def read_typed(
    path: str | pathlib.Path, options: ReadOptions, as_text: Collection[str] = ()
) -> tuple[pl.DataFrame, ReadOptions, list[str]]:
    """Return a file as a typed data frame, how it was read, and notes.

    Args:
        options: what the decimal mark and others are; what they leave out is detected.
        as_text: columns of a text file that stay text, besides categorical ones.
    """
    path = _checked(path)
    if not is_text_file(path):
        options.check_typed(repr(str(path)))
        return _with_rows(path, _parquet(path)), options, []
    cells, separator = read_text(path, options)
    _with_rows(path, cells)
    return type_cells(cells, options, separator, {*options.categorical, *as_text})


def is_text_file(path: str | pathlib.Path) -> bool:
    """Return whether a file's name is that of a text file."""
    return pathlib.Path(path).suffix.lower() in _OF_TEXT


def _checked(path: str | pathlib.Path) -> pathlib.Path:
    path = pathlib.Path(path)
    check_name(path)
    shown = repr(str(path))
    if not path.exists():
        raise TableError(f"There is no file {shown}.")
    if path.is_dir():
        raise TableError(f"{shown} is a folder; give a CSV or Parquet file.")
    if path.suffix.lower() not in (*_OF_TEXT, ".parquet"):
        raise TableError(
            f"{shown} has no known ending; tables are .csv, .tsv, .txt (text) or .parquet."
        )
    if path.stat().st_size == 0:
        raise TableError(f"{shown} is empty.")
    return path


def _parquet(path: pathlib.Path) -> pl.DataFrame:
    with reading(f"{str(path)!r} cannot be read as a table"):
        return pl.read_parquet(path, glob=False, hive_partitioning=False)


def _with_rows(path: pathlib.Path, frame: pl.DataFrame) -> pl.DataFrame:
    if frame.height == 0:
        raise TableError(f"{str(path)!r} has a header but no rows.")
    return frame
