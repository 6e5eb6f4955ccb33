"""Unpenalized columns: eliminated one after the other, and found again from the rest.

Nothing here is differentiated: derivatives are those of the problem with all its columns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from regjax.paths.data.scales import Scales
from regjax.paths.traced.rows import Design

# The share of its variance below which a column has nothing of its own, as a power of epsilon.
_DEPENDENT = 2 / 3


class Elimination(NamedTuple):
    """Unpenalized columns, one a step: `b[order[s]] = values[s] - rows[s] b`, last step first.

    Attributes:
        n_steps: how many steps there are; what follows them in the arrays is 0.
        order: (steps,) columns.
        rows: (steps, p).
        values: (steps, m).
    """

    n_steps: jax.Array
    order: jax.Array
    rows: jax.Array
    values: jax.Array

    @classmethod
    def none(cls, steps: int, p: int, m: int, dtype: Any) -> Elimination:
        """Return an elimination without steps, in arrays for as many."""
        return cls(
            jnp.int32(0),
            jnp.zeros(steps, jnp.int32),
            jnp.zeros((steps, p), dtype),
            jnp.zeros((steps, m), dtype),
        )

    def with_step(self, column: jax.Array, row: jax.Array, value: jax.Array) -> Elimination:
        """Return the elimination with one step more."""
        s = self.n_steps
        return Elimination(
            s + 1,
            self.order.at[s].set(column.astype(jnp.int32)),
            self.rows.at[s].set(row),
            self.values.at[s].set(value),
        )

    def filled(self, b: jax.Array) -> jax.Array:
        """Return b (m, n_lambdas, p) with the coefficients of the unpenalized columns."""

        def step(k: jax.Array, b: jax.Array) -> jax.Array:
            s = self.n_steps - 1 - k
            value = self.values[s][:, None] - b @ self.rows[s]
            return b.at[:, :, self.order[s]].set(value)

        return jax.lax.fori_loop(0, self.n_steps, step, b)


class _Carry(NamedTuple):
    """What is left of a problem after some steps, and which columns are still to eliminate."""

    design: Design
    cross: jax.Array
    scale: jax.Array
    free: jax.Array
    steps: Elimination


class Reduced(NamedTuple):
    """What unpenalized columns leave of a problem, as in `Form`, and the way back."""

    design: Design
    cross: jax.Array
    scale: jax.Array
    elimination: Elimination


def without_unpenalized(
    design: Design, cross: jax.Array, scale: jax.Array, columns: Scales
) -> Reduced:
    """Return what unpenalized columns leave of a problem, by pivoted elimination."""
    least = float(jnp.finfo(cross.dtype).eps) ** _DEPENDENT

    def squares(design: Design, free: jax.Array) -> jax.Array:
        return jnp.where(free, design.squares(), 0)

    def go_on(carry: _Carry) -> jax.Array:
        steps, free = carry.steps, carry.free
        return jnp.any(squares(carry.design, free) > least) & (steps.n_steps < len(steps.order))

    def step(carry: _Carry) -> _Carry:
        design, cross, scale, free, steps = carry
        j = jnp.argmax(squares(design, free))
        moments, value = design.moments(j), cross[:, j]
        row, solution = moments / moments[j], value / moments[j]
        return _Carry(
            design.without(j, row, solution),
            cross - jnp.outer(value, row),
            jnp.maximum(scale - solution * value, 0),
            free.at[j].set(False),
            steps.with_step(j, row, solution),
        )

    m, p = cross.shape
    none = Elimination.none(min(design.matrix.shape), p, m, cross.dtype)
    free = columns.usable & ~columns.penalized
    start = _Carry(design, cross, scale, free, none)
    design, cross, scale, _, steps = jax.lax.while_loop(go_on, step, start)
    penalized = columns.penalized & (design.squares() > least)
    return Reduced(design.only(penalized), jnp.where(penalized, cross, 0), scale, steps)
