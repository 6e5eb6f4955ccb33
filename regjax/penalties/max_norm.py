"""A largest norm as a penalty: 0 where every `||w||_2` over an axis is at most `radius`.

For a dense kernel (inputs, units), `axis=0` bounds the incoming weights of each unit.
Reference: Srebro and Shraibman (2005), "Rank, trace-norm and max-norm"; Hinton and others
(2012), "Improving neural networks by preventing co-adaptation of feature detectors".
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp

from regjax._arrays import (
    Tree,
    float_tree,
    is_scalar,
    map_leaves,
    norm_scale,
    norms,
    step_sizes,
    strengths,
    unit_vectors,
    widen,
)
from regjax._pytree import pytree_dataclass
from regjax.penalties._groups import Axis, AxisGroups
from regjax.penalties._penalty import Constraint
from regjax.penalties._secular import secular_root


def max_norm_penalty(w: Tree, radius: Tree, axis: Axis) -> jax.Array:
    """Return 0 if `||w||_2 <= radius` over `axis` everywhere, else infinity.

    A norm may exceed the radius by 16 units of rounding.

    Args:
        w: array, or tree of arrays that all have `axis`.
        radius: largest norm >= 0; a scalar, or a tree prefix of `w` with one per leaf.
        axis: the axes that a norm runs over; None for whole leaves.

    Example:
        >>> import jax.numpy as jnp
        >>> print(max_norm_penalty(jnp.array([[3.0, 0.0], [4.0, 1.0]]), 5.0, axis=0))
        0.0
    """
    w = float_tree(w)

    def excess(x: jax.Array, r: jax.Array) -> jax.Array:
        largest = r * (1 + 16 * jnp.finfo(x.dtype).eps)
        return jnp.where(jnp.all(norms(x, axis) <= largest), 0.0, jnp.inf).astype(x.dtype)

    terms = jax.tree.leaves(jax.tree.map(excess, w, strengths(radius, w, "radius")))
    return functools.reduce(jnp.add, terms) if terms else jnp.zeros(())


def max_norm_prox(v: Tree, radius: Tree, axis: Axis, step_size: Tree = 1.0) -> Tree:
    """Return the nearest point with `||w||_2 <= radius` over `axis`: `v * min(1, radius / ||v||)`.

    With one step size per coordinate, nearest means least `sum((w - v)^2 / step_size)`, and
    the answer is `v / (1 + t step_size)` with the `t` that meets the radius, found by Newton's
    method. Other arguments are those of `max_norm_penalty`.

    Example:
        >>> import jax.numpy as jnp
        >>> print(max_norm_prox(jnp.array([[3.0, 0.0], [4.0, 1.0]]), 2.5, axis=0))
        [[1.5 0. ]
         [2.  1. ]]
    """
    v = float_tree(v)
    radii = strengths(radius, v, "radius")
    steps = step_sizes(step_size, v)
    if is_scalar(step_size):
        return map_leaves(lambda x, r: _projected(x, r, axis), v, radii)

    def project(x: jax.Array, r: jax.Array, step: jax.Array) -> jax.Array:
        if jnp.ndim(step) == 0:
            return _projected(x, r, axis)
        wide = widen(x)
        size = jnp.max(jnp.abs(wide), axis=axis, keepdims=True, initial=0)
        scale = norm_scale(jax.lax.stop_gradient(size))
        d = jnp.broadcast_to(step, x.shape).astype(wide.dtype)
        # Only ratios of steps matter; a coordinate that may not move at all moves least.
        largest = jnp.max(d, axis=axis, keepdims=True)
        d = jnp.where(largest > 0, d / norm_scale(largest), 1)
        d = jnp.maximum(d, jnp.finfo(d.dtype).eps)
        c = jnp.asarray(r, wide.dtype)
        relative = c / scale
        t = secular_root(wide / scale, relative, d, AxisGroups(axis))
        moved = relative + t * d
        over = (t > 0) & (moved > 0)
        return jnp.where(over, wide / scale * (c / jnp.where(over, moved, 1)), wide)

    return map_leaves(project, v, radii, steps)


def _projected(x: jax.Array, radius: jax.Array, axis: Axis) -> jax.Array:
    # Not x * (radius / norm): with numbers near the largest that quotient underflows.
    return jnp.where(norms(x, axis) > radius, radius * unit_vectors(x, axis), x)


@pytree_dataclass
class MaxNorm(Constraint):
    """The constraint `||w||_2 <= radius` over `axis`, used like any other penalty.

    Example:
        >>> import jax.numpy as jnp
        >>> per_unit = MaxNorm(1.0, axis=0)
        >>> print(per_unit.prox(jnp.array([[3.0, 0.6], [4.0, 0.8]])))
        [[0.6 0.6]
         [0.8 0.8]]
    """

    prox_order = 2

    radius: Tree
    axis: Axis = dataclasses.field(metadata={"static": True})

    def value(self, w: Tree) -> jax.Array:
        return max_norm_penalty(w, self.radius, self.axis)

    def prox(self, v: Tree, step_size: Tree = 1.0) -> Tree:
        return max_norm_prox(v, self.radius, self.axis, step_size)
