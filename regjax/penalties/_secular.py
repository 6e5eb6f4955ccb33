"""The root that proximal operators of Euclidean norms need in a diagonal metric."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from regjax._arrays import Tree
from regjax.penalties._groups import Groups

_MAX_STEPS = 50


def secular_root(v: Tree, c: Tree, d: Tree, groups: Groups) -> Tree:
    """Return the least `t >= 0` with `sum_i (v_i / (c_i + t d_i))^2 <= 1` in every group.

    The inverse square root of that sum is a power mean of functions affine in `t`, so it is
    concave and increasing, and Newton's method on it climbs to the root from the left without
    ever passing it. It starts where every term is at most 1, so that no square overflows; with
    equal `c` and `d` in a group it arrives in one step. Derivatives are those of the root.
    Slopes are reciprocal to `v` and `c`: divide both by `norm_scale` of the group first.

    On sharded weights a Newton step is one collective, besides one at the start and one at the
    end.

    Args:
        v: entries, a tree that `groups` partitions.
        c: >= 0, a tree like `v` of arrays that broadcast to its leaves.
        d: >= 0, a tree like `c`, and positive where `v` is not 0.
        groups: the groups of `v`.
    """

    def increment(t: Tree, v: Tree, c: Tree, d: Tree) -> Tree:
        # Both sums at once, so that they are one collective.
        terms = jax.tree.map(_square_and_slope, v, c, d, groups.spread(t))
        return jax.tree.map(_newton_step, jax.vmap(groups.total)(terms))

    fixed = jax.lax.stop_gradient((v, c, d))
    start = groups.largest(jax.tree.map(_lower_bound, *fixed))

    def go_on(carry: tuple[Tree, Tree, int]) -> jax.Array:
        t, step, k = carry
        moving = jax.tree.map(lambda t, s: jnp.any(s > 2 * jnp.finfo(t.dtype).eps * t), t, step)
        return (k < _MAX_STEPS) & jax.tree.reduce(jnp.logical_or, moving, jnp.bool_(False))

    def climb(carry: tuple[Tree, Tree, int]) -> tuple[Tree, Tree, int]:
        t, _, k = carry
        step = jax.tree.map(lambda s: jnp.maximum(s, 0), increment(t, *fixed))
        return jax.tree.map(jnp.add, t, step), step, k + 1

    unmeasured = jax.tree.map(lambda t: jnp.full_like(t, jnp.inf), start)
    t, _, _ = jax.lax.while_loop(go_on, climb, (start, unmeasured, 0))
    # At the root one more step changes nothing but carries the derivative.
    last = increment(t, v, c, d)
    return jax.tree.map(lambda t, s: jnp.where(t > 0, t + s, 0), t, last)


def _square_and_slope(v: jax.Array, c: jax.Array, d: jax.Array, t: jax.Array) -> jax.Array:
    """Return a term of the sum and, up to a factor of -2, its derivative in `t`, stacked."""
    denominator = c + t * d
    safe = jnp.where(denominator > 0, denominator, 1)
    # Zero entries do not count, whatever they are divided by.
    square = jnp.square(jnp.where(v == 0, 0, v / jnp.where(v == 0, 1, safe)))
    return jnp.stack([square, square * d / safe])


def _newton_step(sums: jax.Array) -> jax.Array:
    total, slope = sums
    root = jnp.sqrt(jnp.where(total > 0, total, 1))
    return total * (root - 1) / jnp.where(slope > 0, slope, 1)


def _lower_bound(v: jax.Array, c: jax.Array, d: jax.Array) -> jax.Array:
    """Return the `t` at which the term of this entry alone is 1."""
    return jnp.where(v == 0, 0, (jnp.abs(v) - c) / jnp.where(d > 0, d, 1))
