"""Penalties on a path: where they let coefficients in, and which engine solves them.

Each penalty sees the lanes of a path as problems: the elastic net has one problem for every
response, the multi-task elastic net one for all of them.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from regjax.paths._grouped import norms
from regjax.paths._grouped_path import solve_grouped
from regjax.paths._problem import Standard
from regjax.paths._samples import Lanes, Samples
from regjax.paths._solve import LanePath
from regjax.paths.settings import Settings

# The best lambda of ridge can lie anywhere among the eigenvalues, far below where a lasso ends.
_RIDGE_RATIO = 1e-9
_LEAST_L1_RATIO = 1e-3
_ROUNDING = 1e-14


class PathPenalty(Protocol):
    """A penalty on a path: its l1_ratio, and what differs between penalties."""

    @property
    def l1_ratio(self) -> float:
        """Return the share of the absolute penalty."""

    def entries(self, lane: Standard) -> np.ndarray:
        """Return by problem the minimum lambda of the lasso that leaves every coefficient 0."""

    def solve(self, lanes: Lanes, lambdas: np.ndarray, tol: float) -> list[LanePath]:
        """Return the path of every lane at descending lambdas (n_lanes, n_problems, n_lambdas)."""

    def errors(self, data: Samples, split: int, path: LanePath) -> np.ndarray:
        """Return mean squared errors (n_problems, n_lambdas) of the rows that a split tests on."""


class ElasticNetPenalty(NamedTuple):
    """`lambda sum_j f_j (l1_ratio |b_j| + (1 - l1_ratio) / 2 b_j^2)` for every response."""

    l1_ratio: float

    def entries(self, lane: Standard) -> np.ndarray:
        # Where a bound is 0, correlations of that sign bring nothing in.
        pull = np.where(lane.cross > 0, lane.upper > 0, lane.lower < 0) * np.abs(lane.cross)
        return (pull / lane.l1).max(axis=1, initial=0.0)

    def solve(self, lanes: Lanes, lambdas: np.ndarray, tol: float) -> list[LanePath]:
        return lanes.solve(lambdas, self.l1_ratio, tol)

    def errors(self, data: Samples, split: int, path: LanePath) -> np.ndarray:
        return data.error(split, path.coef, path.intercept)


class MultiTaskPenalty(NamedTuple):
    """`lambda sum_j f_j (l1_ratio ||B_j|| + (1 - l1_ratio) / 2 ||B_j||^2)`, over responses."""

    l1_ratio: float

    def entries(self, lane: Standard) -> np.ndarray:
        pull = norms(lane.cross.T)
        # Columns have unit variance: this little is what rounding leaves of constant responses.
        pull[pull <= _ROUNDING * np.sqrt(lane.scale.sum())] = 0.0
        return (pull / lane.l1).max(initial=0.0, keepdims=True)

    def solve(self, lanes: Lanes, lambdas: np.ndarray, tol: float) -> list[LanePath]:
        return solve_grouped(lanes, lambdas[0, 0], self.l1_ratio, tol)

    def errors(self, data: Samples, split: int, path: LanePath) -> np.ndarray:
        return data.error(split, path.coef[0], path.intercept[0]).mean(axis=0, keepdims=True)


def lambda_grid(
    lanes: list[Standard],
    penalty: PathPenalty,
    settings: Settings,
    given: np.ndarray | None,
    size: tuple[float, int],
) -> np.ndarray:
    """Return lambdas (n_lanes, n_problems, n_lambdas), descending.

    Args:
        given: (n_lambdas,) the caller's, or None for a grid.
        size: number of rows, or sum of their weights, and of columns.
    """
    entry = np.stack([penalty.entries(lane) for lane in lanes])
    if given is not None:
        return np.broadcast_to(given, (*entry.shape, len(given)))
    if settings.n_lambdas < 1:
        raise ValueError(f"n_lambdas must be at least 1, got {settings.n_lambdas}.")
    ratio = settings.lambda_min_ratio
    if ratio is None:
        ridge = penalty.l1_ratio == 0 and not any(lane.bounded for lane in lanes)
        of_lasso = 1e-3 if size[0] > size[1] else 1e-2
        ratio = _RIDGE_RATIO if ridge else of_lasso
    if not 0 < ratio <= 1:
        raise ValueError(f"lambda_min_ratio must be in (0, 1], got {ratio}.")
    largest = np.where(entry > 0, entry, 1.0) / max(penalty.l1_ratio, _LEAST_L1_RATIO)
    return largest[:, :, None] * np.geomspace(1, ratio, settings.n_lambdas)
