"""What a sweep knows, in one embedded database: its plan, its checkpoints, its results.

Every change is one transaction, on disk before the sweep goes on (`synchronous=FULL`): whatever
kills the process, what was finished is there and nothing is there twice. The file is SQLite's, in
write-ahead mode, so a sweep at work can be read. A second process is refused by a lock that the
operating system lets go of when its holder dies. Rows bear a checksum, as SQLite has none: a bit
that flips on the disk is refused, and ends up in no table. A database is read only if its schema is
that of a store to the letter: no view, no trigger, no expression of a stranger is ever evaluated.

Network file systems promise no locks. There a sweep writes a shard file, without write-ahead mode,
and nothing but its name keeps two processes apart.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import pathlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from regjax.sweeps.lanes.arrays import arrays_from, to_bytes
from regjax.sweeps.lanes.chunks import Chunk
from regjax.sweeps.lanes.locks import StoreError, take_lock
from regjax.sweeps.lanes.store_files import APPLICATION_ID, check_store_file, remove_files

_FORMAT = "regjax-sweep-2"
_OTHER_VERSION = "it is no sweep of this version"
# What a full disk is told as while the database and the files beside it are made.
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL, seal TEXT NOT NULL);
CREATE TABLE chunks (
    chunk INTEGER PRIMARY KEY AUTOINCREMENT, program INTEGER NOT NULL, lanes TEXT NOT NULL,
    step INTEGER NOT NULL, stage INTEGER NOT NULL, state BLOB, seal TEXT NOT NULL
);
CREATE TABLE results (
    lane INTEGER PRIMARY KEY, id TEXT NOT NULL, status TEXT NOT NULL, step INTEGER,
    metrics TEXT NOT NULL, curves BLOB, seal TEXT NOT NULL
);
CREATE TABLE params (lane INTEGER PRIMARY KEY, arrays BLOB NOT NULL, seal TEXT NOT NULL);
CREATE TABLE failures (program INTEGER PRIMARY KEY, reason TEXT NOT NULL, seal TEXT NOT NULL);
CREATE TABLE times (
    lanes INTEGER NOT NULL, seconds REAL NOT NULL, what TEXT NOT NULL, seal TEXT NOT NULL
);
CREATE TABLE events (time TEXT NOT NULL, event TEXT NOT NULL, seal TEXT NOT NULL);
"""
# Tables whose rows take the place of one with the same key; in others there is none.
_REPLACED = ("facts", "params", "failures")
_SCHEMA_OF = "SELECT type, name, tbl_name, sql FROM sqlite_master"


def _schema() -> set[tuple[str, ...]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_TABLES)
        return set(connection.execute(_SCHEMA_OF))


