"""Squared L2 (ridge): `l2_penalty = lambda_ / 2 * sum w^2`.

With the half, the gradient is `lambda_ * w` and the strength equals the weight decay of
plain gradient descent. Complex weights count by their magnitude. Reference: Hoerl and Kennard
(1970), "Ridge regression".

In float32 the penalty overflows to infinity where `lambda_ * w^2` passes 3.4e38, for
`lambda_ = 1` beyond |w| of about 1.8e19; the gradient stays finite as long as `lambda_ * w` does.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from regjax._arrays import (
    Numeric,
    Tree,
    float_tree,
    is_scalar,
    map_leaves,
    max_leaves,
    step_sizes,
    strengths,
    sum_leaves,
)
from regjax._pytree import pytree_dataclass
from regjax.penalties._penalty import Quadratic


def l2_penalty(w: Tree, lambda_: Tree) -> jax.Array:
    """Return `lambda_ / 2 * sum |w|^2`, a real scalar in the precision of `w`.

    Args:
        w: array of any shape, or a tree of arrays.
        lambda_: strength >= 0; a scalar, or a tree prefix of `w` with one per subtree.

    Raises:
        ValueError: if `lambda_` is negative, not finite, or an array of several strengths.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{l2_penalty(jnp.array([1.0, 2.0, 3.0]), 0.1):.1f}")
        0.7
    """
    w = float_tree(w, complex_ok=True)
    return sum_leaves(_half_sum_of_squares, w, strengths(lambda_, w))


def _half_sum_of_squares(x: jax.Array, strength: Numeric) -> jax.Array:
    # The strength goes in before the second factor: 0 times an overflowed square is NaN.
    return jnp.real(jnp.sum(strength * x * jnp.conj(x))) / 2


def l2_gradient(w: Tree, lambda_: Tree) -> Tree:
    """Return `lambda_ * w`, the gradient of `l2_penalty`.

    Example:
        >>> import jax.numpy as jnp
        >>> print(l2_gradient(jnp.array([1.0, 2.0, 3.0]), 0.1))
        [0.1 0.2 0.3]
    """
    w = float_tree(w, complex_ok=True)
    return map_leaves(lambda x, s: s * x, w, strengths(lambda_, w))


def l2_prox(v: Tree, lambda_: Tree, step_size: Tree = 1.0) -> Tree:
    """Return `v / (1 + step_size * lambda_)`.

    It minimises `sum((w - v)^2 / (2 step_size)) + l2_penalty(w, lambda_)` over `w`.
    `step_size` may be a scalar, a tree prefix of `v`, or arrays like `v`.

    Example:
        >>> import jax.numpy as jnp
        >>> print(l2_prox(jnp.array([3.0, -1.0]), 1.0))
        [ 1.5 -0.5]
    """
    v = float_tree(v, complex_ok=True)
    return map_leaves(
        lambda x, s, step: x / (1 + step * s), v, strengths(lambda_, v), step_sizes(step_size, v)
    )


def l2_absorbed_step(v: Tree, lambda_: Tree, step_size: Tree) -> Tree:
    """Return `step_size / (1 + step_size * lambda_)`: a scalar if both are, else a tree like `v`.

    For any penalty `f`, one prox step on `f + l2_penalty` is a step of this size on `f`
    alone, taken from `l2_prox(v, lambda_, step_size)`.
    """
    if is_scalar(lambda_) and is_scalar(step_size):
        return step_size / (1 + step_size * lambda_)
    return jax.tree.map(
        lambda step, s: step / (1 + step * s), step_sizes(step_size, v), strengths(lambda_, v)
    )


@pytree_dataclass
class L2(Quadratic):
    """`l2_penalty` with its strength bound.

    Example:
        >>> import jax.numpy as jnp
        >>> print(L2(0.5).gradient(jnp.array([2.0, -4.0])))
        [ 1. -2.]
    """

    lambda_: Tree

    def value(self, w: Tree) -> jax.Array:
        return l2_penalty(w, self.lambda_)

    def gradient(self, w: Tree) -> Tree:
        return l2_gradient(w, self.lambda_)

    def prox(self, v: Tree, step_size: Tree = 1.0) -> Tree:
        return l2_prox(v, self.lambda_, step_size)

    def lambda_max(self, gradient_at_zero: Tree) -> jax.Array:
        """Return infinity, or 0 for a zero gradient: L2 shrinks and never reaches zero."""
        return max_leaves(
            lambda g: jnp.where(jnp.any(g != 0), jnp.inf, 0.0),
            float_tree(gradient_at_zero, complex_ok=True),
        )

    def absorbed_step(self, v: Tree, step_size: Tree) -> Tree:
        return l2_absorbed_step(v, self.lambda_, step_size)
