"""Where a chunk stands, and its checkpoint: what it takes further, and the looks so far."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np

from regjax.sweeps.lanes.arrays import to_bytes
from regjax.sweeps.lanes.chunks import Chunk, make_chunks
from regjax.sweeps.lanes.compiled import Shape
from regjax.sweeps.lanes.grid import Grid
from regjax.sweeps.lanes.programs import Arrays
from regjax.sweeps.lanes.stopping import Watch
from regjax.sweeps.lanes.store import Saved

_CARRY, _LOOKS = "carry", "looks"
_STEPS = f"{_LOOKS}/step"


@dataclasses.dataclass
class Position:
    """Where a chunk stands: number in the store, step reached, rungs passed, looks so far.

    What early stopping knows of its lanes follows from the looks, and is not stored.
    It is unsaved where the store knows of fewer steps.
    On a rung its carry is in the store alone, but for the steps at which lanes diverged.
    """

    number: int
    chunk: Chunk
    step: int
    stage: int
    carry: Any
    looks: list[tuple[int, Arrays]]
    watch: Watch | None = None
    diverged: np.ndarray | None = None
    unsaved: bool = False
    seconds: float = 0.0
    saved_at: float = dataclasses.field(default_factory=time.perf_counter)


def pack(position: Position, carry: Any) -> bytes:
    """Return the checkpoint of a chunk whose carry is here as arrays."""
    looks: Arrays = {"step": np.array([step for step, _ in position.looks])}
    for name in position.looks[0][1]:
        looks[name] = np.stack([values[name] for _, values in position.looks])
    return to_bytes({_CARRY: carry, _LOOKS: looks})


def carry_from(stored: Arrays) -> Arrays:
    """Return what the chunk takes further, by path, from a checkpoint."""
    return dict(_part(stored, _CARRY))


def looks_from(stored: Arrays) -> list[tuple[int, Arrays]]:
    """Return the looks so far from a checkpoint."""
    looks = dict(_part(stored, _LOOKS))
    steps = looks.pop("step")
    return [(int(s), {n: a[k] for n, a in looks.items()}) for k, s in enumerate(steps)]


def by_lane(chunk: Chunk, stored: Arrays) -> dict[int, Arrays]:
    """Return a checkpoint lane by lane."""
    return {
        lane: {
            name: array[i, j] if _is_carry(name) else array[:, i, j]
            for name, array in stored.items()
            if name != _STEPS
        }
        for lane, (i, j) in chunk.places()
    }


def repacked(
    position: Position, of_lane: dict[int, Arrays], grid: Grid, shape: Shape, stage: int
) -> list[Saved]:
    """Return lanes that stand where this position does as chunks of another shape."""
    lanes = sorted(of_lane)
    steps = np.array([at for at, _ in position.looks])
    saved = []
    for chunk in make_chunks(position.chunk.group, lanes, grid.seeds, shape):
        named: Arrays = {_STEPS: steps}
        for name in of_lane[lanes[0]]:
            parts = [of_lane[lane][name] for lane in chunk.filled()]
            if _is_carry(name):
                stacked = np.stack(parts)
                named[name] = stacked.reshape(*shape, *stacked.shape[1:])
            else:
                named[name] = np.stack(parts, axis=1).reshape(len(steps), *shape)
        saved.append(Saved(0, chunk, position.step, stage, to_bytes(named)))
    return saved


def _is_carry(name: str) -> bool:
    return name.startswith(f"{_CARRY}/")


def _part(stored: Arrays, name: str) -> list[tuple[str, np.ndarray]]:
    start = f"{name}/"
    return [(path.removeprefix(start), a) for path, a in stored.items() if path.startswith(start)]
