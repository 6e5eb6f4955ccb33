"""Runs that leave early: those that no longer improve, and those of settings that others beat."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from regjax.sweeps.checks import is_real, is_whole, plain_fields, shown
from regjax.sweeps.lanes.ranking import ranked_settings

Mode = Literal["min", "max"]


def costs(values: np.ndarray, mode: Mode) -> np.ndarray:
    """Return what is to be small: the metric, or its opposite; what is not finite is the worst."""
    signed = np.asarray(values, np.float64) * (1 if mode == "min" else -1)
    return np.where(np.isfinite(signed), signed, np.inf)


class Watch(NamedTuple):
    """What early stopping knows of the runs of a block after some evaluations.

    Attributes:
        n_evaluations: so far.
        best: the least cost.
        since: evaluations since then.
        stopped: number of evaluations after which each run stopped, 0 if it has not.
    """

    n_evaluations: int
    best: np.ndarray
    since: np.ndarray
    stopped: np.ndarray


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    """Leaves a run where its metric has not improved for `patience` evaluations in a row.

    The run keeps the parameters and metrics of the evaluation at which it stops. Runs are judged
    one by one, and none is compared with another.

    Attributes:
        patience: evaluations without improvement, one or more; they are `evaluate_every` steps
            apart.
        min_delta: what counts as an improvement, in the unit of the metric.

    Example:
        >>> import numpy as np
        >>> rule = EarlyStopping(patience=2)
        >>> watch = rule.begin((2,))
        >>> for costs in ([3.0, 3.0], [2.0, 4.0], [1.0, 5.0], [0.5, 1.0]):
        ...     watch = rule.update(watch, np.array(costs))
        >>> watch.stopped.tolist()
        [0, 3]
    """

    patience: int
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        plain_fields(self)

    def check(self) -> None:
        """Raise ValueError for numbers that cannot be."""
        if not (is_whole(self.patience, 1) and is_real(self.min_delta, 0)):
            raise ValueError(
                "EarlyStopping needs patience >= 1 and min_delta >= 0, a whole and a finite "
                f"number, got {shown(self)}."
            )

    def begin(self, shape: tuple[int, ...]) -> Watch:
        """Return what is known of runs, in an array of this shape, before any evaluation."""
        return Watch(0, np.full(shape, np.inf), np.zeros(shape, int), np.zeros(shape, int))

    def update(self, watch: Watch, costs: np.ndarray) -> Watch:
        """Return what is known after one more evaluation.

        Args:
            watch: before it.
            costs: of the runs, what is to be small.
        """
        n = watch.n_evaluations + 1
        better = costs < watch.best - self.min_delta
        since = np.where(better, 0, watch.since + 1)
        stops = (watch.stopped == 0) & (since >= self.patience)
        best = np.where(better, costs, watch.best)
        return Watch(n, best, since, np.where(stops, n, watch.stopped))


@dataclasses.dataclass(frozen=True)
class SuccessiveHalving:
    """Leaves all but the best settings at rungs of the training (Jamieson and Talwalkar 2016).

    At step `first` the best share of 1 / `factor` goes on, at least one, up to `factor` times as
    many steps, and so on. Settings of all groups compete. Runs that differ in the seed alone are
    one setting: it is ranked by the mean of the metric over its seeds, and all of them go on or
    none. A setting of which a seed has diverged ranks behind every setting without; of those the
    one with fewer such seeds is better, then the one with the better mean of the others.

    Attributes:
        first: steps before the first rung.
        factor: at least 2.

    Example:
        >>> SuccessiveHalving(first=10, factor=3).rungs(100)
        (10, 30, 90)
        >>> costs = [3.0, 1.0, np.inf, 2.0]
        >>> SuccessiveHalving(first=10).survivors(costs).tolist()
        [1]
        >>> SuccessiveHalving(first=10).survivors(costs, settings=[0, 0, 1, 1]).tolist()
        [0, 1]

    Reference: arXiv:1502.07943.
    """

    first: int
    factor: int = 3

    def __post_init__(self) -> None:
        plain_fields(self)

    def check(self) -> None:
        """Raise ValueError for numbers that cannot be."""
        if not (is_whole(self.first, 1) and is_whole(self.factor, 2)):
            raise ValueError(
                "SuccessiveHalving needs first >= 1 and factor >= 2, whole numbers, got "
                f"{shown(self)}."
            )

    def rungs(self, n_steps: int) -> tuple[int, ...]:
        """Return the steps of the rungs below `n_steps`."""
        rungs, rung = [], self.first
        while rung < n_steps:
            rungs.append(rung)
            rung *= self.factor
        return tuple(rungs)

    def survivors(
        self, costs: Sequence[float] | np.ndarray, settings: Sequence[int] | None = None
    ) -> np.ndarray:
        """Return the indices of the runs that go on, ascending; of equal settings the first.

        Args:
            costs: of the runs, infinite where one diverged.
            settings: a number per run, equal where runs differ in the seed alone; by default
                every run is a setting of its own.
        """
        numbers = list(range(len(costs)) if settings is None else settings)
        order = ranked_settings(dict(enumerate(np.asarray(costs, float).tolist())), numbers)
        best = set(order[: max(1, len(order) // self.factor)])
        return np.array([run for run, setting in enumerate(numbers) if setting in best], int)


Stopping = EarlyStopping | SuccessiveHalving
