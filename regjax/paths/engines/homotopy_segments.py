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

from regjax.paths.data.columns import Columns
from regjax.paths.engines.homotopy import SHUT, State, Tableau, advance, read_off

# Besides the most that can be active. Measured: of fewer, others pass their bounds too often.
IN_PLAY = 192
_FIRST_KINKS = 4
_MOST_KINKS = 16
_ROUNDING = 1e-10
_BEFORE_ALL = 1e9


class _DataDesign:
    """Columns `A` (n_lanes, n_columns, n) in play."""

    def __init__(self, A: np.ndarray) -> None:
        self._A, self._lane = A, np.arange(len(A))[:, None]
        self.squares = np.einsum("lpn,lpn->lp", A, A)

    def products(self, columns: np.ndarray) -> np.ndarray:
        return np.matmul(self._A[self._lane, columns], self._A.transpose(0, 2, 1))

    def fitted(self, b: np.ndarray) -> np.ndarray:
        """Return (n_lanes, n) what coefficients (n_lanes, n_columns) give."""
        return np.matmul(b[:, None, :], self._A)[:, 0]


def walk_segments(
    columns: Columns,
    of: np.ndarray,
    response: np.ndarray,
    strength: np.ndarray,
    lambdas: np.ndarray,
    paths: np.ndarray,
    max_kinks: int,
) -> np.ndarray:
    """Walk lanes that weigh few rows, and return which have come to their end.

    Args:
        of: (n_lanes,) which weighting of the columns is a lane's.
        response: (n_lanes, n) centered, times the root of the weights.
        strength: (n_lanes, p) positive factors of lambda.
        lambdas: (n_lanes, n_lambdas), descending.
        paths: (n_lanes, n_lambdas, p) zeros to be filled.
        max_kinks: lanes that need more are not done.
    """
    (n_lanes, n), p = response.shape, strength.shape[1]
    capacity = min(int((columns.weight[of] > 0).sum(axis=1).max()), p)
    n_columns = min(p, capacity + IN_PLAY)
    end = lambdas[:, -1]
    state = State.before_all(columns.correlations(of, response), strength, end)
    near, first = np.abs(state.value) / (strength * state.here[:, None]), [np.zeros(p)] * n_lanes
    index = np.zeros((n_lanes, n_columns), dtype=int)
    A, n_kinks = np.zeros((n_lanes, n_columns, n)), _FIRST_KINKS
    while max_kinks > 0 and (state.here > end).any():
        going = np.flatnonzero(state.here > end)
        for k in going:
            wanted = near[k] + first[k]
            wanted[state.door[k] == SHUT] = 0.0
            wanted[state.pull[k] != 0] = np.inf
            index[k] = np.argpartition(wanted, p - n_columns)[p - n_columns :]
            A[k] = columns.many(of[k], index[k]).T
        design, local = _DataDesign(A), state.of_columns(index)
        tableau = Tableau(design, capacity + n_kinks)
        try:
            tableau.pivot_all(local.pull)
        except np.linalg.LinAlgError:
            # Rounding has made an active set singular: the lanes are left to another engine.
            break
        pieces = advance(local, tableau, end, n_kinks)
        max_kinks -= len(pieces.here)

        active = local.pull != 0
        residual = response - design.fitted(local.value * active)
        rise = design.fitted(local.rate * active)
        vectors = np.concatenate([residual[going], rise[going]])
        found = columns.correlations(np.tile(of[going], 2), vectors).reshape(2, len(going), p)
        right = []
        for k, new, slopes in zip(going, *found, strict=True):
            size = np.abs(new) / (strength[k] * local.here[k])
            passed = (size > 1 + _ROUNDING) & (state.door[k] != SHUT)
            passed[index[k]] = False
            first[k] = _BEFORE_ALL * size * passed
            if not passed.any():
                right.append(k)
                # In units of lambda: here, and at half of it.
                ahead = np.abs(2 / local.here[k] * new - slopes) / strength[k]
                near[k] = np.maximum(size, ahead)
                state.move(k, index[k], local, new, slopes)
        read_off(pieces, local, np.array(right, dtype=int), index, lambdas, paths)
        wrong = len(right) < len(going)
        n_kinks = max(n_kinks // 2, 1) if wrong else min(2 * n_kinks, _MOST_KINKS)
    return state.here <= end
