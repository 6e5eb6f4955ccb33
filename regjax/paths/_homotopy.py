"""The exact lasso path of several lanes at once, kink by kink.

Between two kinks coefficients and correlations are linear in lambda; at a kink one variable
enters or leaves the active set. All lanes advance together, each through kinks of its own: a
variable that enters and one that leaves are both a rank-one update of the inverse Gram matrix of
the active set, so lanes need no branches. References: Osborne, Presnell and Turlach (2000), "A new
approach to variable selection in least squares problems"; Efron and others (2004), "Least angle
regression", section 3.1.

Columns are divided by their factors of lambda, and coefficients multiplied by them, so that all
correlations have the one bound lambda.

The caller certifies what comes out: rounding grows with the number of kinks, and dependent
columns are left out until the active set changes.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

_DEPENDENT = 1e-10


class Design(Protocol):
    """The columns in play of every lane, centred and divided by their factors of lambda."""

    def enter(self, lanes: np.ndarray, slots: np.ndarray, columns: np.ndarray) -> None:
        """Keep what is needed of `columns` as the new active ones in `slots`."""

    def inner(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each lane's products of one column with the active ones, and its square."""

    def slopes(self, d: np.ndarray) -> np.ndarray:
        """Return (n_lanes, n_columns) products of the columns with the active ones times d."""


