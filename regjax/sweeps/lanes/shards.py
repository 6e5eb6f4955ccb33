"""Parts of a sweep that ran apart, on machines that share a folder, joined into one."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from regjax._folders import check_folder
from regjax._manifests import sha256_of
from regjax.sweeps.lanes.locks import StoreError, has_locks
from regjax.sweeps.lanes.outcome import SweepRun, read_outcome, write_outcome
from regjax.sweeps.lanes.places import (
    remove_if_empty,
    shards_in,
    stored_grid,
    stored_rules,
    unfinished,
    write_run,
)
from regjax.sweeps.lanes.plan import Shard
from regjax.sweeps.lanes.store import Store
from regjax.sweeps.lanes.store_files import check_unfinished, remove_store

_MOST_NAMED = 5


class _Part(NamedTuple):
    """A shard file and what its name says."""

    path: pathlib.Path
    shard: Shard

    def __str__(self) -> str:
        return "shard {} of {}".format(*self.shard)


def merge_shards(out: str | pathlib.Path, *, overwrite: bool = False) -> SweepRun:
    """Join the shards of a sweep: write the folder `out`, and return what came of all lanes.

    The shards are the files `shard-1-of-N.sqlite` and so on in the folder `out` with
    `.unfinished`, each written by `run_sweep(..., shard=(i, N), out=out)`, here or elsewhere. Its
    tables are those of a sweep of the same width that ran in one piece, byte for byte. A sweep in a
    network folder has written a single shard, 1 of 1.

    Args:
        out: folder of the results.
        overwrite: replace the run that it holds.

    Raises:
        StoreError: if a shard is missing, unfinished, corrupt, or of another sweep, or if the
            folder of the shards holds anything else.
        ValueError: as in `check_folder`.

    Example:
        >>> import tempfile
        >>> from regjax.sweeps import Grid, run_sweep
        >>> train = lambda hyperparameters, key: {"loss": hyperparameters["x"] ** 2}
        >>> grid = Grid.product(x=[3.0, 1.0, 2.0, 4.0])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for i in (1, 2):
        ...         part = run_sweep(
        ...             train, grid, metric="loss", width=1, shard=(i, 2), out=f"{folder}/run"
        ...         )
        ...     run = merge_shards(f"{folder}/run")
        >>> len(part.table), len(run.table), run.best().x
        (2, 4, 1.0)
    """
    out = check_folder(out, overwrite=overwrite)
    folder = unfinished(out)
    check_unfinished(folder)
    parts = _complete(folder)
    with Store(None) as whole:
        joined = _join(whole, parts)
        with _reading(folder):
            run = read_outcome(whole, stored_grid(whole), stored_rules(whole))

        def write(run: SweepRun, folder: pathlib.Path) -> dict[str, Any]:
            return {**write_outcome(run, folder), "merged": len(parts)}

        write_run(whole, run, out, write, overwrite=overwrite)
    for part, digest in joined.items():
        # One that was run again meanwhile stays.
        if sha256_of(part.path) == digest:
            remove_store(part.path, locks=has_locks(folder))
    remove_if_empty(folder)
    return run


def _complete(folder: pathlib.Path) -> list[_Part]:
    """Return the shards in the folder, if none is missing."""
    parts = [_Part(path, shard) for path, shard in shards_in(folder)]
    if not parts:
        raise StoreError(f"{str(folder)!r} holds no shards.")
    numbers = sorted({part.shard[1] for part in parts})
    if len(numbers) > 1:
        raise StoreError(
            f"{str(folder)!r} holds shards of {' and of '.join(map(str, numbers))}: remove those "
            "of the other sweep."
        )
    n = numbers[0]
    there = {part.shard[0] for part in parts}
    if len(there) < n:
        missing = itertools.islice((i for i in range(1, n + 1) if i not in there), _MOST_NAMED)
        named = list(map(str, missing))
        more = n - len(there) - len(named)
        told = ", ".join(named) + (f" and {more} more" if more else "")
        raise StoreError(
            f"{str(folder)!r} lacks the shard {told} of {n}: run it with shard {named[0]}/{n}."
        )
    return parts


def _join(whole: Store, parts: list[_Part]) -> dict[_Part, str]:
    """Write what all shards know into the store `whole`, and return the SHA-256 of their files."""
    first: dict[str, Any] = {}
    joined: dict[_Part, str] = {}
    lanes: set[int] = set()
    for part in parts:
        locks = has_locks(part.path.parent)
        with Store(part.path, locks=locks) as store, _reading(part.path):
            facts = {name: store.fact(name) for name in ("grid", "fingerprint", "plan", "rules")}
            _check_finished(store, part, facts)
            first = first or facts
            _check_same(part, parts[0], facts, first)
            lanes |= _lanes_of(store, part, lanes)
            whole.absorb(store)
        joined[part] = sha256_of(part.path)
    whole.begin({**first, "plan": first["plan"] | {"shard": None}}, (), {})
    with _reading(parts[0].path.parent):
        _check_whole(whole, lanes)
        _leave_best(whole)
    return joined


@contextlib.contextmanager
def _reading(path: pathlib.Path) -> Iterator[None]:
    """Turn the errors of reading what somebody else has made up into a StoreError."""
    try:
        yield
    except StoreError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise StoreError(
            f"{str(path)!r} holds no sweep that can be read ({type(error).__name__}: {error})."
        ) from error


def _check_finished(store: Store, part: _Part, facts: dict[str, Any]) -> None:
    left = len(store.unfinished())
    if left or facts["plan"] is None:
        told = f"{left} chunks of lanes are left" if left else "it has not begun"
        raise StoreError(f"The {part} is unfinished, {told}: go on with resume.")


def _check_same(part: _Part, one: _Part, facts: dict[str, Any], first: dict[str, Any]) -> None:
    expected = None if part.shard == (1, 1) else list(part.shard)
    if facts["plan"]["shard"] not in (expected, list(part.shard)):
        raise StoreError(f"{str(part.path)!r} is not the {part}: give it back its name.")
    if facts["plan"]["shapes"] != first["plan"]["shapes"]:
        raise StoreError(
            f"The {part} ran with another width than the {one}: run all with the same width."
        )
    kept, found = first["fingerprint"], facts["fingerprint"]
    other = [name for name in kept if found.get(name) != kept[name]]
    # The fingerprint is of these, too; what is joined are the facts themselves.
    other = other or [name for name in ("grid", "rules") if facts[name] != first[name]]
    if other:
        raise StoreError(
            f"The {part} is of another sweep than the {one} (other {', '.join(other)}): run it "
            "again with overwrite."
        )


def _lanes_of(store: Store, part: _Part, others: set[int]) -> set[int]:
    """Return the lanes that a shard has results of, none of which another one has."""
    ids = stored_grid(store).ids
    results = store.results()
    lanes = {result.lane for result in results}
    if lanes & others or any(ids[result.lane] != result.id for result in results):
        raise StoreError(
            f"The {part} has results of lanes that are not its own: run it again with overwrite."
        )
    return lanes


def _check_whole(whole: Store, lanes: set[int]) -> None:
    """Raise StoreError if a lane of the grid has neither a result nor a reason."""
    grid = stored_grid(whole)
    groups = grid.groups()
    failed = {lane for number in whole.failures() for lane in groups[number].lanes}
    lost = sorted(set(range(len(grid))) - lanes - failed)
    if lost:
        raise StoreError(
            f"The shards are finished, but hold no result of {len(lost)} of {len(grid)} lanes "
            f"(the first is {grid.ids[lost[0]]}): one of them is corrupt; run them again with "
            "overwrite."
        )


def _leave_best(whole: Store) -> None:
    """Keep the parameters of the best settings of all: no shard knew all seeds of each."""
    results, grid = whole.results(), stored_grid(whole)
    failed = set(range(len(grid))) - {result.lane for result in results}
    kept = stored_rules(whole).keeps(results, failed, grid)
    whole.drop_params(sorted(set(whole.lanes_with_params()) - kept))
