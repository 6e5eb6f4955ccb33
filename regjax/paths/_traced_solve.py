"""Coefficients and duality gaps of problems in standard form, in traced code.

Positive lambdas are rows of one array, solved from zero together: coarse to fine costs a second
compiled loop and saves little. Of many columns few are in play at a time, as long as these hold the
solutions; lambda = 0 is least squares.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regjax.paths._rows import Rows
from regjax.paths._traced_form import Form, Settings
from regjax.paths._traced_rows import Data, Gram, solve_rows
from regjax.paths._traced_screened import screened_rows, set_size

# Eigenvalues, in roundings of the largest, that least squares divides by, and that it counts.
_INVERTED = 450
_COUNTED = 16


def solve_block(
    form: Form,
    settings: Settings,
    l1_ratio: jax.Array,
    cross: jax.Array,
    scale: jax.Array,
    unit: jax.Array,
    grid: jax.Array,
    target: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Return coefficients (k, n_lambdas, p) and gaps (k, n_lambdas) of k targets.

    With a Gram matrix all lambdas are solved at once. Of many columns few are in play, and all for
    what these do not solve.
    """
    n_lambdas, p = grid.shape[1], cross.shape[1]
    bounded = settings.box is not None
    box = settings.box or (jnp.full(p, -jnp.inf, grid.dtype), jnp.full(p, jnp.inf, grid.dtype))
    design, screened = form.design, False
    if isinstance(design, Data):
        screened = p > set_size(len(design.matrix))
        design = design if screened else Gram(design.matrix.T @ design.matrix)

    def rows(at: np.ndarray, cross: Any, scale: Any, unit: Any, grid: Any) -> Rows:
        """Return the lambdas `at` some places of one target."""
        lambdas = grid[at][:, None]
        lower, upper = (bound * form.columns.deviation / unit for bound in box)
        shape = (len(at), p)
        return Rows(
            gram=None,
            cross=jnp.broadcast_to(cross, shape),
            scale=jnp.broadcast_to(scale, len(at)),
            l1=lambdas / unit * l1_ratio * form.columns.l1,
            l2=lambdas * (1 - l1_ratio) * form.columns.l2,
            lower=jnp.broadcast_to(lower, shape),
            upper=jnp.broadcast_to(upper, shape),
        )

    def solve(at: np.ndarray, start: jax.Array, target: jax.Array) -> tuple[jax.Array, jax.Array]:
        every = jax.vmap(functools.partial(rows, at))(cross, scale, unit, grid)
        flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), every)
        b, gap = solve_rows(
            flat._replace(gram=design), start.reshape(-1, p), target.reshape(-1), bounded=bounded
        )
        return b.reshape(-1, len(at), p), gap.reshape(-1, len(at))

    every = np.arange(n_lambdas)
    if not screened:
        return solve(every, jnp.zeros((*grid.shape, p), grid.dtype), target)

    def screen(part: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        *problem, target = part
        whole = rows(every, *problem)._replace(gram=design)
        return screened_rows(whole, target, bounded=bounded)

    b, gap = jax.lax.map(screen, (cross, scale, unit, grid, target))
    done = gap <= target
    rest, rest_gap = solve(every, b, jnp.where(done, jnp.inf, target))
    return jnp.where(done[:, :, None], b, rest), jnp.where(done, gap, rest_gap)


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
