"""Non-negativity as a penalty: 0 where every weight is >= 0, infinity elsewhere.

The proximal operator of such an indicator is the projection `max(v, 0)`, at any step size.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from regjax._arrays import Tree, float_tree, map_leaves, step_sizes, sum_leaves
from regjax._pytree import pytree_dataclass
from regjax.penalties._penalty import Constraint


def non_negative_penalty(w: Tree) -> jax.Array:
    """Return 0 if every entry of `w` is at least 0, else infinity (also for NaN).

    Example:
        >>> import jax.numpy as jnp
        >>> print(non_negative_penalty(jnp.array([1.0, 0.0])))
        0.0
    """
    return sum_leaves(lambda x: jnp.where(jnp.all(x >= 0), 0.0, jnp.inf), float_tree(w))


def non_negative_prox(v: Tree) -> Tree:
    """Return the projection `max(v, 0)`.

    Example:
        >>> import jax.numpy as jnp
        >>> print(non_negative_prox(jnp.array([1.0, -2.0])))
        [1. 0.]
    """
    return map_leaves(lambda x: jnp.maximum(x, 0), float_tree(v))


@pytree_dataclass
class NonNegative(Constraint):
    """The constraint `w >= 0`, used like any other penalty.

    Example:
        >>> import jax.numpy as jnp
        >>> from regjax import L1
        >>> print((L1(0.5) + NonNegative()).prox(jnp.array([2.0, -2.0])))
        [1.5 0. ]
    """

    prox_order = 2

    def value(self, w: Tree) -> jax.Array:
        return non_negative_penalty(w)

    def prox(self, v: Tree, step_size: Tree = 1.0) -> Tree:
        v = float_tree(v)
        step_sizes(step_size, v)
        return non_negative_prox(v)
