"""How many lanes run at a time: by the memory there is, and by measured speed.

On a CPU the gain is one compiled program per core and not width; on an accelerator it is width. The
choice is made and recorded before the first lane: it shapes the last bits of every result.
"""

from __future__ import annotations

import concurrent.futures
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from regjax.sweeps.lanes.chunks import block_shape, halved
from regjax.sweeps.lanes.compiled import Shape
from regjax.sweeps.lanes.programs import Block, Program

# Lanes per device to begin with; measured on two cores: a perceptron's lanes gain little beyond.
_FIRST = {"cpu": 8}
_FIRST_ELSEWHERE = 256
# Sweeps that take longer than this, in seconds, are worth the compilation of other widths.
_LONG = 60.0
_PROBE_SECONDS = 0.05
_GAIN = 1.1


class Width(NamedTuple):
    """Shape of a group's blocks, and what was measured: seconds per lane and step, by shape."""

    shape: Shape
    measured: dict[str, float]


def n_cores() -> int:
    """Return the number of cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)


def default_workers(devices: Sequence[Any]) -> int:
    """Return one worker per core for a single CPU device, else one."""
    return n_cores() if len(devices) == 1 and devices[0].platform == "cpu" else 1


def default_memory(devices: Sequence[Any]) -> int:
    """Return the bytes that programs may take on a device: half of what is free on a CPU."""
    stats = devices[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return int(0.8 * stats["bytes_limit"])
    names = os.sysconf_names if hasattr(os, "sysconf_names") else {}
    if "SC_AVPHYS_PAGES" not in names:
        return 2**33
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // (2 * len(devices))


def first_width(devices: Sequence[Any]) -> int:
    """Return the lanes per device to begin with."""
    return _FIRST.get(devices[0].platform, _FIRST_ELSEWHERE)


def choose_width(
    program_at: Callable[[Shape], Program],
    block_at: Callable[[Shape], Block],
    seeds: Sequence[int],
    n_steps: int,
    devices: Sequence[Any],
    *,
    memory: int,
    workers: int,
    measure: bool,
) -> Width:
    """Return the shape of blocks for a group.

    Args:
        program_at: makes the program at a shape.
        block_at: makes lanes of that shape to measure with.
        seeds: of the lanes.
        n_steps: of the training; that of a pure function, 1, cannot be measured beforehand.
        devices: that share every block.
        memory: bytes that all programs at work may take on a device.
        workers: programs at work at a time.
        measure: whether to try other shapes where the sweep is long.
    """
    n_devices = len(devices)

    def fitting(width: int) -> Shape:
        shape = block_shape(seeds, width, n_devices)
        while program_at(shape).bytes * workers > memory * n_devices:
            half = halved(shape, n_devices)
            if half is None:
                break
            shape = half
        return shape

    width = first_width(devices)
    best = fitting(width)
    if not measure or n_steps == 1:
        return Width(best, {})
    pace = _pace(program_at(best), block_at(best), best, n_steps, workers)
    measured = {_name(best): pace}
    if pace * n_steps * len(seeds) < _LONG:
        return Width(best, measured)
    for factor in (4, 1 / 4):
        tried = width
        while True:
            tried = max(1, int(tried * factor))
            shape = fitting(tried)
            if _name(shape) in measured:
                break
            found = _pace(program_at(shape), block_at(shape), shape, n_steps, workers)
            measured[_name(shape)] = found
            if found * _GAIN > pace:
                break
            best, pace = shape, found
    return Width(best, measured)


def _pace(program: Program, block: Block, shape: Shape, n_steps: int, workers: int) -> float:
    """Return the seconds of a lane's step, with all workers at it."""
    active = np.ones(shape, bool)

    def seconds(steps: int) -> float:
        carry = program.begin(block)
        started = time.perf_counter()
        carry, _ = program.leg(carry, block, active, 0, steps)
        jax.block_until_ready(carry)
        return time.perf_counter() - started

    seconds(1)
    first = seconds(1)
    if first * n_steps < _PROBE_SECONDS:
        # The whole training takes less than the probe.
        return first / shape.size
    steps = min(n_steps, math.ceil(_PROBE_SECONDS / first))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        took = list(pool.map(seconds, [steps] * workers))
    return float(np.mean(took)) / (steps * shape.size * workers)


def _name(shape: Shape) -> str:
    return f"{shape.seeds} x {shape.lanes}"
