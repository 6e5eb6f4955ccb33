"""Who may write a store: one process at a time, where the file system has locks."""

from __future__ import annotations

import os
import pathlib
import sqlite3

_NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "gpfs", "lustre", "glusterfs", "fuse.")


class StoreError(ValueError):
    """A store that cannot be used, with the remedy."""


def has_locks(folder: pathlib.Path) -> bool:
    """Return whether the file system of the folder promises locks: not one over a network."""
    return not file_system(folder).startswith(_NETWORK)


def file_system(folder: pathlib.Path) -> str:
    """Return the type of file system that holds the folder, as Linux names it, or ""."""
    table = pathlib.Path("/proc/self/mountinfo")
    if not table.exists():
        return ""
    best, kind = "", ""
    for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4].replace("\\040", " ")
        inside = folder.resolve().is_relative_to(point)
        if inside and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind


def is_lock(path: pathlib.Path) -> bool:
    """Return whether a file is the lock of a sweep: empty, and not a link."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size == 0


def take_lock(path: pathlib.Path) -> sqlite3.Connection:
    """Return a lock on the sweep, held until it is closed or this process ends."""
    # A database of its own: the store itself stays readable.
    file = path.with_suffix(".lock")
    if os.path.lexists(file) and not is_lock(file):
        raise StoreError(f"{str(file)!r} cannot be locked, as it is something else: move it.")
    try:
        lock = sqlite3.connect(file, timeout=0, isolation_level=None)
    except sqlite3.Error as error:
        raise StoreError(f"{str(file)!r} cannot be written ({error}).") from error
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        lock.close()
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise StoreError(f"{str(file)!r} cannot be locked ({error}): remove it.") from error
        raise StoreError(
            f"Another process is at work on {str(path)!r}: wait until it ends, or name another "
            "folder."
        ) from error
    return lock
