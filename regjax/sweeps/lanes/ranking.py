"""Settings and their order: runs that differ in the seed alone are ranked by their mean."""

from __future__ import annotations

import bisect
import collections
import math
from collections.abc import Mapping, Sequence
from typing import Literal

Keep = int | Literal["all"]

Rank = tuple[int, float, int]
"""Seeds that diverged or failed, mean cost of the others, and the first run: the least is best."""


def rank(costs: Mapping[int, float]) -> Rank:
    """Return the rank of a setting.

    Args:
        costs: of its runs, by their index in the grid; infinite where one diverged or failed.
    """
    finite = [cost for cost in costs.values() if math.isfinite(cost)]
    mean = math.fsum(finite) / len(finite) if finite else math.inf
    return len(costs) - len(finite), mean, min(costs)


def ranked_settings(costs: Mapping[int, float], settings: Sequence[int]) -> list[int]:
    """Return the settings of these runs from the best on.

    Args:
        costs: of runs, by their index in the grid.
        settings: of all runs of the grid, in its order.
    """
    of_setting: dict[int, dict[int, float]] = {}
    for run, cost in costs.items():
        of_setting.setdefault(settings[run], {})[run] = cost
    return sorted(of_setting, key=lambda setting: rank(of_setting[setting]))


def best_settings(costs: Mapping[int, float], settings: Sequence[int], keep: int) -> set[int]:
    """Return the `keep` best settings among those that have a run with a finite cost."""
    finite = {settings[run] for run, cost in costs.items() if math.isfinite(cost)}
    order = [setting for setting in ranked_settings(costs, settings) if setting in finite]
    return set(order[:keep])


class Keeper:
    """Which runs keep their parameters while others are still at work.

    The mean of a setting is known when its last run is finished. Until then its parameters stay;
    of complete settings only the best ones keep theirs.

    Args:
        keep: how many settings, or "all".
        settings: of all runs of the grid, in its order.
    """

    def __init__(self, keep: Keep, settings: Sequence[int]) -> None:
        self._keep, self._settings = keep, settings
        self._sizes = collections.Counter(settings)
        self._costs: dict[int, dict[int, float]] = {}
        self._best: list[tuple[Rank, int]] = []

    def add(self, costs: Mapping[int, float]) -> tuple[set[int], set[int]]:
        """Take finished runs; return which of them to keep, and which known ones no longer.

        Args:
            costs: of the runs, by their index in the grid.
        """
        if self._keep == "all":
            return set(costs), set()
        dropped: set[int] = set()
        for run, cost in costs.items():
            setting = self._settings[run]
            found = self._costs.setdefault(setting, {})
            found[run] = cost
            if len(found) == self._sizes[setting]:
                bisect.insort(self._best, (rank(found), setting))
        while self._best and (len(self._best) > self._keep or math.isinf(self._best[-1][0][1])):
            dropped |= set(self._costs.pop(self._best.pop()[1]))
        wanted = {run for run, cost in costs.items() if math.isfinite(cost)}
        return wanted - dropped, dropped - set(costs)
