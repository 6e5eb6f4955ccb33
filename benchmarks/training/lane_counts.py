"""What many lanes cost: seconds and resident memory, in a fresh process for every number."""

from __future__ import annotations

import pathlib
import statistics
import tempfile
import time
from typing import Any

from rich.console import Console

from benchmarks.paths.remote import Remote, StoppedError
from benchmarks.training.overhead import REALISTIC, TINY, model
from benchmarks.training.problem import Size, lambdas
from benchmarks.training.race import LIMIT, Rules
from regjax.sweeps import Grid, run_sweep

WIDTH = 8


class Probe:
    """A process for one measurement."""

    def __init__(self, name: str, size: Size) -> None:
        self._train, self._shared = model(name, size)
        # What is compiled and imported on first use is no part of a lane's cost.
        self._sweep(WIDTH, "first")

    def parts(self, n_lanes: int) -> dict[str, float]:
        """Return the seconds of so many lanes, and the peak of resident memory meanwhile."""
        # The record so far is of compiling.
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        started = time.perf_counter()
        self._sweep(n_lanes, "out")
        return {"seconds": time.perf_counter() - started, "peak": _peak_mib()}

    def _sweep(self, n_lanes: int, folder: str) -> None:
        grid = Grid.product(lambda_=lambdas(n_lanes).tolist())
        with tempfile.TemporaryDirectory() as scratch:
            given = {"metric": "loss", "width": WIDTH, "out": pathlib.Path(scratch) / folder}
            run_sweep(self._train, grid, *self._shared, **given)


def _peak_mib() -> float:
    """Return the peak as the kernel tells it of this program alone, not of who started it."""
    status = pathlib.Path("/proc/self/status").read_text()
    return float(status.split("VmHWM:")[1].split()[0]) / 2**10


def lane_counts(size: Size, rules: Rules, console: Console) -> dict[str, Any]:
    """Return medians of seconds and of peaks by model and number of lanes."""
    found: dict[str, Any] = {name: {} for name in (TINY, REALISTIC)}
    for name, rows in found.items():
        kept: dict[int, list[dict[str, float]]] = {n: [] for n in size.lane_counts}
        for _ in range(min(rules.rounds, rules.firsts)):
            for n_lanes, seen in kept.items():
                remote = Remote(Probe, name, size)
                try:
                    seen.append(remote.call("parts", n_lanes, limit=LIMIT))
                except StoppedError as stop:
                    console.print(name, n_lanes, str(stop))
                finally:
                    remote.close()
        for n_lanes, seen in kept.items():
            if seen:
                keys = ("seconds", "peak")
                rows[str(n_lanes)] = {k: statistics.median(s[k] for s in seen) for k in keys}
                console.print(name, n_lanes, rows[str(n_lanes)])
    return found
