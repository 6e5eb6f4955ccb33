"""The exact lasso path of several lanes at once, kink by kink.

Between two kinks coefficients and correlations are linear in lambda; at a kink one variable
enters or leaves the active set. All lanes advance together, each through kinks of its own: a
variable that enters and one that leaves are both a rank-one update of the inverse Gram matrix of
the active set, so lanes need no branches. References: Osborne, Presnell and Turlach (2000), "A new
approach to variable selection in least squares problems"; Efron and others (2004), "Least angle
regression", section 3.1.

The caller certifies what comes out: rounding grows with the number of kinks, and dependent
columns are left out until the active set changes.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from regjax.paths._data import Columns

_DEPENDENT = 1e-10


class Design(Protocol):
    """The columns of every lane, centred, as the homotopy needs them.

    A lane is one response under one weighting of the rows; lanes of one weighting are neighbours.

    Attributes:
        cross: (n_lanes, p) correlations of the response with every column.
        strength: (n_lanes, p) positive factors of lambda.
        capacity: the most columns that can be active at once.
    """

    cross: np.ndarray
    strength: np.ndarray
    capacity: int

    def enter(self, lanes: np.ndarray, slots: np.ndarray, columns: np.ndarray) -> None:
        """Keep what is needed of `columns` as the new active ones in `slots`."""

    def inner(self, columns: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each lane's products of one column with the active ones, and its square."""

    def slopes(self, d: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Return (n_lanes, p) products of all columns with the active ones times d, by strength."""


class GramDesign:
    """Lanes given by their Gram matrices (n_weightings, p, p), p small."""

    def __init__(self, gram: np.ndarray, cross: np.ndarray, strength: np.ndarray) -> None:
        self.gram, self.cross, self.strength = gram, cross, strength
        self.capacity = cross.shape[1]
        self._lane = np.arange(len(cross))
        self._of = np.repeat(np.arange(len(gram)), len(cross) // len(gram))

    def enter(self, lanes: np.ndarray, slots: np.ndarray, columns: np.ndarray) -> None:
        pass

    def inner(self, columns: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = self.gram[self._of, columns]
        return np.take_along_axis(rows, active, axis=1), rows[self._lane, columns]

    def slopes(self, d: np.ndarray, active: np.ndarray) -> np.ndarray:
        full = np.zeros_like(self.cross)
        np.add.at(full, (self._lane[:, None], active), d)
        by_weighting = full.reshape(len(self.gram), -1, full.shape[1])
        return np.matmul(by_weighting, self.gram).reshape(full.shape) / self.strength


class DataDesign:
    """Lanes that weigh few rows; `of` (n_lanes,) tells which weighting is a lane's."""

    def __init__(
        self, columns: Columns, of: np.ndarray, cross: np.ndarray, strength: np.ndarray
    ) -> None:
        self.columns, self.cross, self.strength = columns, cross, strength
        self._of, self._weight, self._mean = of, columns.weight[of], columns.mean[of]
        self._divisor = columns.deviation[of] * strength
        self.capacity = min(int((self._weight > 0).sum(axis=1).max()), cross.shape[1])
        self._active = np.zeros((len(of), self.capacity, self._weight.shape[1]))

    def enter(self, lanes: np.ndarray, slots: np.ndarray, columns: np.ndarray) -> None:
        self._active[lanes, slots] = self.columns.one(self._of[lanes], columns)

    def inner(self, columns: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        new = self.columns.one(self._of, columns)
        weighted = new * self._weight
        products = np.matmul(self._active, weighted[:, :, None])[:, :, 0]
        return products, np.einsum("ln,ln->l", weighted, new)

    def slopes(self, d: np.ndarray, active: np.ndarray) -> np.ndarray:
        weighted = np.matmul(d[:, None, :], self._active)[:, 0] * self._weight
        products = weighted @ self.columns.X
        products -= weighted.sum(axis=1, keepdims=True) * self._mean
        products /= self._divisor
        return products


def homotopy(design: Design, lambdas: np.ndarray, max_kinks: int) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients (n_lanes, n_lambdas, p) at `lambdas`, and which lanes are done.

    Args:
        design: the columns of every lane.
        lambdas: (n_lanes, n_lambdas), descending.
        max_kinks: lanes that need more are not done.
    """
    strength = design.strength
    # Correlations in units of their bounds: a variable may enter where they reach lambda.
    c = design.cross / strength
    n_lanes, p = c.shape
    m = design.capacity
    lane = np.arange(n_lanes)
    active = np.zeros((n_lanes, m), dtype=int)
    used = np.zeros((n_lanes, m), dtype=bool)
    # Infinite where a column cannot enter: it is active, or depends on the active ones.
    closed, dependent = np.zeros((n_lanes, p)), np.zeros((n_lanes, p))
    sign = np.zeros((n_lanes, m))
    b = np.zeros((n_lanes, m))
    inverse = np.zeros((n_lanes, m, m))
    paths = np.zeros((n_lanes, lambdas.shape[1], p))
    end = lambdas[:, -1]
    here = np.maximum(np.max(np.abs(c), axis=1), end)
    barred = np.full(n_lanes, -1)
    barred_side = np.zeros(n_lanes)
    ahead = lambdas <= here[:, None]
    room, rate = np.empty_like(c), np.empty_like(c)

    def reached(side: int, slopes: np.ndarray) -> np.ndarray:
        """Return by how much lambda falls until correlations reach it on one side."""
        np.multiply(c, -side, out=room)
        np.add(room, here[:, None], out=room)
        np.multiply(slopes, -side, out=rate)
        np.add(rate, 1.0, out=rate)
        # What never gets there, because its rate is not positive, is put off beyond all ends.
        np.maximum(room, 1e-200, out=room)
        np.maximum(rate, 1e-300, out=rate)
        return room / rate

    for _ in range(max_kinks):
        d = np.matmul(inverse, sign[:, :, None])[:, :, 0]
        a = design.slopes(d, active)
        t_up, t_down = reached(1, a), reached(-1, a)
        with np.errstate(divide="ignore", invalid="ignore"):
            t_leave = np.where(used & (b * d < 0), -b / d, np.inf)
        rows = lane[barred >= 0]
        if len(rows):
            above = barred_side[rows] > 0
            t_up[rows[above], barred[rows[above]]] = np.inf
            t_down[rows[~above], barred[rows[~above]]] = np.inf
        t_enter = np.minimum(t_up, t_down)
        t_enter += closed
        t_enter += dependent
        entering = np.argmin(t_enter, axis=1)
        enter_at = t_enter[lane, entering]
        leaving = np.argmin(t_leave, axis=1)
        leave_at = t_leave[lane, leaving]
        kink, left = np.minimum(enter_at, leave_at), here - end
        going, t = kink < left, np.minimum(kink, left)

        # The grid values that this piece of the path holds.
        # A lane that arrives is at the end exactly, whatever the difference rounds to.
        there = np.where(going, here - t, end)
        k, j = np.nonzero(ahead & (lambdas >= there[:, None]))
        if len(k):
            ahead[k, j] = False
            values = b[k] + (here[k] - lambdas[k, j])[:, None] * d[k]
            # A rounding past zero is zero, and slots that are not used have no sign.
            row, slot = np.nonzero(values * sign[k] > 0)
            paths[k[row], j[row], active[k[row], slot]] = values[row, slot]
        b += t[:, None] * d
        a *= t[:, None]
        c -= a
        here = there
        if not going.any():
            break

        leaves = going & (leave_at <= enter_at)
        enters = going & ~leaves
        slot = np.where(leaves, leaving, np.argmin(used, axis=1))
        full = used.all(axis=1) & enters
        cross, own = design.inner(entering, active)
        cross = np.where(used, cross, 0.0)
        u = np.matmul(inverse, cross[:, :, None])[:, :, 0]
        schur = own - np.einsum("lm,lm->l", cross, u)
        bad = enters & ((schur <= _DEPENDENT * own) | full)
        if bad.any():
            dependent[lane[bad], entering[bad]] = np.inf
            enters &= ~bad
        u[lane, slot] = np.where(enters, -1.0, u[lane, slot])
        column = inverse[lane, :, slot]
        vector = np.where(enters[:, None], u, column)
        pivot = column[lane, slot]
        factor = np.where(enters, 1 / np.where(enters, schur, 1.0), 0.0)
        factor = np.where(leaves, -1 / np.where(leaves, pivot, 1.0), factor)
        inverse += (factor[:, None] * vector)[:, :, None] * vector[:, None, :]

        rows, slots = lane[leaves], slot[leaves]
        if len(rows):
            columns = active[rows, slots]
            barred[:], barred_side[:] = -1, 0.0
            barred[rows], barred_side[rows] = columns, sign[rows, slots]
            inverse[rows, slots, :] = 0.0
            inverse[rows, :, slots] = 0.0
            used[rows, slots], b[rows, slots], sign[rows, slots] = False, 0.0, 0.0
            closed[rows, columns] = 0.0
            dependent[rows] = 0.0
        else:
            barred[:] = -1
        rows, slots = lane[enters], slot[enters]
        if len(rows):
            columns = entering[rows]
            above = t_up[rows, columns] <= t_down[rows, columns]
            active[rows, slots], used[rows, slots] = columns, True
            sign[rows, slots] = np.where(above, 1.0, -1.0) * strength[rows, columns]
            b[rows, slots] = 0.0
            closed[rows, columns] = np.inf
            design.enter(rows, slots, columns)
    return paths, here <= end
