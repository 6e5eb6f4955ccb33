"""Where a sweep is on disk: its store while it is at work, its folder when it is done.

The store of a sweep DIR is in the folder DIR.unfinished: one file `sweep.sqlite`, or one per shard.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from regjax._folders import STORE, write_folder
from regjax._manifests import check_file, read_manifest
from regjax.sweeps.lanes.grid import Grid
from regjax.sweeps.lanes.locks import StoreError, file_system, has_locks
from regjax.sweeps.lanes.outcome import SweepRun
from regjax.sweeps.lanes.plan import Shard
from regjax.sweeps.lanes.results import Rules
from regjax.sweeps.lanes.stopping import EarlyStopping, SuccessiveHalving
from regjax.sweeps.lanes.store import Store
from regjax.sweeps.lanes.store_files import check_unfinished, remove_store, shard_of

_STOPPING = {rule.__name__: rule for rule in (EarlyStopping, SuccessiveHalving)}


def unfinished(out: pathlib.Path) -> pathlib.Path:
    """Return the folder of a sweep at work."""
    return out.with_name(f"{out.name}.unfinished")


def remove_if_empty(folder: pathlib.Path) -> None:
    """Remove the folder of a sweep that is at work no longer, unless something is left in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def has_begun(out: pathlib.Path) -> bool:
    """Return whether there is an unfinished sweep to resume: one whose plan is written."""
    query = "SELECT 1 FROM facts WHERE name = 'plan'"
    for file in unfinished(out).glob("*.sqlite"):
        address = f"{file.resolve().as_uri()}?mode=ro"
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(address, uri=True)) as store,
        ):
            if store.execute(query).fetchone():
                return True
    return False


@contextlib.contextmanager
def open_store(
    out: pathlib.Path | None, *, shard: Shard | None, resume: bool, overwrite: bool
) -> Iterator[Store]:
    """Open the store of a sweep for its one writer; without a folder it is in memory.

    Raises:
        StoreError: if it holds an unfinished sweep and neither resume nor overwrite is said, if
            the folder holds another sweep or anything else, or if another process is at work.
    """
    if out is None:
        with Store(None) as store:
            yield store
        return
    folder = unfinished(out)
    folder.parent.mkdir(parents=True, exist_ok=True)
    check_unfinished(folder)
    locks = has_locks(folder.parent)
    path = folder / STORE if shard is None and locks else _shard_file(folder, shard or (1, 1))
    if overwrite and not resume:
        _forget(folder, path, locks, whole=shard is None)
    _check_alone(folder, path)
    done = out / STORE
    if shard is not None and resume and not path.exists() and done.exists():
        raise StoreError(f"{str(out)!r} is finished: nothing is left to resume.")
    folder.mkdir(exist_ok=True)
    if resume and not path.exists() and done.exists():
        # A finished sweep is resumed by writing its files again; a copy is there whole or not.
        check_file(out, read_manifest(out), STORE)
        copy = path.with_suffix(".copy")
        shutil.copyfile(done, copy)
        copy.replace(path)
    with Store(path, locks=locks) as store:
        if store.fact("plan") is not None and not (resume or overwrite):
            raise StoreError(
                f"{str(folder)!r} holds an unfinished sweep: go on with resume, or forget it with "
                "overwrite."
            )
        if not locks:
            store.note(
                f"{file_system(folder)} promises no locks: written as a shard file, and nothing "
                "keeps a second process away"
            )
        yield store


def write_run(
    store: Store,
    outcome: SweepRun,
    out: pathlib.Path,
    write: Callable[[SweepRun, pathlib.Path], dict[str, Any]],
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> None:
    """Write the folder of a finished sweep, with its store."""

    def fill(folder: pathlib.Path) -> dict[str, Any]:
        told = write(outcome, folder)
        store.copy(folder / STORE)
        return told

    write_folder(out, fill, overwrite=overwrite, resume=resume)


def shards_in(folder: pathlib.Path) -> list[tuple[pathlib.Path, Shard]]:
    """Return the shard files of a folder, in order."""
    found = [(path, shard_of(path)) for path in folder.glob("shard-*.sqlite")]
    held = [(path, shard) for path, shard in found if shard is not None]
    return sorted(held, key=lambda entry: entry[1][::-1])


def record(rules: Rules) -> dict[str, Any]:
    """Return the rules of a sweep as its store keeps them."""
    stopping = rules.stopping
    kept = None if stopping is None else [type(stopping).__name__, dataclasses.asdict(stopping)]
    return {**rules._asdict(), "stopping": kept}


def stored_rules(store: Store) -> Rules:
    """Return the rules of a stored sweep."""
    kept = store.fact("rules")
    if kept["stopping"] is not None:
        name, fields = kept["stopping"]
        kept["stopping"] = _STOPPING[name](**fields)
    return Rules(**kept)


def stored_grid(store: Store) -> Grid:
    """Return the grid of a stored sweep."""
    kept = store.fact("grid")
    columns = {name: tuple(values) for name, values in kept["columns"].items()}
    return Grid(columns, frozenset(kept["static"]))


def _shard_file(folder: pathlib.Path, shard: Shard) -> pathlib.Path:
    return folder / "shard-{}-of-{}.sqlite".format(*shard)


def _forget(folder: pathlib.Path, path: pathlib.Path, locks: bool, *, whole: bool) -> None:
    """Remove a store, or all of the folder; whoever is at work on one keeps its lock."""
    if not folder.exists():
        return
    for file in sorted(folder.glob("*.sqlite")) if whole else [path]:
        remove_store(file, locks=locks)
    remove_if_empty(folder)


def _check_alone(folder: pathlib.Path, path: pathlib.Path) -> None:
    """Raise StoreError if the folder holds a sweep of which `path` is no part."""
    own = shard_of(path)
    others = {shard[1] for _, shard in shards_in(folder)} - ({own[1]} if own else set())
    if others:
        raise StoreError(
            f"{str(folder)!r} holds shards of {min(others)}: merge them, or remove the folder."
        )
    for file in folder.glob("*.sqlite"):
        if file != path and shard_of(file) is None:
            raise StoreError(
                f"{str(file)!r} is an unfinished sweep without shards: go on with it, or remove "
                "the folder."
            )
