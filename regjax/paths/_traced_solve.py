"""Coefficients and duality gaps of problems in standard form, in traced code.

Positive lambdas are rows of one array, solved from zero together: coarse to fine costs a second
compiled loop and saves little. Of many columns few are in play at a time, as long as these hold the
solutions; lambda = 0 is least squares.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from regjax.paths._rows import Rows
from regjax.paths._traced_form import Asked, Form
from regjax.paths._traced_rows import Data, Gram, solve_rows
from regjax.paths._traced_screened import screened_rows, set_size

# Eigenvalues, in roundings of the largest, that least squares divides by, and that it counts.
_INVERTED = 450
_COUNTED = 16


def solve_block(
    form: Form,
    asked: Asked,
    l1_ratio: jax.Array,
    cross: jax.Array,
    scale: jax.Array,
    unit: jax.Array,
    grid: jax.Array,
    target: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Return coefficients (q, k, n_lambdas, p) and gaps (q, k, n_lambdas) of k targets of q lanes.

    With Gram matrices all lanes and lambdas are solved at once. Of many columns, in a single lane,
    few are in play, and all for what these do not solve.

    Args:
        form: the lanes; every array has a leading axis q.
        cross: (q, k, p), of these targets.
        scale, unit: (q, k).
        grid, target: (q, k, n_lambdas) lambdas, and gaps to reach.
    """
    shape, columns = (*grid.shape, cross.shape[2]), form.columns
    lambdas, units = grid[..., None], unit[..., None, None]
    box = asked.box or (-jnp.inf, jnp.inf)
    lower, upper = (bound * columns.deviation[:, None, None] / units for bound in box)

    def flat(a: jax.Array) -> jax.Array:
        return jnp.broadcast_to(a, shape).reshape(-1, shape[-1])

    rows = Rows(
        gram=form.design,
        cross=flat(cross[:, :, None]),
        scale=jnp.broadcast_to(scale[..., None], grid.shape).ravel(),
        l1=flat(lambdas / units * l1_ratio * columns.l1[:, None, None]),
        l2=flat(lambdas * (1 - l1_ratio) * columns.l2[:, None, None]),
        lower=flat(lower),
        upper=flat(upper),
    )
    bounded = asked.box is not None
    if isinstance(form.design, Data):
        b, gap = _rows_of_data(rows, target.ravel(), grid.shape[2], bounded)
    else:
        nothing = jnp.zeros_like(rows.cross)
        b, gap = solve_rows(rows, nothing, target.ravel(), bounded=bounded)
    return b.reshape(shape), gap.reshape(grid.shape)


def _rows_of_data(
    rows: Rows, target: jax.Array, n_lambdas: int, bounded: bool
) -> tuple[jax.Array, jax.Array]:
    """Return coefficients and gaps of rows of one lane, `n_lambdas` of each target."""
    design = Data(*(a[0] for a in rows.gram))
    A = design.matrix
    if A.shape[1] <= set_size(len(A)):
        problem, nothing = rows._replace(gram=Gram((A.T @ A)[None])), jnp.zeros_like(rows.cross)
        return solve_rows(problem, nothing, target, bounded=bounded)

    def screen(part: tuple[Rows, jax.Array]) -> tuple[jax.Array, jax.Array]:
        problem, target = part
        return screened_rows(problem._replace(gram=design), target, bounded=bounded)

    by_target = jax.tree.map(
        lambda a: a.reshape(-1, n_lambdas, *a.shape[1:]), (rows._replace(gram=None), target)
    )
    found = jax.lax.map(screen, by_target)
    b, gap = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), found)
    done = gap <= target

    def solve_rest() -> tuple[jax.Array, jax.Array]:
        problem, left = rows._replace(gram=design), jnp.where(done, jnp.inf, target)
        rest, rest_gap = solve_rows(problem, b, left, bounded=bounded)
        return jnp.where(done[:, None], b, rest), jnp.where(done, gap, rest_gap)

    return jax.lax.cond(done.all(), lambda: (b, gap), solve_rest)


def least_squares(form: Form) -> tuple[jax.Array, jax.Array]:
    """Return the least-squares solution of least quadratic penalty (m, p), and its gap (m,).

    Without a penalty the gap is known: half the squared projection of the residual on the columns.
    """
    design, l2 = form.design, form.columns.l2
    root = jax.lax.rsqrt(jnp.where(l2 > 0, l2, 1))
    if isinstance(design, Gram):
        kernel, rhs = design.matrix, form.cross
        inverse, values, vectors = _pseudo_inverse(kernel)
        b = (rhs * root) @ _pseudo_inverse(kernel * root * root[:, None])[0] * root
        # What rounding lost in the units of the penalty.
        for _ in range(2):
            b = b + (rhs - b @ kernel) @ inverse
        left = (rhs - b @ kernel) @ vectors / jnp.sqrt(jnp.where(values > 0, values, 1))
    else:
        rows = design.matrix
        inverse, values, vectors = _pseudo_inverse(rows @ rows.T)
        scaled = rows * root
        b = design.response.T @ _pseudo_inverse(scaled @ scaled.T)[0] @ scaled * root
        for _ in range(2):
            b = b + (design.response.T - b @ rows.T) @ inverse @ rows
        left = (design.response.T - b @ rows.T) @ vectors
    counted = values > _COUNTED * jnp.finfo(values.dtype).eps * values[-1]
    return b, jnp.sum(jnp.square(left), axis=1, where=counted) / 2


def _pseudo_inverse(matrix: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the pseudo-inverse of a symmetric matrix, its eigenvalues and its eigenvectors."""
    values, vectors = jnp.linalg.eigh(matrix)
    kept = values > _INVERTED * jnp.finfo(values.dtype).eps * values[-1]
    return (
        (vectors * jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)) @ vectors.T,
        values,
        vectors,
    )
