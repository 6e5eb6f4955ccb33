"""The root that proximal operators of Euclidean norms need in a diagonal metric."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

_MAX_STEPS = 50


def secular_root(
    v: jax.Array,
    c: jax.Array,
    d: jax.Array,
    total: Callable[[jax.Array], jax.Array],
    largest: Callable[[jax.Array], jax.Array],
    spread: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """Return the least `t >= 0` with `sum_i (v_i / (c_i + t d_i))^2 <= 1` in every group.

    The inverse square root of that sum is a power mean of functions affine in `t`, so it is
    concave and increasing, and Newton's method on it climbs to the root from the left without
    ever passing it. It starts where every term is at most 1, so that no square overflows; with
    equal `c` and `d` in a group it arrives in one step. Derivatives are those of the root.
    Slopes are reciprocal to `v` and `c`: divide both by `norm_scale` of the group first.

    Args:
        v: entries, any shape.
        c: >= 0, like `v`.
        d: >= 0, like `v`, and positive where `v` is not 0.
        total: entries to their sums over groups.
        largest: entries to their largest per group; at least 0 may be assumed.
        spread: a number per group to every entry of the group.
    """

    def ratios(t: jax.Array, v: jax.Array, c: jax.Array, d: jax.Array) -> tuple:
        denominator = c + spread(t) * d
        safe = jnp.where(denominator > 0, denominator, 1)
        # Zero entries do not count, whatever they are divided by.
        return jnp.where(v == 0, 0, v / jnp.where(v == 0, 1, safe)), safe

    def increment(t: jax.Array, v: jax.Array, c: jax.Array, d: jax.Array) -> jax.Array:
        ratio, denominator = ratios(t, v, c, d)
        terms = jnp.square(ratio)
        sums, slopes = total(terms), total(terms * d / denominator)
        return (
            sums * (jnp.sqrt(jnp.where(sums > 0, sums, 1)) - 1) / jnp.where(slopes > 0, slopes, 1)
        )

    fixed = jax.lax.stop_gradient((v, c, d))
    v_, c_, d_ = fixed
    entries = jnp.where(v_ == 0, 0, (jnp.abs(v_) - c_) / jnp.where(d_ > 0, d_, 1))
    start = jnp.maximum(largest(entries), 0)
    tolerance = 2 * jnp.finfo(start.dtype).eps

    def go_on(carry: tuple) -> jax.Array:
        t, step, k = carry
        return (k < _MAX_STEPS) & jnp.any(step > tolerance * t)

    def climb(carry: tuple) -> tuple:
        t, _, k = carry
        step = jnp.maximum(increment(t, *fixed), 0)
        return t + step, step, k + 1

    t, _, _ = jax.lax.while_loop(go_on, climb, (start, jnp.full_like(start, jnp.inf), 0))
    # At the root one more step changes nothing but carries the derivative.
    return jnp.where(t > 0, t + increment(t, v, c, d), 0)
