"""What a sweep knows, in one embedded database: its plan, its checkpoints, its results.

Every change is one transaction, on disk before the sweep goes on (`synchronous=FULL`): whatever
kills the process, what was finished is there and nothing is there twice. The file is SQLite's, in
write-ahead mode, so a sweep at work can be read. A second process is refused by a lock that the
operating system lets go of when its holder dies.

Network file systems promise no locks. There a sweep writes a shard file, without write-ahead mode,
and nothing but its name keeps two processes apart.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import pathlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from regjax.sweeps.lanes.arrays import arrays_from, to_bytes
from regjax.sweeps.lanes.chunks import Chunk

_FORMAT = "regjax-sweep-1"
_NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "gpfs", "lustre", "glusterfs", "fuse.")
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE chunks (
    chunk INTEGER PRIMARY KEY AUTOINCREMENT, program INTEGER NOT NULL, lanes TEXT NOT NULL,
    step INTEGER NOT NULL, stage INTEGER NOT NULL, state BLOB
);
CREATE TABLE results (
    lane INTEGER PRIMARY KEY, id TEXT NOT NULL, status TEXT NOT NULL, step INTEGER,
    metrics TEXT NOT NULL, curves BLOB
);
CREATE TABLE params (lane INTEGER PRIMARY KEY, arrays BLOB NOT NULL);
CREATE TABLE failures (program INTEGER PRIMARY KEY, reason TEXT NOT NULL);
CREATE TABLE times (lanes INTEGER NOT NULL, seconds REAL NOT NULL, what TEXT NOT NULL);
CREATE TABLE events (time TEXT NOT NULL, event TEXT NOT NULL);
"""


class StoreError(ValueError):
    """A store that cannot be used, with the remedy."""


class Saved(NamedTuple):
    """A chunk that is not finished.

    Attributes:
        number: in the store.
        chunk: its lanes.
        step: where it stands.
        stage: how many rungs it has passed.
        state: its checkpoint, if any.
    """

    number: int
    chunk: Chunk
    step: int
    stage: int
    state: bytes | None


class Result(NamedTuple):
    """What a lane came to.

    Attributes:
        lane: its place in the grid.
        id: its name.
        status: "done", "stopped" (by itself), "dropped" (beaten by others) or "diverged".
        step: the last step that counts, or that at which it diverged.
        metrics: scalars by name.
        curves: arrays by name, or None.
    """

    lane: int
    id: str
    status: str
    step: int | None
    metrics: dict[str, float]
    curves: dict[str, np.ndarray] | None


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


