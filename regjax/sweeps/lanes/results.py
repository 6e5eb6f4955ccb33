"""What lanes came to, and how they are ranked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from regjax.sweeps.lanes.grid import Grid
from regjax.sweeps.lanes.positions import Position
from regjax.sweeps.lanes.programs import Arrays
from regjax.sweeps.lanes.ranking import Keep, best_settings
from regjax.sweeps.lanes.stopping import Mode, Stopping, costs
from regjax.sweeps.lanes.store import Result


class Rules(NamedTuple):
    """What of a sweep is its own choice.

    Attributes:
        metric: name of the metric that ranks settings, or None.
        mode: whether it is to be small or large.
        stopping: who leaves early.
        keep: how many of the best settings keep the parameters of their lanes, or "all".
    """

    metric: str | None = None
    mode: Mode = "min"
    stopping: Stopping | None = None
    keep: Keep = 1

    def cost(self, result: Result) -> float:
        """Return what is to be small: infinite for a lane that diverged."""
        if result.status == "diverged":
            return np.inf
        if self.metric is None:
            return 0.0
        return float(costs(np.array(result.metrics.get(self.metric, np.nan)), self.mode))

    def keeps(self, results: Iterable[Result], failed: Iterable[int], grid: Grid) -> set[int]:
        """Return the lanes whose parameters are kept at the end.

        Args:
            results: of lanes; those that were dropped are out.
            failed: lanes that have no result.
            grid: of all lanes.
        """
        if self.keep == "all":
            return set(range(len(grid)))
        found = dict.fromkeys(failed, np.inf)
        found |= {r.lane: self.cost(r) for r in results if r.status != "dropped"}
        best = best_settings(found, grid.settings, self.keep)
        return {lane for lane, setting in enumerate(grid.settings) if setting in best}


def results_of(
    position: Position,
    measured: Arrays,
    diverged: np.ndarray,
    looks: np.ndarray,
    grid: Grid,
    metric: str | None,
) -> list[Result]:
    """Return what the lanes of a chunk came to.

    Args:
        position: of the chunk, with its looks.
        measured: metrics of a pure function, scalars and curves, by name.
        diverged: the steps at which lanes did, or 0.
        looks: the number of looks after which lanes stopped by themselves, or 0.
        grid: of all lanes.
        metric: that must be finite; None: no scalar may be NaN, as there is none to judge by.
    """
    results = []
    for lane, place in position.chunk.places():
        metrics = {n: float(v[place]) for n, v in measured.items() if v.ndim == 2}
        curves = {n: np.asarray(v[place]) for n, v in measured.items() if v.ndim == 3}
        step: int | None = None
        status = "done"
        if position.looks:
            counted = position.looks[: looks[place] or None]
            step = counted[-1][0]
            metrics |= {n: float(v[place]) for n, v in counted[-1][1].items()}
            if looks[place]:
                status = "stopped"
            if len(counted) > 1:
                curves["step"] = np.array([at for at, _ in counted])
                for name in counted[0][1]:
                    curves[name] = np.array([values[name][place] for _, values in counted])
        if diverged[place]:
            status, step = "diverged", int(diverged[place])
        elif _is_lost(metrics, metric):
            status = "diverged"
        results.append(Result(lane, grid.ids[lane], status, step, metrics, curves or None))
    return results


def _is_lost(metrics: dict[str, float], metric: str | None) -> bool:
    if metric is not None:
        return not np.isfinite(metrics.get(metric, np.nan))
    return bool(np.isnan(list(metrics.values())).any())
