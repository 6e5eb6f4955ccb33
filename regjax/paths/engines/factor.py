"""Systems of many unknowns that differ little: conjugate gradients with a factor that is kept.

From one active set to the next a few columns join and a few leave, and the quadratic penalty falls
a little. The inverse factor of the last set, with a block for those that join and a correction for
those that leave, is a preconditioner with which a step or two are enough, but for the penalty;
where they are not, the set is factored anew.
"""

from __future__ import annotations

import numpy as np

from regjax.paths.engines.grams import block

# As many conjugate-gradient steps take half the time of a factor; without one, so many unknowns.
_STEPS = 12
_UNKNOWNS_PER_STEP = 100
# Columns that have left, for every one that is there, and that join, beyond which sets differ.
_MOST_LEFT, _MOST_JOINING = 0.1, 0.5
_SMALL = 64


class Principal:
    """`gram[free, free] + diag(diagonal)`, which multiplies vectors without being copied."""

    def __init__(self, gram: np.ndarray, free: np.ndarray, diagonal: np.ndarray) -> None:
        self.gram, self.free, self.diagonal = gram, free, diagonal

    def __matmul__(self, x: np.ndarray) -> np.ndarray:
        whole = np.zeros(len(self.gram))
        whole[self.free] = x
        product: np.ndarray = (self.gram @ whole)[self.free]
        return product + self.diagonal * x

    def solve(self, right: np.ndarray) -> np.ndarray:
        """Return the solution by elimination."""
        return np.linalg.solve(block(self.gram, self.free) + np.diag(self.diagonal), right)


class Factor:
    """The inverse `L^-1` of a Cholesky factor `L L'` of some columns' products."""

    def __init__(self) -> None:
        self._last = np.zeros(0, dtype=int)
        self._give_up()

    def _give_up(self) -> None:
        self._columns, self._inverse = np.zeros(0, dtype=int), np.zeros((0, 0))
        # The columns of `_inverse` that belong to those that have left, and their products.
        self._gone, self._products = np.zeros((0, 0)), np.zeros((0, 0))

    def solve(self, matrix: Principal, right: np.ndarray, slack: float) -> np.ndarray:
        """Return the solution of a positive definite system, to residuals of at most `slack`."""
        free = matrix.free
        if not _near(self._columns, free):
            self._give_up()
            found = self._iterated(matrix, right, slack, len(right) // _UNKNOWNS_PER_STEP)
            last, self._last = self._last, free
            if found is not None:
                return found
            # Sets that still change much are not worth a factor.
            if not _near(last, free):
                return matrix.solve(right)
            self._renew(matrix)
        else:
            joining = free[~np.isin(free, self._columns)]
            if len(joining):
                self._extend(matrix, joining)
            self._gone = self._inverse[:, ~np.isin(self._columns, free)]
            self._products = self._gone.T @ self._gone
        found = self._iterated(matrix, right, slack, _STEPS)
        if found is None:
            self._renew(matrix)
            found = self._iterated(matrix, right, slack, _STEPS)
        return matrix.solve(right) if found is None else found

    def _renew(self, matrix: Principal) -> None:
        self._give_up()
        self._extend(matrix, matrix.free)

    def _extend(self, matrix: Principal, joining: np.ndarray) -> None:
        """Append columns; the factor is given up where they depend on those there."""
        old, k = self._inverse, len(self._columns)
        own = block(matrix.gram, joining)
        where = np.searchsorted(matrix.free, joining)
        own[np.diag_indices(len(own))] += matrix.diagonal[where]
        across = old @ matrix.gram[np.ix_(self._columns, joining)]
        try:
            corner = _inverted(np.linalg.cholesky(own - across.T @ across))
        except np.linalg.LinAlgError:
            self._give_up()
            return
        self._inverse = np.zeros((k + len(joining),) * 2)
        self._inverse[:k, :k], self._inverse[k:, k:] = old, corner
        self._inverse[k:, :k] = -corner @ (across.T @ old)
        self._columns = np.concatenate([self._columns, joining])

    def _applied(self, matrix: Principal, right: np.ndarray) -> np.ndarray:
        """Return the inverse times `right`; columns that have left are 0."""
        if not len(self._columns):
            return right
        whole = np.zeros(len(matrix.gram))
        whole[matrix.free] = right
        half = self._inverse @ whole[self._columns]
        if self._gone.size:
            half -= self._gone @ np.linalg.solve(self._products, self._gone.T @ half)
        whole[self._columns] = self._inverse.T @ half
        return whole[matrix.free]

    def _iterated(
        self, matrix: Principal, right: np.ndarray, slack: float, steps: int
    ) -> np.ndarray | None:
        """Return what preconditioned conjugate gradients find in some steps, or None."""
        x, residual = np.zeros_like(right), right
        direction, size = x, 1.0
        for _ in range(steps):
            if np.abs(residual).max() <= slack:
                return x
            solved = self._applied(matrix, residual)
            before, size = size, residual @ solved
            direction = solved + size / before * direction
            along = matrix @ direction
            length = size / (direction @ along)
            x = x + length * direction
            residual = residual - length * along
        return x if np.abs(residual).max() <= slack else None


def _near(columns: np.ndarray, free: np.ndarray) -> bool:
    """Return whether a factor of `columns` helps to solve on `free`."""
    common = int(np.isin(columns, free).sum())
    few_left = len(columns) - common <= _MOST_LEFT * len(free)
    return few_left and len(free) - common <= _MOST_JOINING * len(free)


def _inverted(lower: np.ndarray) -> np.ndarray:
    """Return the inverse of a lower triangular matrix, by halves, so that products do the work."""
    half = len(lower) // 2
    if len(lower) <= _SMALL:
        return np.linalg.inv(lower)
    inverse = np.zeros_like(lower)
    inverse[:half, :half], inverse[half:, half:] = (
        _inverted(lower[:half, :half]),
        _inverted(lower[half:, half:]),
    )
    inverse[half:, :half] = -inverse[half:, half:] @ (lower[half:, :half] @ inverse[:half, :half])
    return inverse
