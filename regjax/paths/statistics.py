"""Sufficient statistics of least squares: what paths and cross-validation need of the data."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from regjax._inputs import refuse_traced
from regjax.paths._threads import MANY_ENTRIES, cores, run_each
from regjax.paths.data.inputs import (
    Matrix,
    as_design,
    as_responses,
    as_sample_weight,
    dense,
    sparse_squares,
)

# A block of rows: as many as caches hold, but several times as many as there are columns.
_BLOCK_BYTES = 4 * 2**20
_ROWS_PER_COLUMN = 4
# Measured: the share of non-zeros above which products of dense blocks are faster.
_DENSE = 0.05
# Squared means, in variances, beyond which a column is far from 0.
_FAR = 1e6
_MOST_FOLDS = 100_000


class SufficientStatistics(NamedTuple):
    """Weighted means and centered second moments of `X` and `y`.

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

    def __radd__(self, other: Any) -> SufficientStatistics:
        """Let `sum` start from 0."""
        return self if isinstance(other, int) and other == 0 else self._combined(other, 1)

    @np.errstate(over="ignore", invalid="ignore")
    def _combined(self, other: SufficientStatistics, sign: int) -> SufficientStatistics:
        if not isinstance(other, SufficientStatistics):
            raise TypeError(f"Expected SufficientStatistics, got {type(other).__name__}.")
        if self.xy.shape != other.xy.shape:
            raise ValueError(
                f"Statistics of {self.xy.shape[0]} columns and {self.xy.shape[1]} responses do not "
                f"go with those of {other.xy.shape[0]} and {other.xy.shape[1]}."
            )
        weight = self.weight + sign * other.weight
        if isinstance(weight, float | int | np.number) and weight <= 0:
            raise ValueError("No row is left, or more are taken away than there are.")
        share = sign * other.weight / weight
        x_step, y_step = other.x_mean - self.x_mean, other.y_mean - self.y_mean
        between = (self.weight * share * x_step)[:, None]
        join = operator.add if sign > 0 else operator.sub
        xx = join(self.xx, other.xx)
        xx += between * x_step
        return SufficientStatistics(
            weight,
            self.x_mean + share * x_step,
            self.y_mean + share * y_step,
            xx,
            join(self.xy, other.xy) + between * y_step,
            join(self.yy, other.yy) + self.weight * share * y_step * y_step,
        )


def sufficient_statistics(X: Any, y: Any, sample_weight: Any = None) -> SufficientStatistics:
    """Return the statistics of rows `X` (n_samples, n_features) and `y` (n_samples[, n_targets]).

    Computed in float64, a block of rows at a time: float32 data are not copied as a whole.

    Args:
        X: dense or sparse.
        sample_weight: (n_samples,) weights >= 0; 1 unless given.

    Raises:
        ValueError: for values that are NaN, infinite or of the wrong shape or sign.

    Example:
        >>> import numpy as np
        >>> sufficient_statistics(np.array([[1.0], [3.0]]), np.array([0.0, 4.0])).xy
        array([[4.]])
    """
    X = as_design(X)
    weight = as_sample_weight(sample_weight, X.shape[0])
    if weight is not None and weight.ndim == 2:
        raise ValueError("Statistics are of one weighting: give sample_weight (n_samples,).")
    return statistics_of(X, as_responses(y, X.shape[0])[0], weight)


def statistics_of_batches(batches: Iterable[tuple[Any, ...]]) -> SufficientStatistics:
    """Return the statistics of all rows of `batches`, of which one at a time is in memory.

    Args:
        batches: pairs `(X, y)` or triples `(X, y, sample_weight)`, as `sufficient_statistics`
            takes them; batches without rows, or without weight, are passed over.

    Raises:
        ValueError: if there is no row, or two batches differ in their columns.

    Example:
        >>> import numpy as np
        >>> batches = ((np.array([[i], [i + 1.0]]), np.array([0.0, 1.0])) for i in range(3))
        >>> statistics_of_batches(batches).weight
        6.0
    """
    total = None
    for i, batch in enumerate(batches):
        if np.shape(batch[0])[0] == 0 or (len(batch) > 2 and not np.any(batch[2])):
            continue
        part = sufficient_statistics(*batch)
        if total is not None and part.xy.shape != total.xy.shape:
            raise ValueError(
                f"Batch {i} has {part.xy.shape[0]} columns and {part.xy.shape[1]} responses, those "
                f"before it {total.xy.shape[0]} and {total.xy.shape[1]}."
            )
        total = part if total is None else total + part
    if total is None:
        raise ValueError("There is no row in the batches.")
    return total


