"""What polars raises on torn or foreign files, as one kind of error that names the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import polars as pl

from regjax.tables._columns import TableError

# A field of a broken file may be as long as the file.
_MOST = 200

# Torn Parquet files make polars panic, which is no `Exception`.
_FAULTS = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    UnicodeError,
    OSError,
)


@contextlib.contextmanager
def reading(what: str, hint: str = "") -> Iterator[None]:
    """Turn what goes wrong within into a TableError: `what`, the reason, and a hint."""
    try:
        yield
    except _FAULTS as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        if len(reason) > _MOST:
            reason = f"{reason[:_MOST]}..."
        raise TableError(f"{what}: {reason}.{hint}") from error