_SCHEMA = _schema()


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
        self._lock = take_lock(path) if locks and path is not None else None
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
        query = "SELECT name, value, seal FROM facts WHERE name = ?"
        try:
            return next((json.loads(value) for _, value in self._sealed(query, name)), None)
        except (json.JSONDecodeError, RecursionError) as error:
            raise _torn(self.path, error) from error

    def begin(
        self, facts: dict[str, Any], chunks: Sequence[Chunk], failures: Mapping[int, str]
    ) -> None:
        """Write the facts, the plan of a new sweep, and which groups have no part in it."""
        with self._transaction() as write:
            _write_facts(write, facts)
            for chunk in chunks:
                _insert(write, Saved(0, chunk, 0, 0, None))
            for program, reason in failures.items():
                _write_failure(write, program, reason)

    def begin_again(
        self,
        facts: dict[str, Any],
        chunks: Sequence[Chunk],
        failures: Mapping[int, str],
        *,
        event: str,
    ) -> None:
        """Put chunks of groups that failed in line again; `failures` are those that failed anew."""
        with self._transaction() as write:
            _write_facts(write, facts)
            write("DELETE FROM failures")
            for chunk in chunks:
                _insert(write, Saved(0, chunk, 0, 0, None))
            for program, reason in failures.items():
                _write_failure(write, program, reason)
            _note(write, event)

    def unfinished(self) -> list[Saved]:
        """Return the chunks that are left, in order."""
        rows = self._sealed(
            "SELECT chunk, program, lanes, step, stage, state, seal FROM chunks ORDER BY chunk"
        )
        return [
            Saved(number, Chunk(program, _tuples(lanes)), *stand)
            for number, program, lanes, *stand in rows
        ]

    def state(self, number: int) -> bytes:
        """Return the checkpoint of a chunk."""
        query = "SELECT chunk, program, lanes, step, stage, state, seal FROM chunks WHERE chunk = ?"
        return next(self._sealed(query, number))[-1]

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
            query = "SELECT program, lanes, stage FROM chunks WHERE chunk = ?"
            program, lanes, stage = write(query, (number,)).fetchone()
            seal = _seal(number, program, lanes, step, stage, state)
            query = "UPDATE chunks SET step = ?, state = ?, seal = ? WHERE chunk = ?"
            write(query, (step, state, seal, number))

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
                _put(write, "params", (lane, arrays))
            for lane in dropped:
                write("DELETE FROM params WHERE lane = ?", (lane,))
            _put(write, "times", (len(results), float(seconds), "run"))
            _delete(write, [number])

    def fail(self, program: int, reason: str) -> None:
        """Write why a group of lanes failed; its chunks are not tried again."""
        with self._transaction() as write:
            write("DELETE FROM chunks WHERE program = ?", (program,))
            _write_failure(write, program, reason)

    def note(self, event: str) -> None:
        """Write an event, with the time."""
        with self._transaction() as write:
            _note(write, event)

    def time(self, what: str, seconds: float) -> None:
        """Write how long something took that is no chunk."""
        with self._transaction() as write:
            _put(write, "times", (0, float(seconds), what))

    def results(self) -> list[Result]:
        """Return the results so far, in the order of the grid."""
        rows = self._sealed(
            "SELECT lane, id, status, step, metrics, curves, seal FROM results ORDER BY lane"
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
        return dict(self._sealed("SELECT lane, arrays, seal FROM params"))

    def lanes_with_params(self) -> list[int]:
        """Return the lanes whose parameters are kept."""
        return [lane for (lane,) in self._rows("SELECT lane FROM params")]

    def failures(self) -> dict[int, str]:
        """Return the reason of every group that failed, by number."""
        return dict(self._sealed("SELECT program, reason, seal FROM failures"))

    def times(self) -> list[tuple[int, float, str]]:
        """Return number of lanes, seconds and kind of all that was timed."""
        return list(self._sealed("SELECT lanes, seconds, what, seal FROM times"))

    def events(self) -> list[tuple[str, str]]:
        """Return times and events."""
        return list(self._sealed("SELECT time, event, seal FROM events"))

    def absorb(self, other: Store) -> None:
        """Write all that another store came to, of other lanes."""
        with self._transaction() as write:
            for table in ("results", "params", "failures", "times", "events"):
                for row in other._sealed(f"SELECT * FROM {table}"):
                    # A group that cannot be planned fails in every shard.
                    _put(write, table, row)

    def drop_params(self, lanes: Sequence[int]) -> None:
        """Keep the parameters of these lanes no longer."""
        with self._transaction() as write:
            for lane in lanes:
                write("DELETE FROM params WHERE lane = ?", (lane,))

    def copy(self, path: pathlib.Path) -> None:
        """Write a copy, in one file."""
        with contextlib.closing(sqlite3.connect(path)) as other:
            self._connection.backup(other)
            other.execute("PRAGMA journal_mode = DELETE")

    def remove(self) -> None:
        """Close the store and remove its files, the lock last: the sweep is elsewhere."""
        self._connection.close()
        if self.path is not None:
            remove_files(self.path)
        self._release()

    def _rows(self, query: str, *values: Any) -> list[Any]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise _torn(self.path, error) from error

    def _sealed(self, query: str, *values: Any) -> Iterator[Any]:
        """Return rows without their last column, which is the checksum of the others."""
        for *row, seal in self._rows(query, *values):
            if seal != _seal(*row):
                raise _torn(self.path, "a row has another checksum")
            yield tuple(row)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Any]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection.execute
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._roll_back()
            raise _unwritable(self.path, error) from error
        except sqlite3.DatabaseError as error:
            self._roll_back()
            raise _torn(self.path, error) from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        # Ctrl-C can arrive when the change is already written; a full disk rolls back by itself.
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()


