"""From the caller's data to the lanes of a run: they share columns and differ in their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from regjax.paths._input import Matrix, as_design, as_responses, as_sample_weight
from regjax.paths._problem import Shape, Standard, data_form, standard_form
from regjax.paths._solve import LanePath, solve_data, solve_statistics, wants_gram
from regjax.paths._threads import MANY_ENTRIES, run_each
from regjax.paths.statistics import SufficientStatistics, check_statistics, statistics_of


class Lanes(Protocol):
    """Problems that are solved together.

    Attributes:
        standard: each in standard form.
    """

    standard: list[Standard]

    def solve(self, lambdas: np.ndarray, l1_ratio: float, tol: float) -> list[LanePath]:
        """Return the path of every lane at descending lambdas (n_lanes, m, n_lambdas)."""


class GramLanes:
    """Lanes given by their statistics."""

    def __init__(self, statistics: Sequence[SufficientStatistics], shape: Shape) -> None:
        large = len(statistics) * statistics[0].xx.size >= MANY_ENTRIES
        self.standard = run_each(
            lambda i: standard_form(statistics[i], shape), range(len(statistics)), worthwhile=large
        )

    def solve(self, lambdas: np.ndarray, l1_ratio: float, tol: float) -> list[LanePath]:
        return solve_statistics(self.standard, lambdas, l1_ratio, tol)


class DataLanes:
    """Lanes that weigh the rows of `X` (n, p) and `y` (n, m) by `weight` (n_lanes, n)."""

    def __init__(self, X: Matrix, y: np.ndarray, weight: np.ndarray, shape: Shape) -> None:
        self.form = data_form(X, y, weight, shape)
        self.standard = self.form.lanes

    def solve(self, lambdas: np.ndarray, l1_ratio: float, tol: float) -> list[LanePath]:
        return solve_data(self.form, lambdas, l1_ratio, tol)


class Rows(NamedTuple):
    """Checked rows: `X` (n, p), `y` (n, m), and weights (n,), (n_lanes, n) or None."""

    X: Matrix
    y: np.ndarray
    weight: np.ndarray | None

    @property
    def size(self) -> tuple[float, int]:
        """Number of rows and of columns."""
        return self.X.shape

    def lanes(self, shape: Shape) -> Lanes:
        """Return one lane for every weighting."""
        n, p = self.X.shape
        weights = np.ones((1, n)) if self.weight is None else np.atleast_2d(self.weight)
        if not wants_gram(n, p):
            return DataLanes(self.X, self.y, weights, shape)
        if self.weight is None:
            return GramLanes([statistics_of(self.X, self.y, None)], shape)

        def statistics(i: int) -> SufficientStatistics:
            return statistics_of(self.X, self.y, weights[i])

        large = weights.size * p >= MANY_ENTRIES
        return GramLanes(run_each(statistics, range(len(weights)), worthwhile=large), shape)


class Moments(NamedTuple):
    """Statistics in the place of rows."""

    statistics: SufficientStatistics

    @property
    def size(self) -> tuple[float, int]:
        """Sum of the weights, and number of columns."""
        return float(self.statistics.weight), len(self.statistics.x_mean)

    def lanes(self, shape: Shape) -> Lanes:
        """Return the one lane."""
        return GramLanes([self.statistics], shape)


def as_data(X: Any, y: Any, sample_weight: Any) -> tuple[Rows | Moments, bool]:
    """Return checked rows or statistics, and whether there is a single response."""
    if isinstance(X, SufficientStatistics):
        if y is not None or sample_weight is not None:
            raise ValueError("Statistics hold the response and the weights: leave these out.")
        moments = check_statistics(X)
        return Moments(moments), len(moments.yy) == 1
    if y is None:
        raise ValueError("y is missing: only SufficientStatistics hold the response.")
    design = as_design(X)
    responses, single = as_responses(y, design.shape[0])
    return Rows(design, responses, as_sample_weight(sample_weight, design.shape[0])), single
