"""The files of a table that is a folder: each regular file once, whatever leads to it."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

from regjax.tables._columns import TableError

_SUFFIX = ".parquet"

Identity = tuple[int, int]


def parquet_files(path: str | pathlib.Path) -> tuple[pathlib.Path, ...]:
    """Return the Parquet file at `path`, or all those anywhere below the folder, in order.

    A file that several links or names lead to counts once. Names that begin with a dot or an
    underscore are notes of the programs that write such folders, and are left out.

    Raises:
        TableError: if there is none, or a link leads nowhere.
    """
    root = pathlib.Path(path)
    found = sorted(_below(root, set())) if root.is_dir() else [root]
    if not found:
        raise TableError(
            f"There is no Parquet file at {str(path)!r}; a CSV file is given by its own name."
        )
    files: dict[Identity, pathlib.Path] = {}
    for file in found:
        check_name(file)
        files.setdefault(_identity(file), file)
    return tuple(files.values())


def check_name(path: pathlib.Path) -> None:
    """Raise unless the name of a file is UTF-8, as those who read it must have it."""
    try:
        str(path).encode()
    except UnicodeError as error:
        raise TableError(f"The name of {str(path)!r} is not UTF-8: rename the file.") from error


def _below(folder: pathlib.Path, visited: set[Identity]) -> Iterator[pathlib.Path]:
    """Yield the Parquet files below a folder; links to folders are followed, each folder once."""
    identity = _identity(folder)
    if identity in visited:
        return
    visited.add(identity)
    for name in sorted(os.listdir(folder)):
        place = folder / name
        if name.startswith((".", "_")):
            continue
        if os.path.isdir(place):
            yield from _below(place, visited)
        elif place.suffix.lower() == _SUFFIX:
            yield place


def _identity(path: pathlib.Path) -> Identity:
    try:
        status = path.stat()
    except OSError as error:
        reason = "" if isinstance(error, FileNotFoundError) else f" ({error.strerror})"
        raise TableError(f"There is no file {str(path)!r}{reason}.") from error
    return status.st_dev, status.st_ino
