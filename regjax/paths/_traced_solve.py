"""Coefficients and duality gaps of problems in standard form, in traced code.

Positive lambdas are rows of one array, solved coarse to fine; lambda = 0 is least squares.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from regjax.paths._rows import Rows
from regjax.paths._traced_form import Form, Settings
from regjax.paths._traced_rows import Gram, solve_rows

_COARSE = 9
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
    """Return coefficients (k, n_lambdas, p) and gaps (k, n_lambdas) of k targets, coarse to fine.

    Every ninth lambda is solved from zero, the others from the line between their neighbours.
    """
    n_lambdas, p = grid.shape[1], cross.shape[1]

    def solve(at: np.ndarray, start: jax.Array, target: jax.Array) -> tuple[jax.Array, jax.Array]:
        lambdas = grid[:, at].reshape(-1, 1)
        units = jnp.repeat(unit, len(at))[:, None]
        box = settings.box or (jnp.full(p, -jnp.inf, grid.dtype), jnp.full(p, jnp.inf, grid.dtype))
        lower, upper = (bound * form.columns.deviation / units for bound in box)
        rows = Rows(
            gram=form.design,
            cross=jnp.repeat(cross, len(at), axis=0),
            scale=jnp.repeat(scale, len(at)),
            l1=lambdas / units * l1_ratio * form.columns.l1,
            l2=lambdas * (1 - l1_ratio) * form.columns.l2,
            lower=lower,
            upper=upper,
        )
        b, gap = solve_rows(
            rows, start.reshape(-1, p), target.reshape(-1), bounded=settings.box is not None
        )
        return b.reshape(-1, len(at), p), gap.reshape(-1, len(at))

    coarse = np.unique(np.r_[0 : n_lambdas - 1 : _COARSE, n_lambdas - 1])
    nothing = jnp.zeros((len(grid), len(coarse), p), grid.dtype)
    rough, _ = solve(coarse, nothing, 100 * target[:, coarse])
    every = np.arange(n_lambdas)
    return solve(every, _between(rough, grid, coarse), target)


def _between(b: jax.Array, lambdas: jax.Array, coarse: np.ndarray) -> jax.Array:
    """Return the coefficients at all lambdas on the lines between the coarse ones."""
    every = np.arange(lambdas.shape[1])
    left = np.clip(np.searchsorted(coarse, every, side="right") - 1, 0, max(len(coarse) - 2, 0))
    right = np.minimum(left + 1, len(coarse) - 1)
    high, low = lambdas[:, coarse[left]], lambdas[:, coarse[right]]
    share = ((high - lambdas) / jnp.where(high > low, high - low, 1))[:, :, None]
    # Compilers contract products and sums: the coarse ones would not come back to the last digit.
    return ((1 - share) * b[:, left] + share * b[:, right]).at[:, coarse].set(b)


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
