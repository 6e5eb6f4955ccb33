"""The plan of a sweep, made before its first lane, and whether a stored one is of this sweep."""

from __future__ import annotations

import collections
import concurrent.futures
import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from regjax._messages import listed, quoted
from regjax.sweeps.lanes.arrays import host_array, named_leaves
from regjax.sweeps.lanes.chunks import Chunk, block_shape, make_chunks
from regjax.sweeps.lanes.compiled import Shape
from regjax.sweeps.lanes.grid import Grid, Group, Value
from regjax.sweeps.lanes.legs import HostTraining, Programs
from regjax.sweeps.lanes.locks import StoreError
from regjax.sweeps.lanes.programs import Block
from regjax.sweeps.lanes.results import Rules
from regjax.sweeps.lanes.width import choose_width

Shard = tuple[int, int]
"""(i, n): the part i, from 1, of n."""


class Resources(NamedTuple):
    """What programs may use.

    Attributes:
        devices: that share every block.
        workers: programs at work at a time.
        memory: bytes that they may take on a device.
        width: lanes at a time on a device; None chooses.
        measure: whether to try widths where the sweep is long.
    """

    devices: tuple[Any, ...]
    workers: int
    memory: int
    width: int | None
    measure: bool


def choose_shapes(
    grid: Grid,
    groups: Sequence[Group],
    programs: Programs,
    resources: Resources,
    metric: str | None,
    *,
    known: Mapping[int, Shape] = MappingProxyType({}),
    numbers: Sequence[int] | None = None,
) -> tuple[dict[int, Shape], dict[int, Exception], dict[str, Any]]:
    """Return the shape of every group's blocks, why others failed, and what was measured.

    Args:
        grid: the lanes.
        groups: of the grid.
        programs: of the groups.
        resources: what they may use.
        metric: that ranks lanes.
        known: shapes chosen before, of other groups.
        numbers: of the groups to choose for; by default all.
    """

    def of_group(number: int, measure: bool) -> tuple[Shape, dict[str, float]] | Exception:
        given = resources._replace(measure=measure)
        try:
            shape, pace = _shape(grid, number, groups[number], programs, given)
            programs.get(number, shape)
        except Exception as error:
            # A training function can fail in any way; the other groups go on.
            return error
        return shape, pace

    shapes: dict[int, Shape] = {}
    failures: dict[int, Exception] = {}
    measured: dict[str, Any] = {}
    metrics: dict[str, tuple[int, ...]] = {}
    for number, shape in known.items():
        metrics |= programs.get(number, shape).metrics or {}
    numbers = range(len(groups)) if numbers is None else numbers
    # Programs are compiled side by side, and measured one by one when all of that is over.
    with concurrent.futures.ThreadPoolExecutor(resources.workers) as pool:
        compiled = list(pool.map(lambda number: of_group(number, False), numbers))
    for number, first in zip(numbers, compiled, strict=True):
        measure = resources.measure and not isinstance(first, Exception)
        choice = of_group(number, True) if measure else first
        if isinstance(choice, Exception):
            failures[number] = choice
            continue
        found = programs.get(number, choice[0]).metrics
        error = None if found is None else _mismatch(metrics, found, metric, grid)
        if error is not None:
            failures[number] = error
            continue
        metrics |= found or {}
        shapes[number] = choice[0]
        if choice[1]:
            measured[json.dumps(dict(groups[number].choices))] = choice[1]
    return shapes, failures, measured


def _mismatch(
    known: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...]],
    metric: str | None,
    grid: Grid,
) -> Exception | None:
    """Return why a group's metrics do not fit the table or those of the other groups."""
    taken = set(found) & {"id", "status", "step", *grid.columns}
    if taken:
        return ValueError(
            f"The table has a column {sorted(taken)[0]!r}: call the metric otherwise."
        )
    if metric is not None and found.get(metric) != ():
        return ValueError(f"It returns no scalar {metric!r}, by which lanes are ranked.")
    for name, shape in found.items():
        if known.get(name, shape) != shape:
            return ValueError(
                f"Its {name!r} has shape {shape}, and {known[name]} in the groups before it."
            )
    return None