class GramDesign:
    """Lanes given by their Gram matrices (n_weightings, p, p): every column has its own slot.

    Lanes of one weighting are neighbours.
    """

    def __init__(self, gram: np.ndarray, n_lanes: int) -> None:
        self._gram = gram
        self._of = np.repeat(np.arange(len(gram)), n_lanes // len(gram))
        self._lane = np.arange(n_lanes)

    def enter(self, lanes: np.ndarray, slots: np.ndarray, columns: np.ndarray) -> None:
        pass

    def inner(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = self._gram[self._of, columns]
        return rows, rows[self._lane, columns]

    def slopes(self, d: np.ndarray) -> np.ndarray:
        by_weighting = d.reshape(len(self._gram), -1, d.shape[1])
        return np.matmul(by_weighting, self._gram).reshape(d.shape)


class Piece(NamedTuple):
    """What lanes are between two kinks: `b + (here - lambda) d` in the slots."""

    here: np.ndarray
    b: np.ndarray
    d: np.ndarray
    sign: np.ndarray
    active: np.ndarray


class Walk:
    """How far lanes have come.

    Attributes:
        strength: (n_lanes, p) positive factors of lambda.
        lambdas: (n_lanes, n_lambdas), descending.
        paths: (n_lanes, n_lambdas, p) coefficients at the lambdas that were passed, else 0.
        here: (n_lanes,) lambdas at which they are.
        active: (n_lanes, capacity) which columns in play the slots hold, where they are used.
        sign: (n_lanes, capacity) signs of the coefficients, 0 where a slot is not used.
        b: (n_lanes, capacity) coefficients times their strengths.
        inverse: (n_lanes, capacity, capacity) inverse Gram matrices of the active columns.
        dependent: (n_lanes, p) whether a column was found to depend on the active ones.
    """

    _STATE = ("here", "active", "sign", "b", "inverse", "dependent")

    def __init__(
        self,
        c: np.ndarray,
        strength: np.ndarray,
        lambdas: np.ndarray,
        capacity: int,
        paths: np.ndarray,
    ) -> None:
        self.strength, self.lambdas, self.paths = strength, lambdas, paths
        n_lanes = len(c)
        self.here = np.maximum(np.abs(c).max(axis=1), lambdas[:, -1])
        self.active = np.zeros((n_lanes, capacity), dtype=int)
        self.sign, self.b = np.zeros((n_lanes, capacity)), np.zeros((n_lanes, capacity))
        self.inverse = np.zeros((n_lanes, capacity, capacity))
        self.dependent = np.zeros(strength.shape, dtype=bool)

    @property
    def direction(self) -> np.ndarray:
        """(n_lanes, capacity) by how much `b` grows as lambda falls."""
        return np.matmul(self.inverse, self.sign[:, :, None])[:, :, 0]

    @property
    def done(self) -> np.ndarray:
        """(n_lanes,) which lanes have passed all lambdas."""
        return self.here <= self.lambdas[:, -1]

    def saved(self) -> tuple[np.ndarray, ...]:
        """Return what `back` needs to come back here."""
        return tuple(getattr(self, name).copy() for name in self._STATE)

    def back(self, saved: tuple[np.ndarray, ...], lanes: np.ndarray) -> None:
        """Take some lanes back to where they were."""
        for name, old in zip(self._STATE, saved, strict=True):
            getattr(self, name)[lanes] = old[lanes]

    def keep(self, pieces: list[Piece], index: np.ndarray) -> None:
        """Read off the grid values between the first of `pieces` and here."""
        here, b, d, sign, active = (np.stack(part) for part in zip(*pieces, strict=True))
        grid = (self.lambdas < here[0][:, None]) & (self.lambdas >= self.here[:, None])
        lane, j = np.nonzero(grid)
        lambdas = self.lambdas[lane, j]
        at = np.count_nonzero(here[:, lane] > lambdas, axis=0) - 1
        values = b[at, lane] + (here[at, lane] - lambdas)[:, None] * d[at, lane]
        # A rounding past zero is zero, and slots that are not used have no sign.
        row, slot = np.nonzero(values * sign[at, lane] > 0)
        at, lane, j = at[row], lane[row], j[row]
        column = index[lane, active[at, lane, slot]]
        self.paths[lane, j, column] = values[row, slot] / self.strength[lane, column]

    def advance(
        self, design: Design, c: np.ndarray, index: np.ndarray, n_kinks: int
    ) -> list[Piece]:
        """Go on for `n_kinks`, or until all lanes are done; return the pieces between kinks.

        Args:
            design: the columns in play.
            c: (n_lanes, n_columns) their correlations here; they are overwritten.
            index: (n_lanes, n_columns) which of all p columns they are.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._advance(design, c, index, n_kinks)

    def _advance(
        self, design: Design, c: np.ndarray, index: np.ndarray, n_kinks: int
    ) -> list[Piece]:
        here, active, sign, b, inverse = self.here, self.active, self.sign, self.b, self.inverse
        lane, end = np.arange(len(c)), self.lambdas[:, -1]
        own_slots = active.shape[1] == c.shape[1]
        pieces: list[Piece] = []
        # Infinite where a column cannot enter: it is active, or depends on the active ones.
        shut = np.where(self.dependent[lane[:, None], index], np.inf, 0.0)
        rows, slots = np.nonzero(sign)
        shut[rows, active[rows, slots]] = np.inf
        # What left at the last kink does not come back on the side where it was.
        barred = lane[:0], lane[:0]
        barred_side = here[:0]

        while len(pieces) < n_kinks:
            d = self.direction
            pieces.append(Piece(here.copy(), b.copy(), d, sign.copy(), active.copy()))
            a = design.slopes(d)
            # Where a correlation would be at lambda = 0 tells which bound it meets first.
            bound = here[:, None]
            far = c - a * bound
            side = np.sign(far)
            room = np.maximum(bound - side * c, 1e-300)
            np.abs(far, out=far)
            far += room
            share = np.divide(room, far, out=room)
            share += shut
            if len(barred_side):
                share[barred] += np.where(side[barred] == barred_side, np.inf, 0.0)
            entering = share.argmin(axis=1)
            enter_at = share[lane, entering] * here
            falls = -b / d
            falls[~(falls > 0)] = np.inf
            leaving = falls.argmin(axis=1)
            leave_at = falls[lane, leaving]
            first, left = np.minimum(enter_at, leave_at), here - end
            going, t = first < left, np.minimum(first, left)[:, None]
            b += t * d
            a *= t
            c -= a
            # A lane that arrives is at the end exactly, whatever the difference rounds to.
            np.copyto(here, np.where(going, here - t[:, 0], end))
            if not going.any():
                break

            leaves = going & (leave_at <= enter_at)
            slot = entering if own_slots else np.abs(sign).argmin(axis=1)
            cross, own = design.inner(entering)
            vector = np.matmul(inverse, cross[:, :, None])[:, :, 0]
            schur = own - np.einsum("lm,lm->l", cross, vector)
            # The slot is taken where there is none left.
            apart = (schur > _DEPENDENT * own) & (sign[lane, slot] == 0)
            enters = going & ~leaves
            if not apart.all():
                rows = lane[enters & ~apart]
                columns = entering[rows]
                shut[rows, columns] = np.inf
                self.dependent[rows, index[rows, columns]] = True
                enters &= apart
            vector[lane, slot] = -1.0
            factor = np.where(enters, 1 / schur, 0.0)
            rows, slots = lane[leaves], leaving[leaves]
            barred, barred_side = (rows, active[rows, slots]), sign[rows, slots]
            if len(rows):
                vector[rows] = inverse[rows, :, slots]
                factor[rows] = -1 / vector[rows, slots]
            inverse += (factor[:, None] * vector)[:, :, None] * vector[:, None, :]
            if len(rows):
                inverse[rows, slots, :] = 0.0
                inverse[rows, :, slots] = 0.0
                b[rows, slots] = sign[rows, slots] = 0.0
                shut[rows, active[rows, slots]] = 0.0
                at, other = np.nonzero(self.dependent[rows[:, None], index[rows]])
                shut[rows[at], other] = 0.0
                self.dependent[rows] = False
            rows = lane[enters]
            columns, slots = entering[rows], slot[rows]
            active[rows, slots], sign[rows, slots] = columns, side[rows, columns]
            b[rows, slots] = 0.0
            shut[rows, columns] = np.inf
            design.enter(rows, slots, columns)
        return pieces
