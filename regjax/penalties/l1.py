"""L1 (lasso): `l1_penalty = lambda_ * sum |w|`.

The subgradient `lambda_ * sign(w)` is 0 at 0. Steps along it hover about zero; the
proximal step (soft thresholding) lands on it exactly. Complex weights count by their magnitude,
with `sign(w) = w / |w|`. Reference: Tibshirani (1996),
"Regression shrinkage and selection via the lasso".
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from regjax._arrays import (
    Numeric,
    Tree,
    float_tree,
    map_leaves,
    max_leaves,
    step_sizes,
    strengths,
    sum_leaves,
)
from regjax._pytree import pytree_dataclass
from regjax.penalties._penalty import Penalty


def l1_penalty(w: Tree, lambda_: Tree) -> jax.Array:
    """Return `lambda_ * sum |w|`, a real scalar in the precision of `w`.

    Args:
        w: array of any shape, or a tree of arrays.
        lambda_: strength >= 0; a scalar, or a tree prefix of `w` with one per subtree.

    Raises:
        ValueError: if `lambda_` is negative, not finite, or an array of several strengths.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{l1_penalty(jnp.array([1.0, -2.0, 3.0]), 0.1):.1f}")
        0.6
    """
    w = float_tree(w, complex_ok=True)
    return sum_leaves(lambda x, s: s * _sum_of_magnitudes(x), w, strengths(lambda_, w))


def _sum_of_magnitudes(x: jax.Array) -> jax.Array:
    # w * sign(w) is |w| with derivative 0 at 0, where jnp.abs has 1.
    return jnp.real(jnp.sum(x * jnp.conj(jnp.sign(x))))


def l1_gradient(w: Tree, lambda_: Tree) -> Tree:
    """Return `lambda_ * sign(w)`, the subgradient of `l1_penalty` that is 0 where `w` is 0.

    Example:
        >>> import jax.numpy as jnp
        >>> print(l1_gradient(jnp.array([1.0, -2.0, 0.0]), 0.1))
        [ 0.1 -0.1  0. ]
    """
    w = float_tree(w, complex_ok=True)
    return map_leaves(lambda x, s: s * jnp.sign(x), w, strengths(lambda_, w))


def l1_prox(v: Tree, lambda_: Tree, step_size: Tree = 1.0) -> Tree:
    """Return the soft threshold `sign(v) * max(|v| - step_size * lambda_, 0)`.

    It minimises `sum((w - v)^2 / (2 step_size)) + l1_penalty(w, lambda_)` over `w`.

    Args:
        v: array of any shape, or a tree of arrays.
        lambda_: as in `l1_penalty`.
        step_size: a scalar, a tree prefix of `v`, or arrays like `v` with one step per
            coordinate.

    Example:
        >>> import jax.numpy as jnp
        >>> print(l1_prox(jnp.array([3.0, -0.5, 1.0]), 1.0))
        [2. 0. 0.]
    """
    v = float_tree(v, complex_ok=True)
    return map_leaves(
        lambda x, s, step: _soft_threshold(x, step * s),
        v,
        strengths(lambda_, v),
        step_sizes(step_size, v),
    )


def _soft_threshold(x: jax.Array, threshold: Numeric) -> jax.Array:
    if jnp.iscomplexobj(x):
        return jnp.where(jnp.abs(x) <= threshold, 0, x - threshold * jnp.sign(x))
    return x - jnp.clip(x, -threshold, threshold)


@pytree_dataclass
class L1(Penalty):
    """`l1_penalty` with its strength bound.

    Example:
        >>> import jax.numpy as jnp
        >>> print(L1(0.5).prox(jnp.array([2.0, -0.25])))
        [1.5 0. ]
    """

    prox_order = 1

    lambda_: Tree

    def value(self, w: Tree) -> jax.Array:
        return l1_penalty(w, self.lambda_)

    def gradient(self, w: Tree) -> Tree:
        return l1_gradient(w, self.lambda_)

    def prox(self, v: Tree, step_size: Tree = 1.0) -> Tree:
        return l1_prox(v, self.lambda_, step_size)

    def lambda_max(self, gradient_at_zero: Tree) -> jax.Array:
        g = float_tree(gradient_at_zero, complex_ok=True)
        return max_leaves(lambda leaf: jnp.max(jnp.abs(leaf), initial=0), g)
