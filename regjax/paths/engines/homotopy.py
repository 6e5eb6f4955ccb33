"""The exact lasso path of several lanes at once, kink by kink.

Between two kinks coefficients and correlations are linear in lambda; at a kink one variable
enters or leaves the active set. All lanes advance together, each through kinks of its own.
References: Osborne, Presnell and Turlach (2000), "A new approach to variable selection in least
squares problems"; Efron and others (2004), "Least angle regression", section 3.1.

A variable that enters and one that leaves are both a pivot of the Gram matrix (Goodnight 1979, "A
tutorial on the SWEEP operator"), so lanes need no branches. A pivot takes a product `w w'` away;
all that is ever formed of the pivoted matrix is the column of the variable that moves.

The caller certifies what comes out: rounding grows with the number of kinks, and dependent
columns are left out until the active set changes.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

_DEPENDENT = 1e-10
_ACTIVE, SHUT = 0.0, -np.inf


class Design(Protocol):
    """The columns in play of every lane, centered and of unit length or less.

    Attributes:
        squares: (n_lanes, n_columns).
    """

    squares: np.ndarray

    def products(self, columns: np.ndarray) -> np.ndarray:
        """Return (n_lanes, k, n_columns) products of `columns` (n_lanes, k) with all, fresh."""


class GramDesign:
    """Lanes given by their Gram matrices (n_weightings, p, p), those of one weighting together."""

    def __init__(self, gram: np.ndarray, n_lanes: int) -> None:
        self._gram = gram
        self._of = np.repeat(np.arange(len(gram)), n_lanes // len(gram))
        self.squares = np.einsum("lpp->lp", gram)[self._of]

    def products(self, columns: np.ndarray) -> np.ndarray:
        return self._gram[self._of[:, None], columns]

    def pivot(self, pivots: Tableau) -> None:
        """Take away what pivots did: from here on every lane has a matrix of its own."""
        w, factor = pivots.products()
        total = np.matmul((w * factor[:, :, None]).transpose(0, 2, 1), w)
        self._gram = np.subtract(self._gram[self._of], total, out=total)
        self._of = np.arange(len(w))


class State(NamedTuple):
    """Where lanes are.

    Attributes:
        strength: (n_lanes, n_columns) positive factors of lambda.
        here: (n_lanes,) lambdas.
        left: (n_lanes,) whether any column has left the active ones.
        value: (n_lanes, n_columns) coefficients of active columns, correlations of the others.
        rate: by how much `value` grows as lambda falls.
        pull: signs of the active columns times their factors, 0 for the others.
        door: the factor of a column that may enter, 0 of an active one, and `SHUT` of one that
            depends on the active ones.
    """

    strength: np.ndarray
    here: np.ndarray
    left: np.ndarray
    value: np.ndarray
    rate: np.ndarray
    pull: np.ndarray
    door: np.ndarray

    @classmethod
    def before_all(cls, correlations: np.ndarray, strength: np.ndarray, end: np.ndarray) -> State:
        """Return lanes with no active column, at the largest lambda that has none."""
        here = np.maximum((np.abs(correlations) / strength).max(axis=1), end)
        left, none = np.zeros(len(here), dtype=bool), np.zeros_like(correlations)
        return cls(strength, here, left, correlations, none, none.copy(), strength.copy())

    def of_columns(self, index: np.ndarray) -> State:
        """Return a copy for the columns `index` (n_lanes, k)."""
        strength, *parts = (
            np.take_along_axis(part, index, axis=1) for part in (self.strength, *self[3:])
        )
        return State(strength, self.here.copy(), np.zeros_like(self.left), *parts)

    def move(
        self, k: int, index: np.ndarray, to: State, correlations: np.ndarray, slopes: np.ndarray
    ) -> None:
        """Take lane k to where `to`, of the columns `index`, has come."""
        self.here[k] = to.here[k]
        self.value[k], self.rate[k], self.pull[k] = correlations, -slopes, 0.0
        if to.left[k]:
            self.door[k] = self.strength[k]
        self.door[k, index] = to.door[k]
        active = np.flatnonzero(to.pull[k])
        for mine, new in zip(self[3:6], to[3:6], strict=True):
            mine[k, index[active]] = new[k, active]


class Pieces(NamedTuple):
    """What lanes are from each kink to the next: `value + (here - lambda) rate`.

    The arrays are those of `State`, with a leading axis.
    """

    here: np.ndarray
    value: np.ndarray
    rate: np.ndarray
    pull: np.ndarray


class Tableau:
    """Gram matrices with their active columns A pivoted in, as what pivots took away.

    The block of A is `2 I - G_AA^-1`, beside it stands `G_AA^-1 G_AI`, and the others have
    `G_II - G_IA G_AA^-1 G_AI`. With the 2, that the operator in the books has not, pivots in and
    out take away products of the same kind.

    Args:
        capacity: the most pivots.
    """

    def __init__(self, design: Design, capacity: int) -> None:
        self._design, self.squares = design, design.squares
        n_lanes, n_columns = self.squares.shape
        self._lane = np.arange(n_lanes)
        self._w = np.empty((n_lanes, capacity, n_columns))
        self._factor = np.empty((n_lanes, capacity))
        self._size = 0

    def products(self) -> tuple[np.ndarray, np.ndarray]:
        """Return w (n_lanes, k, n_columns) and factors (n_lanes, k) of `factor w w'`."""
        return self._w[:, : self._size], self._factor[:, : self._size]

    def pivot_all(self, pull: np.ndarray) -> None:
        """Pivot the columns whose `pull` is not 0: `(G_A - I_A)' G_AA^-1 (G_A - I_A)`.

        Raises:
            LinAlgError: if they are dependent.
        """
        self._size = int(np.count_nonzero(pull, axis=1).max())
        slot = np.arange(self._size)
        active = np.argsort(pull == 0, axis=1, kind="stable")[:, : self._size]
        used = np.take_along_axis(pull, active, axis=1) != 0
        rows = self._design.products(active) * used[:, :, None]
        inner = np.take_along_axis(rows, active[:, None, :], axis=2) * used[:, None, :]
        inner[:, slot, slot] += ~used
        rows[self._lane[:, None], slot, active] -= used
        self._w[:, : self._size] = np.linalg.solve(np.linalg.cholesky(inner), rows)
        self._factor[:, : self._size] = 1.0

    def column(self, columns: np.ndarray) -> np.ndarray:
        """Return (n_lanes, n_columns) a column of each lane."""
        column = self._design.products(columns[:, None])[:, 0]
        w, factor = self.products()
        share = w[self._lane, :, columns] * factor
        column -= np.matmul(share[:, None, :], w)[:, 0]
        return column

    def pivot(self, w: np.ndarray, factor: np.ndarray) -> None:
        """Take `factor w w'` away."""
        self._w[:, self._size], self._factor[:, self._size] = w, factor
        self._size += 1


def advance(state: State, tableau: Tableau, end: np.ndarray, n_kinks: int) -> Pieces:
    """Go on for `n_kinks`, or until all lanes are at their `end`; return the pieces between."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return _advance(state, tableau, end, n_kinks)


