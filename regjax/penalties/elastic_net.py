"""Elastic net: `lambda_ * (l1_ratio * sum |w| + (1 - l1_ratio) / 2 * sum w^2)`.

`l1_ratio = 1` is the lasso, `l1_ratio = 0` is ridge. Reference: Zou and Hastie (2005),
"Regularization and variable selection via the elastic net", in the parametrisation of
Friedman, Hastie and Tibshirani (2010), equation 2.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from regjax._arrays import (
    Numeric,
    Tree,
    check_strength,
    float_tree,
    is_scalar,
    map_leaves,
    max_leaves,
    strengths,
)
from regjax._pytree import pytree_dataclass
from regjax.penalties._penalty import Penalty
from regjax.penalties.l1 import L1, l1_gradient, l1_penalty, l1_prox
from regjax.penalties.l2 import L2, l2_gradient, l2_penalty, l2_prox


def elastic_net_strengths(lambda_: Tree, l1_ratio: Tree) -> tuple[Tree, Tree]:
    """Return `(lambda_ * l1_ratio, lambda_ * (1 - l1_ratio))`, the L1 and the L2 strength.

    Raises:
        ValueError: if `lambda_` is negative or `l1_ratio` outside [0, 1].

    Example:
        >>> elastic_net_strengths(2.0, 0.25)
        (0.5, 1.5)
    """
    check_strength(lambda_)
    check_strength(l1_ratio, "l1_ratio", largest=1.0)
    if is_scalar(l1_ratio):
        l1 = jax.tree.map(lambda s: s * l1_ratio, lambda_)
        l2 = jax.tree.map(lambda s: s * (1 - l1_ratio), lambda_)
    else:
        strength = strengths(lambda_, l1_ratio)
        l1 = jax.tree.map(lambda s, ratio: s * ratio, strength, l1_ratio)
        l2 = jax.tree.map(lambda s, ratio: s * (1 - ratio), strength, l1_ratio)
    return l1, l2


def elastic_net_penalty(w: Tree, lambda_: Tree, l1_ratio: Tree) -> jax.Array:
    """Return `lambda_ * (l1_ratio * sum |w| + (1 - l1_ratio) / 2 * sum w^2)`, a scalar.

    Args:
        w: array of any shape, or a tree of arrays.
        lambda_: strength >= 0; a scalar, or a tree prefix of `w` with one per subtree.
        l1_ratio: mixing weight in [0, 1]; a scalar, or a tree that `lambda_` is a prefix of.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{elastic_net_penalty(jnp.array([1.0, -2.0]), 0.2, 0.5):.2f}")
        0.55
    """
    l1, l2 = elastic_net_strengths(lambda_, l1_ratio)
    return l1_penalty(w, l1) + l2_penalty(w, l2)


def elastic_net_gradient(w: Tree, lambda_: Tree, l1_ratio: Tree) -> Tree:
    """Return `lambda_ * (l1_ratio * sign(w) + (1 - l1_ratio) * w)`, 0 where `w` is 0.

    Example:
        >>> import jax.numpy as jnp
        >>> print(elastic_net_gradient(jnp.array([1.0, -2.0, 0.0]), 0.2, 0.5))
        [ 0.2 -0.3  0. ]
    """
    l1, l2 = elastic_net_strengths(lambda_, l1_ratio)
    return map_leaves(jnp.add, l1_gradient(w, l1), l2_gradient(w, l2))


def elastic_net_prox(v: Tree, lambda_: Tree, l1_ratio: Tree, step_size: Tree = 1.0) -> Tree:
    """Return `l1_prox(v, lambda_ l1_ratio) / (1 + step_size lambda_ (1 - l1_ratio))`.

    It minimises `sum((w - v)^2 / (2 step_size)) + elastic_net_penalty(w, lambda_, l1_ratio)`
    over `w`. `step_size` may be a scalar, a tree prefix of `v`, or arrays like `v`.

    Example:
        >>> import jax.numpy as jnp
        >>> print(elastic_net_prox(jnp.array([3.0, -0.5]), 2.0, 0.5))
        [1. 0.]
    """
    l1, l2 = elastic_net_strengths(lambda_, l1_ratio)
    return l2_prox(l1_prox(v, l1, step_size), l2, step_size)


@pytree_dataclass
class ElasticNet(Penalty):
    """`elastic_net_penalty` with its strength and mixing weight bound.

    Example:
        >>> import jax.numpy as jnp
        >>> print(ElasticNet(1.0, l1_ratio=0.5).prox(jnp.array([2.0, -0.25])))
        [1. 0.]
    """

    lambda_: Tree
    l1_ratio: Tree = 0.5

    def value(self, w: Tree) -> jax.Array:
        return elastic_net_penalty(w, self.lambda_, self.l1_ratio)

    def gradient(self, w: Tree) -> Tree:
        return elastic_net_gradient(w, self.lambda_, self.l1_ratio)

    def prox(self, v: Tree, step_size: Tree = 1.0) -> Tree:
        return elastic_net_prox(v, self.lambda_, self.l1_ratio, step_size)

    def lambda_max(self, gradient_at_zero: Tree) -> jax.Array:
        """Return `max |gradient_at_zero| / l1_ratio`; infinity at `l1_ratio = 0`."""
        g = float_tree(gradient_at_zero, complex_ok=True)
        ratios = strengths(self.l1_ratio, g, "l1_ratio", largest=1.0)
        return max_leaves(_zero_threshold, g, ratios)

    def parts(self) -> tuple[Penalty, ...]:
        l1, l2 = elastic_net_strengths(self.lambda_, self.l1_ratio)
        return (L1(l1), L2(l2))


def _zero_threshold(g: jax.Array, l1_ratio: Numeric) -> jax.Array:
    largest = jnp.max(jnp.abs(g), initial=0)
    # 0 / 0 would be NaN where there is nothing to hold at zero.
    return jnp.where(largest > 0, largest / l1_ratio, 0.0)
