"""The loops of `engines/rows.py` in traced code: fixed shapes; rows that are done stand still."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from regjax.paths.engines.rows import (
    NEGLIGIBLE,
    SLOW,
    Conjugate,
    Descent,
    Face,
    Local,
    Rows,
    clipped,
    conjugate_step,
    conjugate_steps,
    descend,
    descents,
    duality_gaps,
    landed,
    rises,
    shortened,
)

# Larger than those of NumPy, which has an active-set method behind it.
_MAX_OUTER = 100
_MAX_INNER = 400
_MAX_EFFORT = 128
# Steps in which the gap does not fall to nine tenths of its least, after which a row is given up.
_PATIENCE = 10
_FALLS = 0.9


class Gram(NamedTuple):
    """Columns by their second moments.

    Attributes:
        matrix: (p, p) of one lane; (q, p, p) of q lanes, whose rows follow one another.
    """

    matrix: jax.Array

    def products(self, b: jax.Array) -> jax.Array:
        """Return `b gram` for rows b (n_rows, p) of q lanes."""
        by_lane = b.reshape(len(self.matrix), -1, b.shape[1])
        return (by_lane @ self.matrix).reshape(b.shape)

    def squares(self) -> jax.Array:
        """Return the second moment of every column of one lane."""
        return jnp.diagonal(self.matrix)

    def moments(self, j: jax.Array) -> jax.Array:
        """Return the second moments of column j with all columns of one lane."""
        return self.matrix[j]

    def without(self, j: jax.Array, row: jax.Array, solution: jax.Array) -> Gram:
        """Return what column j leaves: of each column, less `row` times j."""
        return Gram(self.matrix - jnp.outer(self.matrix[j], row))

    def only(self, columns: jax.Array) -> Gram:
        """Return the columns that are true in a mask (p,), and zeros for the others."""
        return Gram(jnp.where(columns[:, None] & columns, self.matrix, 0))


class Data(NamedTuple):
    """Columns themselves, fewer rows than columns; `A'A` is their Gram matrix.

    Attributes:
        matrix: (n, p) A.
        response: (n, m), what they explain.
    """

    matrix: jax.Array
    response: jax.Array

    def products(self, b: jax.Array) -> jax.Array:
        """Return `b A'A` for rows b (n_rows, p)."""
        return (b @ self.matrix.T) @ self.matrix

    def squares(self) -> jax.Array:
        """Return the second moment of every column."""
        return jnp.sum(jnp.square(self.matrix), axis=0)

    def moments(self, j: jax.Array) -> jax.Array:
        """Return the second moments of column j with all columns."""
        return self.matrix[:, j] @ self.matrix

    def without(self, j: jax.Array, row: jax.Array, solution: jax.Array) -> Data:
        """Return what column j leaves: of each column, less `row` times j; of responses as well."""
        column = self.matrix[:, j]
        return Data(
            self.matrix - jnp.outer(column, row), self.response - jnp.outer(column, solution)
        )

    def only(self, columns: jax.Array) -> Data:
        """Return the columns that are true in a mask (p,), and zeros for the others."""
        return self._replace(matrix=jnp.where(columns, self.matrix, 0))


Design = Gram | Data


class _State(NamedTuple):
    """What goes from one outer step to the next.

    Attributes:
        b: (n_rows, p) the iterate.
        best, gap: the iterate of least gap so far, and that gap (n_rows,).
        effort: (n_rows,) how many iterations a correction takes, in units.
        stalls: (n_rows,) steps since the gap last fell by a tenth.
        n_steps: outer steps taken.
    """

    b: jax.Array
    best: jax.Array
    gap: jax.Array
    effort: jax.Array
    stalls: jax.Array
    n_steps: jax.Array


def solve_rows(
    problem: Rows, start: jax.Array, target: jax.Array, *, bounded: bool
) -> tuple[jax.Array, jax.Array]:
    """Return every row's minimizer to within `target` of its objective, or the best found.

    Args:
        problem: the rows; `gram` is a `Design`.
        start: (n_rows, p) coefficients to start from.
        target: (n_rows,) duality gaps to reach, infinite for rows that are not wanted.
        bounded: whether any bound may be finite.

    Returns:
        Coefficients (n_rows, p) and gaps (n_rows,); a gap that is not a number is infinite.
    """
    design: Design = problem.gram
    short: Design = jax.tree.map(lambda a: a.astype(jnp.float32), design)
    largest = largest_eigenvalues(short)
    lipschitz = jnp.repeat(largest, len(target) // len(largest))[:, None]
    if bounded:
        start = jnp.clip(start, problem.lower, problem.upper)

    def is_open(state: _State) -> jax.Array:
        return (state.gap > target) & (state.stalls < _PATIENCE)

    def go_on(state: _State) -> jax.Array:
        return (state.n_steps < _MAX_OUTER) & jnp.any(is_open(state))

    def step(state: _State) -> _State:
        z = problem.cross - design.products(state.b)
        gap = duality_gaps(problem, state.b, z, jnp, bounded)
        # Rows that were done before stand still.
        going = is_open(state)
        better = (gap < state.gap) & going
        slow = gap > SLOW * state.gap
        fell = gap < _FALLS * state.gap
        state = state._replace(
            best=jnp.where(better[:, None], state.b, state.best),
            gap=jnp.where(better, gap, state.gap),
            effort=jnp.where(slow, jnp.minimum(2 * state.effort, _MAX_EFFORT), state.effort),
            stalls=jnp.where(going, jnp.where(fell, 0, state.stalls + 1), state.stalls),
            n_steps=state.n_steps + 1,
        )
        still = is_open(state)
        most = jnp.max(jnp.where(still, state.effort, 0))
        b = _correct(problem, state.b, z, short, lipschitz, most, bounded)
        return state._replace(b=jnp.where(still[:, None], b, state.b))

    unknown = jnp.full(target.shape, jnp.inf, start.dtype)
    effort, none = jnp.ones(target.shape, jnp.int32), jnp.zeros(target.shape, jnp.int32)
    first = _State(start, start, unknown, effort, none, jnp.int32(0))
    last = jax.lax.while_loop(go_on, step, first)
    return last.best, last.gap


def _correct(
    problem: Rows,
    b: jax.Array,
    z: jax.Array,
    short: Design,
    lipschitz: jax.Array,
    effort: jax.Array,
    bounded: bool,
) -> jax.Array:
    """Return `b` moved towards the minimizer; all products are in float32, none at effort 0."""
    local = Local.about(problem, b, z, lipschitz, jnp)

    def descend_on(_: jax.Array, state: Descent) -> Descent:
        return descend(local, state, short.products(state.ahead), bounded, jnp)

    n_descents = jnp.where(effort > 0, jnp.minimum(descents(effort), _MAX_INNER), 0)
    moved = jax.lax.fori_loop(0, n_descents, descend_on, Descent.start(local, jnp)).moved

    face = Face.around(local, moved, short.products(moved), bounded, jnp)
    n_steps = jnp.where(effort > 0, jnp.minimum(conjugate_steps(effort), _MAX_INNER), 0)
    e = _masked_cg(short, local.l2, face, n_steps)
    nearest, out = clipped(local, moved, face, e, jnp)
    refuse = rises(local, face, nearest, short.products(nearest), jnp) & out.any(axis=1)
    nearest = jnp.where(refuse[:, None], shortened(nearest, e, out, jnp), nearest)
    b = landed(problem, b, local, moved, face, nearest, bounded, jnp)
    # A compiler may round one sum differently in two places.
    return jnp.clip(b, problem.lower, problem.upper) if bounded else b


def _masked_cg(short: Design, l2: jax.Array, face: Face, steps: jax.Array) -> jax.Array:
    """Return an approximate solution of `(gram + l2) e = slope` on the free entries of a row."""
    start = Conjugate.start(face, jnp)
    floor = NEGLIGIBLE * start.rho

    def go_on(carry: tuple[Conjugate, jax.Array]) -> jax.Array:
        state, k = carry
        return (k < steps) & jnp.any(state.rho > floor)

    def step(carry: tuple[Conjugate, jax.Array]) -> tuple[Conjugate, jax.Array]:
        state, k = carry
        product = short.products(state.d)
        return conjugate_step(state, product, l2, face, floor, jnp), k + 1

    return jax.lax.while_loop(go_on, step, (start, jnp.int32(0)))[0].e


def largest_eigenvalues(design: Design, steps: int = 20) -> jax.Array:
    """Return estimates from above of the lanes' largest eigenvalues, by power iteration."""
    # A random start: any pattern may be orthogonal to the eigenvector of some Gram matrix.
    n_lanes = len(design.matrix) if isinstance(design, Gram) else 1
    start = np.random.default_rng(0).normal(size=design.matrix.shape[-1])
    v = jnp.tile(jnp.asarray(start / np.linalg.norm(start), design.matrix.dtype), (n_lanes, 1))

    def step(_: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        v, value = carry
        u = design.products(v)
        norm = jnp.sqrt(jnp.sum(jnp.square(u), axis=1))
        return u / jnp.where(norm > 0, norm, 1)[:, None], jnp.maximum(value, norm)

    _, value = jax.lax.fori_loop(0, steps, step, (v, jnp.ones(len(v), v.dtype)))
    if isinstance(design, Gram):
        # No eigenvalue exceeds the largest row sum,
        bound = jnp.abs(design.matrix).sum(axis=1).max(axis=1)
    else:
        # nor the sum of them all.
        bound = jnp.sum(jnp.square(design.matrix))
    return jnp.minimum(1.1 * value, jnp.maximum(1.001 * bound, 1e-6))
