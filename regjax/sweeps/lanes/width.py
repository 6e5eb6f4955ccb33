"""How many lanes run at a time: by the memory there is, and by measured speed.

On a CPU the gain is one compiled program per core and not width; on an accelerator it is width. The
choice is made and recorded before the first lane: it shapes the last bits of every result.
"""

from __future__ import annotations

import concurrent.futures
import os
import statistics
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
# Two shapes are compared this often, or for this share of the sweep.
_ROUNDS, _SHARE = 5, 0.02
_GAIN = 1.1


class Width(NamedTuple):
    """Shape of a group's blocks, and what was measured.

    Attributes:
        shape: chosen.
        measured: seconds of a lane's step with its share of the looks, by shape; nothing where
            the sweep is short.
    """

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
        while _bytes(program_at(shape), workers) > memory * n_devices:
            half = halved(shape, n_devices)
            if half is None:
                break
            shape = half
        return shape

    width = first_width(devices)
    best = fitting(width)
    if not measure or n_steps == 1:
        return Width(best, {})

    def probe_of(shape: Shape) -> _Probe:
        return _Probe(program_at(shape), block_at(shape), shape, n_steps, workers)

    probe, lane_steps = probe_of(best), n_steps * len(seeds)
    if probe.at_most * lane_steps < _LONG:
        return Width(best, {})
    pace = probe.pace()
    measured = {_name(best): pace}
    if pace * lane_steps < _LONG:
        return Width(best, measured)
    seconds = _SHARE * pace * lane_steps
    for factor in (4, 1 / 4):
        tried = width
        while probe.seconds * (1 + factor) < seconds:
            tried = max(1, int(tried * factor))
            shape = fitting(tried)
            if _name(shape) in measured:
                break
            other = probe_of(shape)
            pace, found = _compared((probe, other), seconds)
            measured[_name(shape)] = found
            if found * _GAIN > pace:
                break
            best, probe = shape, other
    return Width(best, measured)


def _bytes(program: Program, workers: int) -> int:
    """Return what all programs at work take, with the chunk that waits at the door."""
    return program.bytes * workers + program.waiting_bytes


class _Probe:
    """Some steps of a block, to measure: in all workers, which may share what makes a step fast.

    Attributes:
        at_most: seconds of a lane's step, were there a look after each.
        seconds: that a measurement took.
    """

    def __init__(
        self, program: Program, block: Block, shape: Shape, n_steps: int, workers: int
    ) -> None:
        self._program, self._block, self._shape = program, block, shape
        self._n_steps, self._workers = n_steps, workers
        self._active = np.ones(shape, bool)
        self._more = 0
        self._seconds(1)
        self._once = float(self._mean(lambda: self._seconds(1)))
        self.at_most = self._of_lane(self._once)
        self.seconds = 0.0

    def pace(self) -> float:
        """Return the seconds of a lane's step with its share of the looks."""
        started = time.perf_counter()
        if self._more:
            once, longer = self._mean(lambda: (self._seconds(1), self._seconds(1 + self._more)))
        else:
            once, longer = self._once, self._lengthened()
        step = max(0.0, longer - once) / self._more
        look = max(0.0, once - step)
        self.seconds = time.perf_counter() - started
        n_looks = sum(1 for _ in self._program.stops(0, ()))
        return self._of_lane(float(step + look * n_looks / self._n_steps))

    def _lengthened(self) -> float:
        """Return the seconds of enough steps to outweigh a look: one comes in whatever is run."""
        once, enough = self._once, 2 * self._once + _PROBE_SECONDS
        last = self._n_steps - 1
        self._more = min(last, max(1, int(_PROBE_SECONDS / once)))
        while True:
            longer = float(self._mean(lambda: self._seconds(1 + self._more)))
            if longer >= enough or self._more == last:
                return longer
            # A guess from few steps may be far off.
            guess = (enough - once) / max(longer - once, 1e-9) * self._more
            self._more = min(last, int(np.clip(1.1 * guess, 2 * self._more, 16 * self._more)))

    def _seconds(self, steps: int) -> float:
        carry = jax.block_until_ready(self._program.begin(self._block))
        started = time.perf_counter()
        carry, _ = self._program.leg(carry, self._block, self._active, 0, steps)
        jax.block_until_ready(carry)
        return time.perf_counter() - started

    def _mean(self, measure: Callable[[], Any]) -> Any:
        with concurrent.futures.ThreadPoolExecutor(self._workers) as pool:
            found = [pool.submit(measure) for _ in range(self._workers)]
            return np.mean([future.result() for future in found], axis=0)

    def _of_lane(self, seconds: float) -> float:
        return seconds / (self._shape.size * self._workers)


def _compared(probes: Sequence[_Probe], seconds: float) -> list[float]:
    """Return the median pace of each, measured in turn for about so long.

    What is chosen holds for the whole sweep, and should not be the machine's moment.
    """
    started = time.perf_counter()
    rounds: list[list[float]] = []
    for _ in range(_ROUNDS):
        rounds.append([probe.pace() for probe in probes])
        if time.perf_counter() - started > seconds:
            break
    return [statistics.median(paces) for paces in zip(*rounds, strict=True)]


def _name(shape: Shape) -> str:
    return f"{shape.seeds} x {shape.lanes}"
