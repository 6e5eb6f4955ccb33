"""One problem in standard form in traced code: its grid, and its path in the caller's units."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from regjax.paths._grid import entry_lambdas, first_lambda
from regjax.paths.results import CONVERGED, NOT_CONVERGED
from regjax.paths.traced.derivative import Quadratic, with_derivatives
from regjax.paths.traced.inputs import Arguments, Program
from regjax.paths.traced.solve import Targets, as_rows, as_targets, least_squares, solve_block
from regjax.paths.traced.standard_form import Form

# A duality gap is a difference of sums, which are rounded.
ROUNDINGS = 64
_MAX_ENTRIES = 2**25


class Lanes(NamedTuple):
    """Solutions of m responses in q lanes.

    Attributes:
        coef: (q, m, n_lambdas, p).
        intercept, gap: (q, m, n_lambdas).
    """

    coef: jax.Array
    intercept: jax.Array
    gap: jax.Array

    def lane(self, k: Any) -> Lanes:
        """Return one lane, or some, without the first axis."""
        return Lanes(*(a[k] for a in self))


def least_tol(tol: jax.Array) -> jax.Array:
    """Return the gap to reach: no less than what the dtype can tell."""
    return jnp.maximum(tol, ROUNDINGS * jnp.finfo(tol.dtype).eps)


def solved_lanes(forms: Form, arguments: Arguments, grid: jax.Array, program: Program) -> Lanes:
    """Return the solutions of q lanes at `grid` (m, n_lambdas), descending.

    Args:
        forms: problems in standard form, stacked; those of rows come alone, q is 1.
    """
    q, m, p = forms.cross.shape
    # What is differentiated are solutions, not the way to them.
    fixed = forms.solved()
    fixed_grid, given = jax.lax.stop_gradient((grid, arguments))
    valid = jax.vmap(lambda form: _valid(form, given, fixed_grid))(fixed)
    exact = (fixed_grid == 0) & program.zeros
    wanted = valid[..., None] & ~exact
    target = jnp.where(wanted, least_tol(given.tol) / 2, jnp.inf)

    def solve(targets: Targets) -> tuple[jax.Array, jax.Array]:
        return solve_block(fixed, given, targets, program.ridge)

    # Targets beyond what memory holds at once follow one another, in blocks of one size.
    n_blocks = -(-q * m * grid.shape[1] * p // _MAX_ENTRIES)
    size = -(-m // n_blocks)
    n_blocks = -(-m // size)
    whole = as_targets(fixed, fixed_grid, target)
    if n_blocks == 1:
        b, gap = solve(whole)
    else:
        found = jax.lax.map(solve, jax.tree.map(lambda a: _in_blocks(a, n_blocks, size), whole))
        b, gap = (jnp.moveaxis(a, 0, 1).reshape(q, -1, *a.shape[3:])[:, :m] for a in found)

    def finished(form: Form, b: jax.Array, gap: jax.Array) -> tuple[jax.Array, jax.Array]:
        if program.zeros:
            free, free_gap = jax.lax.cond(
                exact.any(), least_squares, lambda form: (form.cross, form.scale), form
            )
            b = jnp.where(exact[:, :, None], free[:, None], b)
            gap = jnp.where(exact, free_gap[:, None], gap)
        return form.filled(b), gap

    b, gap = jax.vmap(finished)(fixed, b, gap)
    problem = as_rows(forms, arguments, as_targets(forms, grid, target))
    usable, l2 = (a[:, None, None] for a in (forms.columns.usable, forms.columns.l2))
    quadratic = Quadratic(usable, jnp.where(exact[..., None], l2, 0))
    rows = jax.tree.map(lambda a: jnp.broadcast_to(a, b.shape).reshape(-1, p), quadratic)
    b = with_derivatives(b.reshape(-1, p), problem, rows).reshape(b.shape)
    coef, intercept = jax.vmap(lambda form, b: form.restored(b, arguments))(forms, b)
    return Lanes(
        jnp.where(valid[..., None, None], coef, jnp.nan),
        jnp.where(valid[..., None], intercept, jnp.nan),
        jnp.where(valid[..., None], 2 * gap, jnp.inf),
    )


def solved_lane(form: Form, arguments: Arguments, grid: jax.Array, program: Program) -> Lanes:
    """Return the solutions of one lane, without the axis of the lanes."""
    stacked = jax.tree.map(lambda a: a[None], form)
    return solved_lanes(stacked, arguments, grid, program).lane(0)


def _in_blocks(a: jax.Array, n_blocks: int, size: int) -> jax.Array:
    """Return `a` (q, m, ...) as (n_blocks, q, size, ...), filled up with the last target."""
    missing = n_blocks * size - a.shape[1]
    a = jnp.pad(a, [(0, 0), (0, missing)] + [(0, 0)] * (a.ndim - 2), mode="edge")
    return jnp.moveaxis(a.reshape(len(a), n_blocks, size, *a.shape[2:]), 1, 0)


def traced_status(gap: jax.Array, tol: jax.Array) -> jax.Array:
    """Return the status of solutions with these gaps."""
    return jnp.where(gap <= least_tol(tol), CONVERGED, NOT_CONVERGED).astype(jnp.int32)


def traced_grid(form: Form, arguments: Arguments, program: Program) -> jax.Array:
    """Return lambdas (m, n_lambdas), descending; those not given are constants for derivatives."""
    if arguments.lambdas is not None:
        ordered = jnp.sort(arguments.lambdas, descending=True)
        return jnp.broadcast_to(ordered, (len(form.cross), program.n_lambdas))
    lower, upper = arguments.box or (-jnp.inf, jnp.inf)
    form = form.solved()
    entries = entry_lambdas(form.cross, form.columns.l1, lower, upper, jnp)
    entry = form.unit * entries.max(axis=1)
    largest = first_lambda(entry, arguments.l1_ratio, jnp)
    steps = np.arange(program.n_lambdas) / max(program.n_lambdas - 1, 1)
    shares = (arguments.min_ratio**steps).astype(entry.dtype)
    return jax.lax.stop_gradient(largest[:, None] * shares)


def _valid(form: Form, arguments: Arguments, grid: jax.Array) -> jax.Array:
    """Return which targets (m,) have nothing that would raise outside traced code."""
    l1_ratio = arguments.l1_ratio
    right = (l1_ratio >= 0) & (l1_ratio <= 1) & jnp.isfinite(form.columns.deviation).all()
    if arguments.weights is not None:
        right &= (arguments.weights >= 0).all()
    if arguments.box is not None:
        lower, upper = arguments.box
        right &= ((lower <= 0) & (upper >= 0)).all()
        if arguments.weights is not None:
            finite = jnp.isfinite(lower) | jnp.isfinite(upper)
            right &= ~(finite & (arguments.weights == 0)).any()
    right = right & (jnp.isfinite(grid) & (grid >= 0)).all(axis=1)
    return right & jnp.isfinite(form.cross).all(axis=1) & jnp.isfinite(form.scale)