def fold_statistics(
    batches: Iterable[tuple[Any, ...]], k: int = 5, *, seed: int = 0
) -> list[SufficientStatistics]:
    """Return the statistics of k random folds of the rows of `batches`, for `elastic_net_cv`.

    Every row falls into each fold with the same chance, whatever the batches.

    Args:
        batches: as in `statistics_of_batches`, passed over once.
        seed: of the folds.

    Raises:
        ValueError: if k is below 2, or a fold gets no row.

    Example:
        >>> import numpy as np
        >>> from regjax.paths import lasso_cv
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(100, 3))
        >>> halves = [(X[:50], X[:50, 0]), (X[50:], X[50:, 0])]
        >>> lasso_cv(fold_statistics(halves)).fold_errors.shape
        (1, 5, 100)
    """
    if k < 2:
        raise ValueError(f"The number of folds must be at least 2, got {k}.")
    if k > _MOST_FOLDS:
        raise ValueError(f"The number of folds must be at most {_MOST_FOLDS:,}, got {k:,}.")
    rng = np.random.default_rng(seed)
    parts: list[SufficientStatistics | None] = [None] * k
    for X, *rest in batches:
        X, rest = as_design(X), [np.asarray(values) for values in rest]
        stored = X if isinstance(X, np.ndarray) else X.tocsr()
        fold = rng.integers(k, size=X.shape[0])
        for i in np.unique(fold):
            rows = np.flatnonzero(fold == i)
            if len(rest) > 1 and not rest[1][rows].any():
                continue
            part = sufficient_statistics(stored[rows], *(values[rows] for values in rest))
            before = parts[i]
            parts[i] = part if before is None else before + part
    found = [part for part in parts if part is not None]
    if len(found) < k:
        raise ValueError(f"{k - len(found)} of {k} folds got no row: take fewer folds.")
    return found


def check_statistics(statistics: SufficientStatistics) -> SufficientStatistics:
    """Return statistics as finite float64 arrays that fit together, or raise."""
    refuse_traced(X=statistics)
    s = SufficientStatistics(*(np.asarray(part, dtype=np.float64) for part in statistics))
    p, m = len(np.atleast_1d(s.x_mean)), len(np.atleast_1d(s.y_mean))
    shapes = tuple(part.shape for part in s)
    if p == 0 or m == 0 or shapes != ((), (p,), (m,), (p, p), (p, m), (m,)):
        raise ValueError(f"The parts of the statistics do not fit together: shapes {shapes}.")
    if not all(np.isfinite(part).all() for part in s) or s.weight <= 0:
        raise ValueError("Statistics must be finite and of a positive weight.")
    return s


def statistics_of(X: Matrix, y: np.ndarray, weight: np.ndarray | None) -> SufficientStatistics:
    """Return the statistics of checked rows `X` (n, p) and `y` (n, m) under weights (n,)."""
    return statistics_of_parts(X, y, weight, [None])[0]


def statistics_of_parts(
    X: Matrix, y: np.ndarray, weight: np.ndarray | None, parts: Sequence[np.ndarray | None]
) -> list[SufficientStatistics]:
    """Return the statistics of several parts of the rows, by their indices; None is all rows."""
    if not isinstance(X, np.ndarray):
        X = X.tocsr()
    work = [_chains(X, y, weight, rows) for rows in parts]
    every = [chain for chains in work for chain in chains]
    large = X.shape[0] * X.shape[1] >= MANY_ENTRIES
    found = iter(run_each(lambda i: every[i](), range(len(every)), worthwhile=large))
    return [functools.reduce(operator.add, itertools.islice(found, len(w))) for w in work]


