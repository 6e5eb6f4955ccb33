"""The exact lasso path of lanes with many columns, of which few are in play at a time.

In play are the columns of the largest correlations, in units of lambda, here or at half of lambda
along the present slopes. A segment is some kinks that these columns walk alone. At its end the
correlations of all columns are computed afresh: as a rule none that was left out has passed its
bound, and the columns are chosen anew. A lane where one has goes back to the start of the segment,
where those that passed are chosen first, and tries half as many kinks. So it is with the
sequential strong rule (Tibshirani and others 2012, "Strong rules for discarding predictors in
lasso-type problems": solve with the columns that the rule keeps, look at all others, repeat); the
slopes take the place of the rule's bound on them, which ends segments after a third of the kinks.

What passes its bound and comes back within a segment is not seen here: the certificates of the
caller tell.
"""

from __future__ import annotations

import numpy as np

from regjax.paths._data import Columns
from regjax.paths._homotopy import Walk

# Besides the most that can be active. Measured: of fewer, others pass their bounds too often.
IN_PLAY = 192
_FIRST_KINKS = 4
_MOST_KINKS = 16
_ROUNDING = 1e-10
_BEFORE_ALL = 1e9


class _DataDesign:
    """Columns `A` (n_lanes, n, n_columns) in play, and the active ones by slot."""

    def __init__(self, A: np.ndarray, active: np.ndarray) -> None:
        self._A, self._lane = A, np.arange(len(A))
        self.active = A[self._lane[:, None], :, active]

    def enter(self, lanes: np.ndarray, slots: np.ndarray, columns: np.ndarray) -> None:
        self.active[lanes, slots] = self._A[lanes, :, columns]

    def inner(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        new = self._A[self._lane, :, columns]
        products = np.matmul(self.active, new[:, :, None])[:, :, 0]
        return products, np.einsum("ln,ln->l", new, new)

    def slopes(self, d: np.ndarray) -> np.ndarray:
        return np.matmul(self.fitted(d)[:, None, :], self._A)[:, 0]

    def fitted(self, b: np.ndarray) -> np.ndarray:
        """Return (n_lanes, n) what coefficients of the slots give."""
        return np.matmul(b[:, None, :], self.active)[:, 0]


def walk_segments(
    columns: Columns,
    of: np.ndarray,
    response: np.ndarray,
    strength: np.ndarray,
    lambdas: np.ndarray,
    paths: np.ndarray,
    max_kinks: int,
) -> Walk:
    """Return the walk of lanes that weigh few rows.

    Args:
        of: (n_lanes,) which weighting of the columns is a lane's.
        response: (n_lanes, n) centred, times the root of the weights.
        strength: (n_lanes, p) positive factors of lambda.
        lambdas: (n_lanes, n_lambdas), descending.
        paths: (n_lanes, n_lambdas, p) zeros to be filled.
        max_kinks: lanes that need more are not done.
    """
    (n_lanes, n), p = response.shape, strength.shape[1]
    capacity = min(int((columns.weight[of] > 0).sum(axis=1).max()), p)
    n_columns = min(p, capacity + IN_PLAY)
    c = columns.correlations(of, response) / strength
    walk = Walk(c, strength, lambdas, capacity, paths)
    near, first = np.abs(c) / walk.here[:, None], [np.zeros(p)] * n_lanes
    lane, index = np.arange(n_lanes)[:, None], np.zeros((n_lanes, n_columns), dtype=int)
    A, n_kinks = np.zeros((n_lanes, n, n_columns)), _FIRST_KINKS
    while max_kinks > 0 and not walk.done.all():
        going = np.flatnonzero(~walk.done)
        for k in going:
            slots = np.flatnonzero(walk.sign[k])
            active = index[k, walk.active[k, slots]]
            wanted = near[k] + first[k]
            wanted[walk.dependent[k]] = 0.0
            wanted[active] = np.inf
            index[k] = np.argpartition(wanted, p - n_columns)[p - n_columns :]
            walk.active[k, slots] = (index[k] == active[:, None]).argmax(axis=1)
            A[k] = columns.many(of[k], index[k])
            A[k] /= strength[k, index[k]]
        design, before = _DataDesign(A, walk.active), walk.saved()
        pieces = walk.advance(design, c[lane, index], index, n_kinks)
        max_kinks -= len(pieces)

        residual, rise = response - design.fitted(walk.b), design.fitted(walk.direction)
        vectors = np.concatenate([residual[going], rise[going]])
        found = columns.correlations(np.tile(of[going], 2), vectors).reshape(2, len(going), p)
        wrong = []
        for k, new, slopes in zip(going, *found, strict=True):
            new /= strength[k]
            slopes /= strength[k]
            size = np.abs(new) / walk.here[k]
            passed = (size > 1 + _ROUNDING) & ~walk.dependent[k]
            passed[index[k]] = False
            first[k] = _BEFORE_ALL * size * passed
            if passed.any():
                wrong.append(k)
            else:
                c[k] = new
                # In units of lambda: here, and at half of it.
                near[k] = np.maximum(size, np.abs(2 / walk.here[k] * new - slopes))
        walk.back(before, np.array(wrong, dtype=int))
        walk.keep(pieces, index)
        n_kinks = max(n_kinks // 2, 1) if wrong else min(2 * n_kinks, _MOST_KINKS)
    return walk
