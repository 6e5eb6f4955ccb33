"""The files in the folder of an unfinished sweep: which are its own, and how they go.

A store is an SQLite file with the application id of sweeps; beside it SQLite keeps files with names
and first bytes of their own, and a sweep an empty lock file. Nothing else is written there, and
nothing else is removed.
"""

from __future__ import annotations

import pathlib
import re

from regjax._folders import STORE
from regjax._messages import listed
from regjax.sweeps.lanes.locks import StoreError, is_lock, take_lock

APPLICATION_ID = 0x5267_4A78
"""Marks a database as the store of a sweep."""

MOST_SHARDS = 100_000
"""Of a sweep; names of shards beyond that are those of other files."""

_SQLITE = b"SQLite format 3\0"
# The application id is in these bytes of the first page.
_ID_AT = slice(68, 72)
_NAMES = re.compile(r"([a-z0-9-]+)\.(lock|copy|sqlite)(-wal|-shm|-journal)?")
_SHARD = re.compile(r"shard-([1-9]\d{0,5})-of-([1-9]\d{0,5})\.sqlite")
_ZEROS = bytes(4)
_STARTS = {
    "-wal": (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"),
    "-journal": (b"\xd9\xd5\x05\xf9", _ZEROS),
    # The version of the index, as numbers are stored on this machine.
    "-shm": (b"\x18\xe2\x2d\x00", b"\x00\x2d\xe2\x18", _ZEROS),
}


def shard_of(path: pathlib.Path) -> tuple[int, int] | None:
    """Return which part of how many the name of a file says, or None if it is not a shard."""
    found = _SHARD.fullmatch(path.name)
    if found is None:
        return None
    i, n = int(found[1]), int(found[2])
    return (i, n) if i <= n <= MOST_SHARDS else None


def check_store_file(path: pathlib.Path) -> str | None:
    """Return why a file is not the store of a sweep, or None if it may be one."""
    if path.is_symlink() or not path.is_file():
        return "it is not a regular file"
    with path.open("rb") as file:
        start = file.read(_ID_AT.stop)
    if not start:
        return None
    if not start.startswith(_SQLITE):
        return "file is not a database"
    if start[_ID_AT] != APPLICATION_ID.to_bytes(4, "big"):
        return "it is no sweep of this version"
    return None


def check_unfinished(folder: pathlib.Path) -> None:
    """Raise StoreError if the folder of an unfinished sweep holds anything that is not its own."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise StoreError(f"{str(folder)!r} is not a folder: move it, or name another one.")
    if not folder.exists():
        return
    foreign = sorted(path.name for path in folder.iterdir() if not _is_own(path))
    if foreign:
        raise StoreError(
            f"{str(folder)!r} holds {listed(foreign, 3)}, which no sweep has written: move it, or "
            "name another folder."
        )


def remove_store(path: pathlib.Path, *, locks: bool) -> None:
    """Remove a store, corrupt or not, with what SQLite keeps beside it, and then its lock.

    Raises:
        StoreError: if another process has it open, or if it is not the store of a sweep.
    """
    lock = take_lock(path) if locks else None
    try:
        remove_files(path)
    finally:
        if lock is not None:
            lock.close()


def remove_files(path: pathlib.Path) -> None:
    """Remove the files of a store of which this process holds the lock, and the lock."""
    why = check_store_file(path) if path.exists() else None
    if why is not None:
        raise StoreError(f"{str(path)!r} is not the store of a sweep ({why}): move it.")
    own = [path.with_name(f"{path.name}{end}") for end in _STARTS]
    for file in (*own, path.with_suffix(".copy"), path):
        if _is_own(file):
            file.unlink()
    lock = path.with_suffix(".lock")
    if is_lock(lock):
        lock.unlink()


def _is_own(path: pathlib.Path) -> bool:
    found = _NAMES.fullmatch(path.name)
    if found is None or path.is_symlink() or not path.is_file():
        return False
    store = path.with_name(f"{found[1]}.sqlite")
    if store.name != STORE and shard_of(store) is None:
        return False
    if found[3]:
        with path.open("rb") as file:
            start = file.read(4)
        return not start or start in _STARTS[found[3]]
    # A store or a lock that is something else is refused where it is opened, with the reason.
    return found[2] != "copy" or check_store_file(path) is None
