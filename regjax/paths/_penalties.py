"""What elastic nets of squared loss differ in on a path, and their grids of lambdas."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from regjax.paths._grid import default_min_ratio, entry_lambdas, first_lambda
from regjax.paths.data.standard_form import Standard
from regjax.paths.engines.active_set import solve_active
from regjax.paths.engines.batched import path_rows
from regjax.paths.engines.block import Groups, group_gap, solve_groups
from regjax.paths.engines.factor import Factor
from regjax.paths.engines.rows import duality_gaps
from regjax.paths.settings import Settings

_ROUNDING = 1e-14


class PathPenalty(Protocol):
    """A penalty on a path.

    Where responses are penalized apart, each is a problem of its own, with m = 1 below.
    """

    @property
    def l1_ratio(self) -> float:
        """Return the share of the absolute penalty."""

    @property
    def joint(self) -> bool:
        """Return whether all responses are one problem."""

    def entries(self, problem: Standard, z: np.ndarray) -> np.ndarray:
        """Return the lambdas of the lasso at which columns of correlations z come in.

        Args:
            z: (..., m, q).

        Returns:
            (..., n_problems, q).
        """

    def minimize(
        self,
        problem: Standard,
        lambda_: float,
        start: np.ndarray,
        target: float,
        factor: Factor | None = None,
    ) -> np.ndarray:
        """Return the solution (m, q) of one problem from its Gram matrix.

        Args:
            start: (m, q) coefficients to start from, within the bounds.
            target: duality gap to reach, or better.
            factor: of columns of the same Gram matrix, from problems near this one.
        """

    def gaps(
        self, problem: Standard, lambdas: np.ndarray, b: np.ndarray, z: np.ndarray
    ) -> np.ndarray:
        """Return the duality gaps (k,) of one problem.

        Args:
            lambdas: (k,).
            b: (k, m, q) coefficients, and z their correlations with what they leave.
        """


class ElasticNetPenalty(NamedTuple):
    """`lambda sum_j f_j (l1_ratio |b_j| + (1 - l1_ratio) / 2 b_j^2)` for every response."""

    l1_ratio: float
    joint: bool = False

    def entries(self, problem: Standard, z: np.ndarray) -> np.ndarray:
        return entry_lambdas(z, problem.l1, problem.lower, problem.upper)

    def minimize(
        self,
        problem: Standard,
        lambda_: float,
        start: np.ndarray,
        target: float,
        factor: Factor | None = None,
    ) -> np.ndarray:
        l1, l2 = lambda_ * self.l1_ratio * problem.l1, lambda_ * (1 - self.l1_ratio) * problem.l2
        bounds = problem.lower, problem.upper
        cross = problem.cross[0]
        return solve_active(problem.gram, cross, l1, l2, *bounds, start[0], factor)[None]

    def gaps(
        self, problem: Standard, lambdas: np.ndarray, b: np.ndarray, z: np.ndarray
    ) -> np.ndarray:
        rows = path_rows(problem, slice(0, 1), lambdas[None], self.l1_ratio)
        return duality_gaps(rows, b[:, 0], z[:, 0])


class MultiTaskPenalty(NamedTuple):
    """`lambda sum_j f_j (l1_ratio ||B_j|| + (1 - l1_ratio) / 2 ||B_j||^2)`, over responses."""

    l1_ratio: float
    joint: bool = True

    def entries(self, problem: Standard, z: np.ndarray) -> np.ndarray:
        size = np.sqrt(np.einsum("...mq,...mq->...q", z, z))
        # Columns have unit variance: this little is what rounding leaves of constant responses.
        size[size <= _ROUNDING * np.sqrt(problem.scale.sum())] = 0.0
        return (size / problem.l1)[..., None, :]

    def minimize(
        self,
        problem: Standard,
        lambda_: float,
        start: np.ndarray,
        target: float,
        factor: Factor | None = None,
    ) -> np.ndarray:
        return solve_groups(self._groups(problem, lambda_), start.T, target).T

    def gaps(
        self, problem: Standard, lambdas: np.ndarray, b: np.ndarray, z: np.ndarray
    ) -> np.ndarray:
        each = zip(lambdas, b, z, strict=True)
        return np.array([group_gap(self._groups(problem, at), B.T, Z.T) for at, B, Z in each])

    def _groups(self, problem: Standard, lambda_: float) -> Groups:
        return Groups(
            gram=problem.gram,
            cross=problem.cross.T,
            scale=float(problem.scale.sum()),
            l1=lambda_ * self.l1_ratio * problem.l1,
            l2=lambda_ * (1 - self.l1_ratio) * problem.l2,
        )


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
    entry = np.stack([penalty.entries(lane, lane.cross).max(axis=1, initial=0.0) for lane in lanes])
    if given is not None:
        return np.broadcast_to(given, (*entry.shape, len(given)))
    if settings.n_lambdas < 1:
        raise ValueError(f"n_lambdas must be at least 1, got {settings.n_lambdas}.")
    ratio = settings.lambda_min_ratio
    if ratio is None:
        bounded = any(lane.bounded for lane in lanes)
        ratio = float(default_min_ratio(penalty.l1_ratio, bounded, *size))
    if not 0 < ratio <= 1:
        raise ValueError(f"lambda_min_ratio must be in (0, 1], got {ratio}.")
    largest = first_lambda(entry, penalty.l1_ratio)
    return largest[:, :, None] * np.geomspace(1, ratio, settings.n_lambdas)