def _shape(
    grid: Grid, number: int, group: Group, programs: Programs, resources: Resources
) -> tuple[Shape, dict[str, float]]:
    job, n_devices = programs.jobs[number], len(resources.devices)
    seeds = [grid.seeds[lane] for lane in group.lanes]
    if isinstance(job.train, HostTraining):
        # It takes all lanes of a seed at once.
        return Shape(1, max(collections.Counter(seeds).values())), {}
    if resources.width is not None:
        return block_shape(seeds, resources.width, n_devices), {}

    def block_at(shape: Shape) -> Block:
        return make_chunks(number, group.lanes, grid.seeds, shape)[0].block(grid, job.dtype)

    chosen = choose_width(
        lambda shape: programs.get(number, shape),
        block_at,
        seeds,
        job.n_steps,
        resources.devices,
        memory=resources.memory,
        workers=resources.workers,
        measure=resources.measure,
    )
    return chosen.shape, chosen.measured


def chunks_of(
    grid: Grid, groups: Sequence[Group], shapes: Mapping[int, Shape], shard: Shard | None
) -> list[Chunk]:
    """Return the chunks of all groups, or every n-th of them, so that shards are equal parts."""
    chunks = [
        chunk
        for number, shape in shapes.items()
        for chunk in make_chunks(number, groups[number].lanes, grid.seeds, shape)
    ]
    return chunks if shard is None else chunks[shard[0] - 1 :: shard[1]]


def fingerprint(
    grid: Grid,
    programs: Programs,
    shapes: Mapping[int, Shape],
    rules: Rules,
    arguments: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what must be the same when a sweep is resumed, part by part.

    Args:
        grid: of the lanes.
        programs: of the groups.
        shapes: of the blocks of every group.
        rules: what is kept and who leaves early.
        arguments: more that shapes results, by name.
    """
    jobs = programs.jobs
    texts = [programs.get(number, shape).text for number, shape in shapes.items()]
    named = {
        "metric": rules.metric,
        "mode": rules.mode,
        "stopping": None if rules.stopping is None else str(rules.stopping),
        "keep": rules.keep,
        "dtype": _of_all([job.dtype for job in jobs]),
        "n_steps": _of_all([job.n_steps for job in jobs]),
        "evaluate_every": _of_all([getattr(job.train, "evaluate_every", None) for job in jobs]),
        **arguments,
    }
    return {
        "grid": grid_digest(grid),
        "code": _hash("\n".join(texts).encode()),
        "data": _hash(*(_hash_arrays(job.shared).encode() for job in jobs)),
        # As the store gives them back.
        "arguments": json.loads(json.dumps(named)),
    }


def environment(devices: Sequence[Any]) -> dict[str, Any]:
    """Return what the last bits of results depend on beside the plan."""
    return {
        "jax": metadata.version("jax"),
        "jaxlib": metadata.version("jaxlib"),
        "numpy": metadata.version("numpy"),
        "machine": platform.machine(),
        "devices": [f"{device.platform}: {device.device_kind}" for device in devices],
    }


def check_same(stored: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raise StoreError if a stored sweep is another one than this, and say what changed."""
    other = [name for name in found if stored.get(name) != found[name]]
    if not other:
        return
    before, now = stored.get("arguments"), found["arguments"]
    changes = [
        f"{name} was {quoted(before.get(name))}, now it is {quoted(value)}"
        for name, value in now.items()
        # A store that is corrupt may hold anything.
        if isinstance(before, dict) and before.get(name) != value
    ]
    what = f"{'; '.join(changes)}. Give" if changes else "give"
    raise StoreError(
        f"The sweep to resume has other {', '.join(other)}: {what} it what it began with, begin "
        "anew in another folder, or force it."
    )


def grid_digest(grid: Grid) -> str:
    """Return what two equal grids have in common."""
    return _hash(json.dumps([grid.ids, sorted(grid.static)]).encode())


def grid_changes(columns: Mapping[str, Sequence[Value]], grid: Grid) -> str:
    """Return how a grid differs from one of these columns."""
    changes = []
    for name in dict.fromkeys([*columns, *grid.columns]):
        was, now = (list(dict.fromkeys(c.get(name, ()))) for c in (columns, grid.columns))
        if was != now:
            text = " and is now ".join(listed(values, 6) or "missing" for values in (was, now))
            changes.append(f"{name} was {text}")
    return "; ".join(changes) or "the same values otherwise combined, in order or as choices"


def _of_all(values: Sequence[Any]) -> Any:
    """Return the value that all groups have, or a list of those of every group."""
    return values[0] if len(set(values)) == 1 else list(values)


def _hash_arrays(tree: Any) -> str:
    leaves, structure = named_leaves(tree)
    digest = hashlib.sha256(str(structure).encode())
    for leaf in leaves.values():
        array = host_array(leaf)
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(array.view(np.uint8).data if array.ndim else array.tobytes())
    return digest.hexdigest()


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
