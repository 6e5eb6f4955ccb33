"""Lanes that leave early: those that no longer improve, and those that others beat."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

Mode = Literal["min", "max"]


def costs(values: np.ndarray, mode: Mode) -> np.ndarray:
    """Return what is to be small: the metric, or its opposite; what is not finite is the worst."""
    signed = np.asarray(values, np.float64) * (1 if mode == "min" else -1)
    return np.where(np.isfinite(signed), signed, np.inf)


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    """Leaves a lane where its metric has not improved for `patience` looks in a row.

    The lane keeps the parameters and metrics of the look at which it stops.

    Attributes:
        patience: looks without improvement, one or more; they are `evaluate_every` steps apart.
        min_delta: what counts as an improvement.

    Example:
        >>> import numpy as np
        >>> curve = np.array([[3.0, 3.0], [2.0, 4.0], [1.0, 5.0], [0.5, 1.0]])
        >>> EarlyStopping(patience=2).looks(curve).tolist()
        [0, 3]
    """

    patience: int
    min_delta: float = 0.0

    def check(self) -> None:
        if self.patience < 1 or not self.min_delta >= 0:
            raise ValueError(f"EarlyStopping needs patience >= 1 and min_delta >= 0, got {self}.")

    def looks(self, costs: np.ndarray) -> np.ndarray:
        """Return the number of looks after which every lane stops, 0 if it does not.

        Args:
            costs: (n_looks, ...) what is to be small.
        """
        best, since = np.full(costs.shape[1:], np.inf), np.zeros(costs.shape[1:], int)
        stopped = np.zeros(costs.shape[1:], int)
        for look, cost in enumerate(costs, start=1):
            better = cost < best - self.min_delta
            best, since = np.where(better, cost, best), np.where(better, 0, since + 1)
            stopped = np.where((stopped == 0) & (since >= self.patience), look, stopped)
        return stopped


@dataclasses.dataclass(frozen=True)
class SuccessiveHalving:
    """Leaves all but the best lanes at rungs of the training (Jamieson and Talwalkar 2016).

    At step `first` the best share of 1 / `factor` goes on, up to `factor` times as many steps, and
    so on. Lanes of all groups and seeds compete.

    Attributes:
        first: steps before the first rung.
        factor: at least 2.

    Example:
        >>> SuccessiveHalving(first=10, factor=3).rungs(100)
        (10, 30, 90)
        >>> SuccessiveHalving(first=10).survivors(np.array([3.0, 1.0, np.inf, 2.0])).tolist()
        [1]
    """

    first: int
    factor: int = 3

    def check(self) -> None:
        if self.first < 1 or self.factor < 2:
            raise ValueError(f"SuccessiveHalving needs first >= 1 and factor >= 2, got {self}.")

    def rungs(self, n_steps: int) -> tuple[int, ...]:
        """Return the steps of the rungs below `n_steps`."""
        rungs, rung = [], self.first
        while rung < n_steps:
            rungs.append(rung)
            rung *= self.factor
        return tuple(rungs)

    def survivors(self, costs: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return the places of those that go on, ascending; of equals the first."""
        costs = np.asarray(costs, np.float64)
        keep = max(1, len(costs) // self.factor)
        return np.sort(np.argsort(costs, kind="stable")[:keep])


Stopping = EarlyStopping | SuccessiveHalving
