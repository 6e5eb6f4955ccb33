"""Bounds as a penalty: 0 where `lower <= w <= upper`, infinity elsewhere.

The proximal operator of such an indicator is the projection `clip(v, lower, upper)`, at any
step size.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import Tree, broadcast_prefix, float_tree, has_value, map_leaves, step_sizes
from regjax._pytree import pytree_dataclass
from regjax.penalties._penalty import Constraint


def box_penalty(w: Tree, lower: Tree, upper: Tree) -> jax.Array:
    """Return 0 if every entry of `w` lies in `[lower, upper]`, else infinity (also for NaN).

    An entry may exceed its bound by 16 units of rounding.

    Args:
        w: array, or tree of arrays.
        lower, upper: bounds, `-inf` and `inf` for none; numbers, arrays that broadcast to the
            leaves, or tree prefixes of such.

    Raises:
        ValueError: if a lower bound exceeds the upper one, or a bound is NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> print(box_penalty(jnp.array([0.5, 2.0]), -1.0, 1.0))
        inf
    """
    w = float_tree(w)

    def within(x: jax.Array, a: Any, b: Any) -> jax.Array:
        a, b = jnp.asarray(a, x.dtype), jnp.asarray(b, x.dtype)
        slack = 16 * jnp.finfo(x.dtype).eps
        return jnp.all((x >= a - slack * jnp.abs(a)) & (x <= b + slack * jnp.abs(b)))

    inside = jax.tree.leaves(jax.tree.map(within, w, *_bounds(w, lower, upper)))
    return jnp.where(jnp.all(jnp.array(inside)), 0.0, jnp.inf).astype(
        jnp.result_type(*jax.tree.leaves(w)) if inside else float
    )


def box_prox(v: Tree, lower: Tree, upper: Tree) -> Tree:
    """Return the projection `clip(v, lower, upper)`. Arguments are those of `box_penalty`.

    Example:
        >>> import jax.numpy as jnp
        >>> print(box_prox(jnp.array([0.5, 2.0, -3.0]), -1.0, jnp.inf))
        [ 0.5  2.  -1. ]
    """
    v = float_tree(v)
    return map_leaves(jnp.clip, v, *_bounds(v, lower, upper))


@pytree_dataclass
class Box(Constraint):
    """The constraint `lower <= w <= upper`, used like any other penalty.

    Example:
        >>> import jax.numpy as jnp
        >>> from regjax import L1
        >>> print((L1(0.5) + Box(-1.0, 2.0)).prox(jnp.array([4.0, 1.0, -9.0])))
        [ 2.   0.5 -1. ]
    """

    prox_order = 2

    lower: Tree
    upper: Tree

    def value(self, w: Tree) -> jax.Array:
        return box_penalty(w, self.lower, self.upper)

    def prox(self, v: Tree, step_size: Tree = 1.0) -> Tree:
        v = float_tree(v)
        step_sizes(step_size, v)
        return box_prox(v, self.lower, self.upper)


def _bounds(w: Tree, lower: Tree, upper: Tree) -> tuple[Tree, Tree]:
    lower, upper = (
        broadcast_prefix(bound, w, name) for bound, name in ((lower, "lower"), (upper, "upper"))
    )
    jax.tree.map(_check, w, lower, upper)
    return lower, upper


def _check(x: jax.Array, lower: Any, upper: Any) -> None:
    for bound, name in ((lower, "lower"), (upper, "upper")):
        try:
            fits = jnp.broadcast_shapes(jnp.shape(bound), x.shape) == x.shape
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"{name} must be a number or broadcast to the weights: got shape "
                f"{jnp.shape(bound)} for a leaf of shape {x.shape}."
            )
    if has_value(lower) and has_value(upper) and not np.all(np.asarray(lower) <= np.asarray(upper)):
        raise ValueError(f"lower must not exceed upper, got {lower} and {upper}.")