def _connect(path: pathlib.Path | None, locks: bool) -> sqlite3.Connection:
    if path is None:
        address = ":memory:"
    else:
        why = check_store_file(path) if path.exists() else None
        if why is not None:
            raise _torn(path, why)
        address = f"{path.resolve().as_uri()}{'' if locks else '?nolock=1'}"
    with contextlib.ExitStack() as on_error:
        try:
            connection = sqlite3.connect(
                address, uri=True, timeout=10, isolation_level=None, check_same_thread=False
            )
            on_error.callback(connection.close)
            connection.execute("PRAGMA trusted_schema = OFF")
            begun = _check_sound(connection)
            # Only what is a sweep is written to.
            if not begun:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA journal_mode = {'WAL' if locks else 'DELETE'}")
            connection.execute("PRAGMA synchronous = FULL")
            if not begun:
                # All or nothing, as every change.
                row = ("format", json.dumps(_FORMAT))
                format_ = f"INSERT INTO facts VALUES {(*row, _seal(*row))};"
                connection.executescript(f"BEGIN;{_TABLES}{format_}COMMIT;")
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorcode", None) in _NO_ROOM
            raise (_unwritable if full else _torn)(path, error) from error
        on_error.pop_all()
    return connection


def _unwritable(path: pathlib.Path | None, why: object) -> StoreError:
    return StoreError(
        f"{str(path)!r} cannot be written ({why}): make room on the disk, then go on with resume; "
        "all that was finished is there."
    )


def _torn(path: pathlib.Path | None, why: object) -> StoreError:
    return StoreError(
        f"{str(path)!r} cannot be read as a sweep ({why}): restore a copy of it, or move it away "
        "and begin anew."
    )


def _seal(*values: int | str | bytes | None) -> str:
    plain = [len(value) if isinstance(value, bytes) else value for value in values]
    digest = hashlib.blake2b(json.dumps(plain).encode(), digest_size=8)
    for value in values:
        if isinstance(value, bytes):
            digest.update(value)
    return digest.hexdigest()


def _check_sound(connection: sqlite3.Connection) -> bool:
    """Return whether a database has begun to be a sweep.

    Raises:
        DatabaseError: for what is neither a sweep nor empty.
    """
    # Before any other query: a view or a trigger may do anything, and without end.
    schema = connection.execute(_SCHEMA_OF).fetchmany(len(_SCHEMA) + 1)
    if schema and set(schema) != _SCHEMA:
        raise sqlite3.DatabaseError(_OTHER_VERSION)
    sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if sound != "ok":
        raise sqlite3.DatabaseError(f"it is corrupt: {sound}")
    if not schema:
        return False
    found = connection.execute("SELECT value FROM facts WHERE name = 'format'").fetchone()
    if found is None or found[0] != json.dumps(_FORMAT):
        raise sqlite3.DatabaseError(_OTHER_VERSION)
    return True


def _put(write: Callable[..., Any], table: str, row: tuple[Any, ...]) -> None:
    """Write a row under its checksum."""
    kind = "INSERT OR REPLACE" if table in _REPLACED else "INSERT"
    marks = ", ".join("?" * (len(row) + 1))
    write(f"{kind} INTO {table} VALUES ({marks})", (*row, _seal(*row)))


def _write_facts(write: Any, facts: Mapping[str, Any]) -> None:
    for name, value in facts.items():
        _put(write, "facts", (name, json.dumps(value)))


def _write_failure(write: Any, program: int, reason: str) -> None:
    _put(write, "failures", (program, reason))
    _note(write, reason)


def _insert(write: Any, saved: Saved) -> int:
    row = (saved.chunk.group, json.dumps(saved.chunk.lanes), saved.step, saved.stage, saved.state)
    query = (
        "INSERT INTO chunks (program, lanes, step, stage, state, seal) VALUES (?, ?, ?, ?, ?, '')"
    )
    number = int(write(query, row).lastrowid)
    write("UPDATE chunks SET seal = ? WHERE chunk = ?", (_seal(number, *row), number))
    return number


def _delete(write: Any, numbers: Sequence[int]) -> None:
    for number in numbers:
        write("DELETE FROM chunks WHERE chunk = ?", (number,))


def _write_results(write: Any, results: Sequence[Result]) -> None:
    for result in results:
        curves = None if result.curves is None else to_bytes(result.curves)
        _put(write, "results", (*result[:4], json.dumps(result.metrics), curves))


def _note(write: Any, event: str) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    _put(write, "events", (now, event))


def _tuples(lanes: str) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in json.loads(lanes))
