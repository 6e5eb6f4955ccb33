"""Which lanes run together: blocks of seeds and lanes, all of one shape, the last ones padded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from regjax.sweeps.lanes.compiled import Shape
from regjax.sweeps.lanes.grid import Grid
from regjax.sweeps.lanes.programs import Block

_EMPTY = -1


class Chunk(NamedTuple):
    """Lanes of one group that run as one block.

    Attributes:
        group: number of the group.
        lanes: places in the grid, a row per seed; -1 where the block is padded.
    """

    group: int
    lanes: tuple[tuple[int, ...], ...]

    @property
    def shape(self) -> Shape:
        return Shape(len(self.lanes), len(self.lanes[0]))

    def places(self) -> list[tuple[int, tuple[int, int]]]:
        """Return the lanes with their places in the block, padding left out."""
        return [
            (lane, (i, j))
            for i, row in enumerate(self.lanes)
            for j, lane in enumerate(row)
            if lane != _EMPTY
        ]

    def filled(self) -> list[int]:
        """Return a lane for every place of the block, row by row; padding repeats one there is."""
        first = self.places()[0][0]
        rows = [[row[0] if lane == _EMPTY else lane for lane in row] for row in self.lanes]
        return [first if lane == _EMPTY else lane for row in rows for lane in row]

    def block(self, grid: Grid, dtype: str) -> Block:
        """Return the hyperparameters and seeds."""
        lanes = self.filled()
        arrays = grid.arrays(lanes, dtype)
        seeds = tuple(grid.seeds[lane] for lane in lanes[:: self.shape.lanes])
        return Block({name: v.reshape(self.shape) for name, v in arrays.items()}, seeds)


def block_shape(seeds: Iterable[int], width: int, n_devices: int = 1) -> Shape:
    """Return the shape of blocks for lanes with these seeds, of about `width` lanes per device.

    Lanes of one seed share what depends on the seed, so a block holds as few seeds as fill it.
    """
    counts: dict[int, int] = {}
    for seed in seeds:
        counts[seed] = counts.get(seed, 0) + 1
    most, total = max(counts.values()), width * n_devices
    if most >= n_devices:
        # As few chunks as the width allows, all about equally full.
        each = -(-most // n_devices)
        lanes = -(-each // -(-each // width)) * n_devices
        return Shape(max(1, min(total // lanes, len(counts))), lanes)
    rows = max(1, min(width // most, -(-len(counts) // n_devices)))
    return Shape(rows * n_devices, most)


def make_chunks(
    group: int, lanes: Sequence[int], seeds: Sequence[int], shape: Shape
) -> list[Chunk]:
    """Return the lanes as chunks of this shape: some settings under all seeds, then the next ones.

    So the mean of a setting is known soon, and few parameters are held until then. The order of
    seeds turns each time, as what the last ones have prepared is still there.

    Args:
        group: number of the group.
        lanes: places in the grid.
        seeds: of all lanes of the grid.
        shape: of every chunk.
    """
    of_seed: dict[int, list[int]] = {}
    for lane in lanes:
        of_seed.setdefault(seeds[lane], []).append(lane)
    seeds_in_turn = list(of_seed.values())
    rows: list[list[int]] = []
    for start in range(0, max(map(len, seeds_in_turn)), shape.lanes):
        rows += [found[start : start + shape.lanes] for found in seeds_in_turn if found[start:]]
        seeds_in_turn.reverse()
    padded = [(*row, *[_EMPTY] * (shape.lanes - len(row))) for row in rows]
    blocks = [padded[i : i + shape.seeds] for i in range(0, len(padded), shape.seeds)]
    empty = (_EMPTY,) * shape.lanes
    return [Chunk(group, (*block, *[empty] * (shape.seeds - len(block)))) for block in blocks]


def halved(shape: Shape, n_devices: int) -> Shape | None:
    """Return a block of half as many lanes, or None if every device has a single one."""
    seeds = shape.seeds // 2
    if shape.lanes % n_devices != 0:
        # Devices share the seeds.
        seeds = seeds // n_devices * n_devices
    if seeds:
        return Shape(seeds, shape.lanes)
    each = 1 if shape.seeds % n_devices == 0 else n_devices
    half = shape.lanes // 2 // each * each
    return Shape(shape.seeds, half) if half else None


def padding(chunk: Chunk) -> np.ndarray:
    """Return which places of the block hold a lane."""
    return np.array(chunk.lanes) != _EMPTY
