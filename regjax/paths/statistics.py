"""Sufficient statistics of least squares: what paths and cross-validation need of the data."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

_BLOCK_BYTES = 32 * 2**20


class SufficientStatistics(NamedTuple):
    """Weighted means and centred second moments of `X` and `y`.

    They add over disjoint rows and subtract, whatever the order, so any engine that maps and
    reduces can build them, and the training rows of a fold are the total less the fold. Second
    moments are kept about the means (Chan, Golub and LeVeque 1983, "Algorithms for computing the
    sample variance"): columns whose mean is far from 0 lose no digits.

    Attributes:
        weight: sum of the sample weights, a scalar.
        x_mean: (n_features,) weighted means of the columns.
        y_mean: (n_targets,) weighted means of the responses.
        xx: (n_features, n_features) `sum_i w_i (x_i - x_mean)(x_i - x_mean)'`.
        xy: (n_features, n_targets) `sum_i w_i (x_i - x_mean)(y_i - y_mean)'`.
        yy: (n_targets,) `sum_i w_i (y_i - y_mean)^2`.

    Example:
        >>> import numpy as np
        >>> X, y = np.array([[0.0], [2.0], [7.0]]), np.array([1.0, 3.0, 5.0])
        >>> whole = sufficient_statistics(X, y)
        >>> parts = sufficient_statistics(X[:2], y[:2]) + sufficient_statistics(X[2:], y[2:])
        >>> bool(np.allclose(whole.xx, parts.xx)), whole.x_mean
        (True, array([3.]))
    """

    weight: Any
    x_mean: Any
    y_mean: Any
    xx: Any
    xy: Any
    yy: Any

    def __add__(self, other: Any) -> SufficientStatistics:
        return self._combined(other, 1)

    def __sub__(self, other: Any) -> SufficientStatistics:
        """Return the statistics of the rows that are in `self` and not in `other`."""
        return self._combined(other, -1)

    def _combined(self, other: SufficientStatistics, sign: int) -> SufficientStatistics:
        if not isinstance(other, SufficientStatistics):
            raise TypeError(f"Expected SufficientStatistics, got {type(other).__name__}.")
        weight = self.weight + sign * other.weight
        share = sign * other.weight / weight
        x_step, y_step = other.x_mean - self.x_mean, other.y_mean - self.y_mean
        spread = self.weight * share
        return SufficientStatistics(
            weight,
            self.x_mean + share * x_step,
            self.y_mean + share * y_step,
            self.xx + sign * other.xx + spread * x_step[:, None] * x_step,
            self.xy + sign * other.xy + spread * x_step[:, None] * y_step,
            self.yy + sign * other.yy + spread * y_step * y_step,
        )


def sufficient_statistics(
    X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
) -> SufficientStatistics:
    """Return the statistics of rows `X` (n_samples, n_features) and `y` (n_samples[, n_targets]).

    Computed in float64 block by block, so that no second copy of `X` is made.

    Args:
        sample_weight: (n_samples,) weights >= 0; 1 unless given.

    Example:
        >>> import numpy as np
        >>> sufficient_statistics(np.array([[1.0], [3.0]]), np.array([0.0, 4.0])).xy
        array([[4.]])
    """
    y = y.reshape(len(y), -1)
    rows = max(1, _BLOCK_BYTES // (8 * X.shape[1]))
    total = None
    for start in range(0, len(X), rows):
        part = slice(start, start + rows)
        weight = None if sample_weight is None else sample_weight[part]
        if weight is not None and not weight.any():
            continue
        block = _block(X[part], y[part], weight)
        total = block if total is None else total + block
    if total is None:
        raise ValueError("No rows with a positive weight.")
    return total


def _block(X: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> SufficientStatistics:
    if weight is None:
        size = float(len(X))
        x_mean, y_mean = X.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
    else:
        size = float(weight.sum())
        x_mean, y_mean = weight @ X / size, weight @ y / size
    A, b = X - x_mean, y - y_mean
    if weight is not None:
        root = np.sqrt(weight)[:, None]
        A *= root
        b = b * root
    return SufficientStatistics(size, x_mean, y_mean, A.T @ A, A.T @ b, np.einsum("nm,nm->m", b, b))
