"""Parts of a sweep that ran apart, on machines that share a folder, joined into one."""

from __future__ import annotations

import pathlib
from typing import Any, NamedTuple

from regjax.sweeps.folder import check_folder
from regjax.sweeps.lanes.locks import StoreError, has_locks
from regjax.sweeps.lanes.outcome import SweepRun, read_outcome, write_outcome
from regjax.sweeps.lanes.places import (
    remove_unfinished,
    shards_in,
    stored_grid,
    stored_rules,
    unfinished,
    write_run,
)
from regjax.sweeps.lanes.plan import Shard
from regjax.sweeps.lanes.store import Store


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
        StoreError: if a shard is missing, unfinished, or of another sweep.
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
    parts = _complete(folder)
    with Store(None) as whole:
        _join(whole, parts)
        run = read_outcome(whole, stored_grid(whole), stored_rules(whole))

        def write(run: SweepRun, folder: pathlib.Path) -> dict[str, Any]:
            return {**write_outcome(run, folder), "merged": len(parts)}

        write_run(whole, run, out, write)
    remove_unfinished(out)
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
    missing = sorted(set(range(1, n + 1)) - {part.shard[0] for part in parts})
    if missing:
        told = ", ".join(map(str, missing))
        raise StoreError(
            f"{str(folder)!r} lacks the shard {told} of {n}: run it with shard {missing[0]}/{n}."
        )
    return parts


def _join(whole: Store, parts: list[_Part]) -> None:
    """Write what all shards know into the store `whole`."""
    first: dict[str, Any] = {}
    for part in parts:
        with Store(part.path, locks=has_locks(part.path.parent)) as store:
            facts = {name: store.fact(name) for name in ("grid", "fingerprint", "plan", "rules")}
            _check_finished(store, part, facts)
            first = first or facts
            _check_same(part, parts[0], facts, first)
            whole.absorb(store)
    whole.begin({**first, "plan": first["plan"] | {"shard": None}}, (), {})
    _leave_best(whole)


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
    if other:
        raise StoreError(
            f"The {part} is of another sweep than the {one} (other {', '.join(other)}): run it "
            "again with overwrite."
        )


def _leave_best(whole: Store) -> None:
    """Keep the parameters of the best settings of all: no shard knew all seeds of each."""
    results, grid = whole.results(), stored_grid(whole)
    failed = set(range(len(grid))) - {result.lane for result in results}
    kept = stored_rules(whole).keeps(results, failed, grid)
    whole.drop_params(sorted(set(whole.lanes_with_params()) - kept))
