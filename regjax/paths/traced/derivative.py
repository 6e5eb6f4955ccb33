"""The derivatives of solutions, by the implicit function theorem on the entries that are free.

With A the entries that are neither 0 nor at a bound, and those without an absolute penalty, the
minimizer moves with its problem as

    (gram_AA + l2_A) db_A = (dcross - dgram b - dl1 sign(b) - dl2 b - gram db)_A

and elsewhere as its bounds, or not at all. Solvers are not differentiated: they see constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from regjax.paths.engines.rows import Rows, row_dots

# Conjugate gradients end here in floating-point arithmetic, if not before.
_STEPS_PER_DIMENSION = 10
_MIN_STEPS = 100
_ROUNDINGS = 256
# Curvature, in roundings, of directions in which nothing changes.
_FLAT = 64

Matrix = Callable[[jax.Array], jax.Array]


class Quadratic(NamedTuple):
    """What decides between solutions at lambda = 0: the limit of ridge has the least penalty.

    Attributes:
        usable: (n_rows, p) the entries that may be nonzero.
        l2: (n_rows, p) squared strengths, 0 for rows at other lambdas.
    """

    usable: jax.Array
    l2: jax.Array


class _Conjugate(NamedTuple):
    """Solution, residual, direction and squared residual of rows, and the steps taken."""

    e: jax.Array
    r: jax.Array
    d: jax.Array
    rho: jax.Array
    n_steps: jax.Array


@jax.custom_jvp
def with_derivatives(b: jax.Array, problem: Rows, quadratic: Quadratic) -> jax.Array:
    """Return `b` (n_rows, p), the solutions of `problem`, with derivatives in the problem.

    Derivatives where an entry is about to become 0, or to leave it, are those of one side. Where
    columns depend on each other they are those of the smallest change.

    Args:
        problem: `l1` and `l2` are 0 for unpenalized columns.
    """
    return b


@with_derivatives.defjvp
def _(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    (_, problem, quadratic), (_, change, of_quadratic) = primals, tangents
    b = with_derivatives(*primals)
    inside = (b > problem.lower) & (b < problem.upper)
    free = quadratic.usable & inside & ((b != 0) | (problem.l1 == 0))
    at_bound = jnp.where(b >= problem.upper, change.upper, change.lower)
    fixed = jnp.where(~inside & (b != 0), at_bound, 0)
    # Columns have unit variance.
    scale = jnp.where(quadratic.l2 > 0, quadratic.l2, 1 + problem.l2)
    root = jnp.where(free, jax.lax.rsqrt(scale), 0)

    def slope(gram: Any, cross: jax.Array, l1: jax.Array, l2: jax.Array) -> jax.Array:
        return cross - gram.products(b) - l1 * jnp.sign(b) - l2 * b

    def differentiated(rows: Rows) -> tuple[Any, ...]:
        return rows.gram, rows.cross, rows.l1, rows.l2

    _, force = jax.jvp(slope, differentiated(problem), differentiated(change))
    # Of least penalty is `quadratic.l2 b = gram pull`: how this moves, with the columns.
    pull = _solved(problem, free, root, quadratic.l2 * b)
    _, moved = jax.jvp(lambda gram: gram.products(pull), (problem.gram,), (change.gram,))
    moved = (moved - of_quadratic.l2 * b) * jnp.where(quadratic.l2 > 0, root * root, 0)
    fixed = fixed + moved
    return b, fixed + _solved(problem, free, root, force - problem.gram.products(fixed))


def _solved(problem: Rows, free: jax.Array, root: jax.Array, force: jax.Array) -> jax.Array:
    """Return the solution of `(gram + l2) e = force` on the free entries, 0 elsewhere.

    Of several it is the one of least `e / root`, and of none that of least error.
    """
    l2 = jnp.where(free, problem.l2 * root * root, 1)

    def matrix(e: jax.Array) -> jax.Array:
        return root * problem.gram.products(root * e) + l2 * e

    def solve(matrix: Matrix, rhs: jax.Array) -> jax.Array:
        n_steps = max(_MIN_STEPS, _STEPS_PER_DIMENSION * min(problem.gram.matrix.shape[-2:]))
        # What no column reaches is taken away first: conjugate gradients would not converge.
        reached = _conjugate_gradients(matrix, matrix(rhs), n_steps)
        return _conjugate_gradients(matrix, reached, n_steps)

    return root * jax.lax.custom_linear_solve(matrix, root * force, solve, symmetric=True)


def _conjugate_gradients(matrix: Matrix, rhs: jax.Array, n_steps: int) -> jax.Array:
    """Return solutions of least norm of `matrix(e) = rhs`, row by row, to the last digits."""
    eps = float(np.finfo(rhs.dtype).eps)
    start = _Conjugate(jnp.zeros_like(rhs), rhs, rhs, row_dots(rhs, rhs, jnp), jnp.int32(0))
    floor = (_ROUNDINGS * eps) ** 2 * start.rho

    def go_on(state: _Conjugate) -> jax.Array:
        return (state.n_steps < n_steps) & jnp.any(state.rho > floor)

    def step(state: _Conjugate) -> _Conjugate:
        e, r, d, rho, k = state
        product = matrix(d)
        curvature = row_dots(d, product, jnp)
        # A row ends where rounding is all that is left of its direction.
        going = (rho > floor) & (curvature > _FLAT * eps * row_dots(d, d, jnp))
        alpha = jnp.where(going, rho / jnp.where(going, curvature, 1), 0)[:, None]
        e, r = e + alpha * d, r - alpha * product
        new = jnp.where(going, row_dots(r, r, jnp), 0)
        d = r + (new / jnp.where(going, rho, 1))[:, None] * d
        return _Conjugate(e, r, d, new, k + 1)

    return jax.lax.while_loop(go_on, step, start).e
