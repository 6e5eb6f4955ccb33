"""Files as data frames."""

from __future__ import annotations

import functools
import pathlib
import re

import polars as pl

from regjax._messages import listed
from regjax.tables._columns import TableError
from regjax.tables._reading import reading

_ROWS_OF_TYPES = 10_000
_MISSING = ["", "NA", "N/A", "nan", "NaN", "null", "NULL", "?"]


def read_table(path: str | pathlib.Path) -> pl.DataFrame:
    """Return the CSV, TSV or Parquet file at `path` as a data frame.

    Raises:
        TableError: if it does not exist, is a folder, is empty or cannot be read as a table.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "houses.csv"
        ...     _ = path.write_text("area,price\\n50,100\\n80,150\\n")
        ...     read_table(path).shape
        (2, 2)
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise TableError(f"There is no file {str(path)!r}.")
    if path.is_dir():
        raise TableError(f"{str(path)!r} is a folder; give a CSV or Parquet file.")
    if path.stat().st_size == 0:
        raise TableError(f"{str(path)!r} is empty.")
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".txt", ".parquet"):
        raise TableError(
            f"{str(path)!r} has no known ending; tables are .csv, .tsv, .txt (tabs) or .parquet."
        )
    hint = "" if suffix == ".parquet" else " Has every row as many fields as the header?"
    with reading(f"{str(path)!r} cannot be read as a table", hint):
        if suffix == ".parquet":
            frame = pl.read_parquet(path, glob=False)
        else:
            _check_text(path)
            frame = _read_text(path, "," if suffix == ".csv" else "\t")
    if frame.width == 1 and suffix == ".csv" and any(c in frame.columns[0] for c in ";\t"):
        raise TableError(
            f"{str(path)!r} has no commas; it looks separated by semicolons or tabs. Write it with "
            "commas, or with tabs and the ending .tsv."
        )
    names = set(frame.columns)
    twice = [
        match[1]
        for name in frame.columns
        if (match := re.fullmatch(r"(.*)_duplicated_\d+", name)) and match[1] in names
    ]
    if twice:
        raise TableError(f"{str(path)!r} has several columns named {listed(twice)}; rename them.")
    if frame.height == 0:
        raise TableError(f"{str(path)!r} has a header but no rows.")
    return frame


def _read_text(path: pathlib.Path, separator: str) -> pl.DataFrame:
    read = functools.partial(
        pl.read_csv, path, separator=separator, null_values=_MISSING, glob=False
    )
    try:
        return read(infer_schema_length=_ROWS_OF_TYPES)
    except pl.exceptions.PolarsError:
        # A value further down has another type. To look at all rows first takes several times as
        # long.
        return read(infer_schema_length=None)


def _check_text(path: pathlib.Path) -> None:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            while block := file.read(1 << 20):
                if "\0" in block:
                    raise TableError(
                        f"{str(path)!r} cannot be read: it holds NUL bytes, which no text has; "
                        "save it as UTF-8."
                    )
    except UnicodeDecodeError as error:
        raise TableError(
            f"{str(path)!r} cannot be read: it is not UTF-8 (byte {error.start} of a block); save "
            "it as UTF-8."
        ) from error