class Store:
    """The database of a sweep, open for its one writer; also a context that closes it.

    Args:
        path: of the file, which is made if it is not there; None keeps it in memory.
        locks: whether the file system has locks.

    Raises:
        StoreError: if another process has it open, or if it is torn or something else.
    """

    def __init__(self, path: pathlib.Path | None, *, locks: bool = True) -> None:
        self.path = path
        self._lock = _take_lock(path) if locks and path is not None else None
        try:
            self._connection = _connect(path, locks)
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._release()

    def fact(self, name: str) -> Any:
        """Return what was noted under the name, or None."""
        found = self._one("SELECT value FROM facts WHERE name = ?", name)
        return None if found is None else json.loads(found)

    def begin(self, facts: dict[str, Any], chunks: Sequence[Chunk]) -> None:
        """Write the facts and the plan of a new sweep."""
        with self._transaction() as write:
            for name, value in facts.items():
                write("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))
            for chunk in chunks:
                _insert(write, Saved(0, chunk, 0, 0, None))

    def unfinished(self) -> list[Saved]:
        """Return the chunks that are left, in order."""
        rows = self._connection.execute(
            "SELECT chunk, program, lanes, step, stage, state FROM chunks ORDER BY chunk"
        )
        return [
            Saved(number, Chunk(program, _tuples(lanes)), *stand)
            for number, program, lanes, *stand in rows
        ]

    def state(self, number: int) -> bytes:
        """Return the checkpoint of a chunk."""
        return self._one("SELECT state FROM chunks WHERE chunk = ?", number)

    def replace(
        self,
        numbers: Sequence[int],
        chunks: Sequence[Saved],
        results: Sequence[Result] = (),
        *,
        event: str,
    ) -> list[Saved]:
        """Put other chunks in the place of these, and write what lanes that leave came to.

        Returns:
            the new chunks with their numbers.
        """
        with self._transaction() as write:
            _delete(write, numbers)
            saved = [chunk._replace(number=_insert(write, chunk)) for chunk in chunks]
            _write_results(write, results)
            _note(write, event)
        return saved

    def checkpoint(self, number: int, step: int, state: bytes) -> None:
        """Write where a chunk stands."""
        with self._transaction() as write:
            write("UPDATE chunks SET step = ?, state = ? WHERE chunk = ?", (step, state, number))

    def finish(
        self,
        number: int,
        results: Sequence[Result],
        params: dict[int, bytes],
        dropped: Sequence[int],
        seconds: float,
    ) -> None:
        """Write what the lanes of a chunk came to; the chunk is done.

        Args:
            number: of the chunk.
            results: of its lanes.
            params: parameters to keep, by lane.
            dropped: lanes whose parameters are kept no longer.
            seconds: how long it took.
        """
        with self._transaction() as write:
            _write_results(write, results)
            for lane, arrays in params.items():
                write("INSERT OR REPLACE INTO params VALUES (?, ?)", (lane, arrays))
            for lane in dropped:
                write("DELETE FROM params WHERE lane = ?", (lane,))
            write("INSERT INTO times VALUES (?, ?, ?)", (len(results), seconds, "run"))
            _delete(write, [number])

    def fail(self, program: int, reason: str) -> None:
        """Write why a group of lanes failed; its chunks are not tried again."""
        with self._transaction() as write:
            write("INSERT OR REPLACE INTO failures VALUES (?, ?)", (program, reason))
            write("DELETE FROM chunks WHERE program = ?", (program,))
            _note(write, reason)

    def retry(self, chunks: Sequence[Chunk]) -> None:
        """Forget all failures, and put these chunks in line."""
        with self._transaction() as write:
            write("DELETE FROM failures")
            for chunk in chunks:
                _insert(write, Saved(0, chunk, 0, 0, None))

    def note(self, event: str) -> None:
        """Write an event, with the time."""
        with self._transaction() as write:
            _note(write, event)

    def time(self, what: str, seconds: float) -> None:
        """Write how long something took that is no chunk."""
        with self._transaction() as write:
            write("INSERT INTO times VALUES (?, ?, ?)", (0, seconds, what))

    def results(self) -> list[Result]:
        """Return the results so far, in the order of the grid."""
        rows = self._connection.execute(
            "SELECT lane, id, status, step, metrics, curves FROM results ORDER BY lane"
        )
        return [
            Result(
                lane,
                name,
                status,
                step,
                json.loads(metrics),
                None if curves is None else arrays_from(curves),
            )
            for lane, name, status, step, metrics, curves in rows
        ]

    def all_params(self) -> dict[int, bytes]:
        """Return the parameters kept, by lane, as bytes."""
        return dict(self._connection.execute("SELECT lane, arrays FROM params").fetchall())

    def lanes_with_params(self) -> list[int]:
        """Return the lanes whose parameters are kept."""
        return [lane for (lane,) in self._connection.execute("SELECT lane FROM params")]

    def failures(self) -> dict[int, str]:
        """Return the reason of every group that failed, by number."""
        return dict(self._connection.execute("SELECT program, reason FROM failures").fetchall())

    def times(self) -> list[tuple[int, float, str]]:
        """Return number of lanes, seconds and kind of all that was timed."""
        return self._connection.execute("SELECT lanes, seconds, what FROM times").fetchall()

    def events(self) -> list[tuple[str, str]]:
        """Return times and events."""
        return self._connection.execute("SELECT time, event FROM events").fetchall()

    def copy(self, path: pathlib.Path) -> None:
        """Write a copy, in one file."""
        with contextlib.closing(sqlite3.connect(path)) as other:
            self._connection.backup(other)
            other.execute("PRAGMA journal_mode = DELETE")

    def _one(self, query: str, *values: Any) -> Any:
        row = self._connection.execute(query, values).fetchone()
        return None if row is None else row[0]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Any]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection.execute
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise StoreError(
                f"{str(self.path)!r} cannot be written ({error}): make room on the disk, then go "
                "on with resume; all that was finished is there."
            ) from error
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()


def _take_lock(path: pathlib.Path) -> sqlite3.Connection:
    """Return a lock on the sweep, held until it is closed or this process ends."""
    # A database of its own: the store itself stays readable.
    lock = sqlite3.connect(path.with_suffix(".lock"), timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        lock.close()
        raise StoreError(
            f"Another process is at work on {str(path)!r}: wait until it ends, or name another "
            "folder."
        ) from error
    return lock


def _connect(path: pathlib.Path | None, locks: bool) -> sqlite3.Connection:
    if path is None:
        address = ":memory:"
    else:
        address = f"{path.resolve().as_uri()}{'' if locks else '?nolock=1'}"
    connection = sqlite3.connect(
        address, uri=True, timeout=10, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute(f"PRAGMA journal_mode = {'WAL' if locks else 'DELETE'}")
        connection.execute("PRAGMA synchronous = FULL")
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables == 0:
            # All or nothing, as every change.
            format_ = f"INSERT INTO facts VALUES ('format', '{json.dumps(_FORMAT)}');"
            connection.executescript(f"BEGIN;{_TABLES}{format_}COMMIT;")
        found = connection.execute("SELECT value FROM facts WHERE name = 'format'").fetchone()
        sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found is None or json.loads(found[0]) != _FORMAT or sound != "ok":
            raise sqlite3.DatabaseError("it is no sweep of this version, or torn")
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(
            f"{str(path)!r} cannot be read as a sweep ({error}): restore a copy of it, or move it "
            "away and begin anew."
        ) from error
    return connection


def _insert(write: Any, saved: Saved) -> int:
    row = (saved.chunk.group, json.dumps(saved.chunk.lanes), saved.step, saved.stage, saved.state)
    cursor = write(
        "INSERT INTO chunks (program, lanes, step, stage, state) VALUES (?, ?, ?, ?, ?)", row
    )
    return int(cursor.lastrowid)


def _delete(write: Any, numbers: Sequence[int]) -> None:
    for number in numbers:
        write("DELETE FROM chunks WHERE chunk = ?", (number,))


def _write_results(write: Any, results: Sequence[Result]) -> None:
    for result in results:
        curves = None if result.curves is None else to_bytes(result.curves)
        row = (*result[:4], json.dumps(result.metrics), curves)
        write("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?)", row)


def _note(write: Any, event: str) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write("INSERT INTO events VALUES (?, ?)", (now, event))


def _tuples(lanes: str) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in json.loads(lanes))
