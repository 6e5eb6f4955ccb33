"""Coefficients and duality gaps of problems in standard form, in traced code.

Positive lambdas are rows of one array, solved from zero together: coarse to fine costs a second
compiled loop and saves little. Of many columns few are in play at a time, as long as these hold the
solutions; lambda = 0 is least squares.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from regjax._arrays import Numeric
from regjax.paths.engines.rows import Rows, duality_gaps
from regjax.paths.engines.spectral import gram_spectrum, kernel_spectrum
from regjax.paths.traced.inputs import Arguments
from regjax.paths.traced.rows import Data, Design, Gram, solve_rows
from regjax.paths.traced.screened import screened_rows, set_size
from regjax.paths.traced.standard_form import Form

# Eigenvalues, in roundings of the largest, that least squares divides by, and that it counts.
_INVERTED = 450
_COUNTED = 16


class Targets(NamedTuple):
    """k responses in each of q lanes, and their lambdas.

    Attributes:
        cross: (q, k, p).
        scale, unit: (q, k).
        response: (1, k, n) in the single lane of a `Data`, else None.
        grid, gap: (q, k, n_lambdas) lambdas, and gaps to reach, infinite for those not wanted.
    """

    cross: jax.Array
    scale: jax.Array
    unit: jax.Array
    response: jax.Array | None
    grid: jax.Array
    gap: jax.Array


def solve_block(
    form: Form, arguments: Arguments, targets: Targets, ridge: bool
) -> tuple[jax.Array, jax.Array]:
    """Return coefficients (q, k, n_lambdas, p) and gaps (q, k, n_lambdas) of k targets of q lanes.

    Ridge begins at what an eigendecomposition gives. With Gram matrices all lanes and lambdas are
    solved at once. Of many columns, in a single lane, few are in play, and all for what these do
    not solve.

    Args:
        form: the lanes; every array has a leading axis q.
        ridge: whether the l1_ratio may be 0.
    """
    rows = as_rows(form, arguments, targets)
    design, grid = rows.gram, targets.grid
    bounded, target = arguments.box is not None, targets.gap.ravel()
    start, start_gap = jnp.zeros_like(rows.cross), jnp.full_like(target, jnp.inf)
    if ridge:

        def spectral() -> tuple[jax.Array, jax.Array]:
            b = jax.vmap(_ridge)(form.design, form.columns.l2, targets).reshape(rows.cross.shape)
            z = rows.cross - design.products(b)
            return b, duality_gaps(rows, b, z, jnp, bounded=False)

        start, start_gap = jax.lax.cond(
            arguments.l1_ratio == 0, spectral, lambda: (start, start_gap)
        )
    done = start_gap <= target
    rest = jnp.where(done, jnp.inf, target)
    if isinstance(design, Data):
        b, gap = _rows_of_data(rows, start, rest, grid.shape[2], bounded)
    else:
        b, gap = solve_rows(rows, start, rest, bounded=bounded)
    b, gap = jnp.where(done[:, None], start, b), jnp.where(done, start_gap, gap)
    return b.reshape(*grid.shape, -1), gap.reshape(grid.shape)


def as_targets(form: Form, grid: jax.Array, gap: jax.Array) -> Targets:
    """Return all responses of q lanes at `grid` (m, n_lambdas), and their gaps to reach."""
    response = form.design.response.mT if isinstance(form.design, Data) else None
    grids = jnp.broadcast_to(grid, gap.shape)
    return Targets(form.cross, form.scale, form.unit, response, grids, gap)


def as_rows(form: Form, arguments: Arguments, targets: Targets) -> Rows:
    """Return all lambdas of all targets as rows; every array has a leading axis of q lanes.

    Unpenalized columns have no penalty here, whether or not they are among the columns.
    """
    design, columns, l1_ratio = form.design, form.columns, arguments.l1_ratio
    grid, shape = targets.grid, (*targets.grid.shape, targets.cross.shape[2])
    lambdas, units = grid[..., None], targets.unit[..., None, None]

    def flat(a: jax.Array) -> jax.Array:
        return jnp.broadcast_to(a, shape).reshape(-1, shape[-1])

    def in_units(bound: Numeric) -> jax.Array:
        # Infinity has no derivative.
        finite = jnp.isfinite(bound)
        scaled = jnp.where(finite, bound, 0) * columns.deviation[:, None, None] / units
        return flat(jnp.where(finite, scaled, bound))

    lower, upper = arguments.box or (-jnp.inf, jnp.inf)
    l1, l2 = columns.l1, columns.l2
    if arguments.weights is not None:
        # A weight of 0 has a derivative, too.
        weights = jnp.where(columns.usable & ~columns.penalized, arguments.weights, 1)
        l1, l2 = l1 * weights, l2 * weights
    return Rows(
        gram=Data(*(a[0] for a in design)) if isinstance(design, Data) else design,
        cross=flat(targets.cross[:, :, None]),
        scale=jnp.broadcast_to(targets.scale[..., None], grid.shape).ravel(),
        l1=flat(lambdas / units * l1_ratio * l1[:, None, None]),
        l2=flat(lambdas * (1 - l1_ratio) * l2[:, None, None]),
        lower=in_units(lower),
        upper=in_units(upper),
    )


def _ridge(design: Design, l2: jax.Array, targets: Targets) -> jax.Array:
    """Return ridge solutions (k, n_lambdas, p) of one lane, 1 in place of lambdas that are 0."""
    lambdas = jnp.where(targets.grid > 0, targets.grid, 1)
    if isinstance(design, Gram):
        return gram_spectrum(design.matrix, targets.cross, l2, jnp).solutions(lambdas, jnp)
    scaled = design.matrix / l2
    kernel = scaled @ design.matrix.T
    return kernel_spectrum(kernel, targets.response, jnp).solutions(lambdas, jnp) @ scaled


def _rows_of_data(
    rows: Rows, start: jax.Array, target: jax.Array, n_lambdas: int, bounded: bool
) -> tuple[jax.Array, jax.Array]:
    """Return coefficients and gaps of rows of one lane, `n_lambdas` of each target."""
    design: Data = rows.gram
    A = design.matrix
    if A.shape[1] <= set_size(len(A)):
        problem = rows._replace(gram=Gram((A.T @ A)[None]))
        return solve_rows(problem, start, target, bounded=bounded)

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
        problem, wanted = rows._replace(gram=design), jnp.where(done, jnp.inf, target)
        rest, rest_gap = solve_rows(problem, b, wanted, bounded=bounded)
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
        residual = (rhs - b @ kernel) @ vectors / jnp.sqrt(jnp.where(values > 0, values, 1))
    else:
        rows = design.matrix
        inverse, values, vectors = _pseudo_inverse(rows @ rows.T)
        scaled = rows * root
        b = design.response.T @ _pseudo_inverse(scaled @ scaled.T)[0] @ scaled * root
        for _ in range(2):
            b = b + (design.response.T - b @ rows.T) @ inverse @ rows
        residual = (design.response.T - b @ rows.T) @ vectors
    counted = values > _COUNTED * jnp.finfo(values.dtype).eps * values[-1]
    return b, jnp.sum(jnp.square(residual), axis=1, where=counted) / 2


def _pseudo_inverse(matrix: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the pseudo-inverse of a symmetric matrix, its eigenvalues and its eigenvectors."""
    values, vectors = jnp.linalg.eigh(matrix)
    inverted = values > _INVERTED * jnp.finfo(values.dtype).eps * values[-1]
    return (
        (vectors * jnp.where(inverted, 1 / jnp.where(inverted, values, 1), 0)) @ vectors.T,
        values,
        vectors,
    )