def _chains(
    X: Matrix, y: np.ndarray, weight: np.ndarray | None, rows: np.ndarray | None
) -> list[Callable[[], SufficientStatistics]]:
    """Return functions, at most one per core, whose statistics add up to those of `rows`."""
    p, sparse = X.shape[1], not isinstance(X, np.ndarray)
    if sparse and X.nnz < _DENSE * X.shape[0] * p:
        which = slice(None) if rows is None else rows
        given = np.ones(X.shape[0]) if weight is None else weight
        return [lambda: _sparse(X[which], y[which], given[which])]
    if weight is not None and not weight.all():
        # Rows without weight, as bootstraps have many, are not worth a product.
        rows = np.flatnonzero(weight) if rows is None else rows[weight[rows] > 0]
    n = X.shape[0] if rows is None else len(rows)
    # Merging blocks costs as much as some rows for every column.
    height = max(_BLOCK_BYTES // (8 * p), _ROWS_PER_COLUMN * p)
    n_chains = min(cores(), -(-n // height))
    n_blocks = n_chains * -(-n // (height * n_chains))
    ends = np.linspace(0, n, n_blocks + 1).astype(int)

    def block(i: int, memory: np.ndarray) -> SufficientStatistics:
        part = slice(ends[i], ends[i + 1])
        which = part if rows is None else rows[part]
        memory = memory[: ends[i + 1] - ends[i]]
        if rows is None or sparse:
            A = dense(X[which])
        else:
            own = memory if X.dtype == memory.dtype else None
            A = X.take(which, axis=0, out=own, mode="clip")
        return _block(A, y[which], None if weight is None else weight[which], memory)

    def chain(k: int) -> SufficientStatistics:
        # Fresh memory costs as much as what is written to it.
        memory = np.empty((int(np.diff(ends).max()), p))
        blocks = (block(i, memory) for i in range(k, n_blocks, n_chains))
        return functools.reduce(operator.add, blocks)

    return [functools.partial(chain, k) for k in range(n_chains)]


# What overflows is refused where its moments are looked at.
@np.errstate(over="ignore", invalid="ignore")
def _block(
    X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, memory: np.ndarray
) -> SufficientStatistics:
    """Return the statistics of some rows; `memory` has their shape, and may be `X` itself."""
    if weight is None:
        size = float(len(X))
        x_mean, y_mean = X.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
    else:
        size = float(weight.sum())
        x_mean, y_mean = weight @ X / size, weight @ y / size
    A = np.subtract(X, x_mean, out=memory)
    b = y - y_mean
    if weight is not None:
        root = np.sqrt(weight)[:, None]
        A *= root
        b = b * root
    return SufficientStatistics(size, x_mean, y_mean, A.T @ A, A.T @ b, np.einsum("nm,nm->m", b, b))


def _sparse(X: Matrix, y: np.ndarray, weight: np.ndarray) -> SufficientStatistics:
    size = float(weight.sum())
    x_mean, y_mean = weight @ X / size, weight @ y / size
    moved = y - y_mean
    weighted = X.multiply(weight[:, None]).tocsr()
    xx = (X.T @ weighted).toarray() - size * np.outer(x_mean, x_mean)
    squares = size * sparse_squares(X, weight / size, x_mean)
    xx[np.diag_indices_from(xx)] = squares
    # Differences of large numbers keep no digits: the few columns far from 0 are made dense.
    far = np.flatnonzero(size * np.square(x_mean) > _FAR * squares)
    if len(far):
        apart = (dense(X[:, far]) - x_mean[far]) * weight[:, None]
        xx[far] = (apart.T @ X) - np.outer(apart.sum(axis=0), x_mean)
        xx[:, far] = xx[far].T
        xx[np.ix_(far, far)] = apart.T @ (dense(X[:, far]) - x_mean[far])
    xy = X.T @ (weight[:, None] * moved)
    return SufficientStatistics(
        size, x_mean, y_mean, xx, xy, np.einsum("n,nm,nm->m", weight, moved, moved)
    )