def _advance(state: State, tableau: Tableau, end: np.ndarray, n_kinks: int) -> Pieces:
    strength, here, gone, value, rate, pull, door = state
    first = np.arange(len(here)) * value.shape[1]
    now = here, value, rate, pull
    pieces = Pieces(*(np.empty((n_kinks, *part.shape)) for part in now))
    for kink in range(n_kinks):
        for kept, part in zip(pieces, now, strict=True):
            kept[kink] = part
        bound = here[:, None]
        # Where it would be at lambda = 0 tells which bound a correlation meets first, and whether
        # a coefficient comes to 0.
        far = rate * bound
        far += value
        side = np.sign(far)
        room = door * bound
        room -= side * value
        np.abs(far, out=far)
        far += room
        share = np.where((room <= 0) & (door <= _ACTIVE), np.inf, room / far)
        moving = share.argmin(axis=1)
        at = first + moving
        # Rounding may have taken a correlation past its bound.
        t, left = np.maximum(share.take(at), 0.0) * here, here - end
        going, t = t < left, np.minimum(t, left)
        value += t[:, None] * rate
        # A lane that arrives is at the end exactly, whatever the difference rounds to.
        here[:] = np.where(going, here - t, end)
        if not going.any():
            break

        w, old = tableau.column(moving), pull.take(at)
        leaves, tau, factors = old != 0, w.take(at), strength.take(at)
        new = np.where(leaves, 0.0, side.take(at) * factors)
        apart = leaves | (tau > _DEPENDENT * tableau.squares.take(at))
        moves = going & apart
        w.put(at, tau - 1)
        factor = np.where(moves, 1 / (tau - 2 * leaves), 0.0)
        rate -= (factor * (rate.take(at) + new))[:, None] * w
        step = np.where(moves, new - old, 0.0)
        rate.put(at, rate.take(at) + step)
        pull.put(at, np.where(moves, new, old))
        value.put(at, np.where(moves, old * here, value.take(at)))
        tableau.pivot(w, factor)
        rows = np.flatnonzero(going & leaves)
        if len(rows):
            # What depended on the active columns may not any longer.
            gone[rows] = True
            door[rows] = np.where(door[rows] == SHUT, strength[rows], door[rows])
        shown = np.where(apart, np.where(leaves, factors, _ACTIVE), SHUT)
        door.put(at, np.where(going, shown, door.take(at)))
    return Pieces(*(kept[: kink + 1] for kept in pieces))


def read_off(
    pieces: Pieces,
    state: State,
    lanes: np.ndarray,
    index: np.ndarray,
    lambdas: np.ndarray,
    paths: np.ndarray,
) -> None:
    """Fill in `paths` what `lanes` are at the lambdas between the first of `pieces` and `state`.

    Args:
        index: (n_lanes, n_columns) which of all p columns are in play.
        lambdas: (n_lanes, n_lambdas), descending.
        paths: (n_lanes, n_lambdas, p).
    """
    here, value, rate, pull = pieces
    passed = (lambdas < here[0][:, None]) & (lambdas >= state.here[:, None])
    lane, row = np.nonzero(passed[lanes])
    lane = lanes[lane]
    at = np.count_nonzero(here[:, lane] > lambdas[lane, row], axis=0) - 1
    left = here[at, lane] - lambdas[lane, row]
    values = value[at, lane] + left[:, None] * rate[at, lane]
    # A rounding past zero is zero, and columns that are not active have no pull.
    k, column = np.nonzero(values * pull[at, lane] > 0)
    paths[lane[k], row[k], index[lane[k], column]] = values[k, column]
