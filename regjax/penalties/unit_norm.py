"""Unit norm as a penalty: 0 where every `||w||_2` over an axis is 1, infinity elsewhere.

The set is not convex; its projection is `v / ||v||`, with all entries equal where `v` is 0 and
every direction is as near.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp

from regjax._arrays import Tree, float_tree, is_scalar, map_leaves, norms, step_sizes, unit_vectors
from regjax._pytree import pytree_dataclass
from regjax.penalties._groups import Axis
from regjax.penalties._penalty import Constraint


def unit_norm_penalty(w: Tree, axis: Axis) -> jax.Array:
    """Return 0 if `||w||_2 = 1` over `axis` everywhere, up to 16 units of rounding, else infinity.

    Args:
        w: array, or tree of arrays that all have `axis`.
        axis: the axes that a norm runs over; None for whole leaves.

    Example:
        >>> import jax.numpy as jnp
        >>> print(unit_norm_penalty(jnp.array([[0.6, 0.8]]), axis=1))
        0.0
    """

    def excess(x: jax.Array) -> jax.Array:
        near = jnp.abs(norms(x, axis) - 1) <= 16 * jnp.finfo(x.dtype).eps
        return jnp.where(jnp.all(near), 0.0, jnp.inf).astype(x.dtype)

    terms = [excess(x) for x in jax.tree.leaves(float_tree(w))]
    return functools.reduce(jnp.add, terms) if terms else jnp.zeros(())


def unit_norm_prox(v: Tree, axis: Axis) -> Tree:
    """Return the nearest point of unit norm, `v / ||v||_2` over `axis`.

    Example:
        >>> import jax.numpy as jnp
        >>> print(unit_norm_prox(jnp.array([[3.0, 4.0], [0.0, 0.0]]), axis=1).round(3))
        [[0.6   0.8  ]
         [0.707 0.707]]
    """

    def project(x: jax.Array) -> jax.Array:
        norm = norms(x, axis)
        entry = math.sqrt(norm.size / max(x.size, 1))
        return jnp.where(norm == 0, entry, unit_vectors(x, axis))

    return map_leaves(project, float_tree(v))


@pytree_dataclass
class UnitNorm(Constraint):
    """The constraint `||w||_2 = 1` over `axis`, used like any other penalty.

    Example:
        >>> import jax.numpy as jnp
        >>> print(UnitNorm(axis=None).prox(jnp.array([3.0, 4.0])))
        [0.6 0.8]
    """

    axis: Axis = dataclasses.field(metadata={"static": True})

    @property
    def diagonal_prox(self) -> bool:
        return False

    def value(self, w: Tree) -> jax.Array:
        return unit_norm_penalty(w, self.axis)

    def prox(self, v: Tree, step_size: Tree = 1.0) -> Tree:
        v = float_tree(v)
        step_sizes(step_size, v)
        if not is_scalar(step_size):
            raise ValueError(
                "UnitNorm.prox takes one scalar step_size: the sphere is not convex, and with a "
                "step per coordinate its nearest point need not be unique. Use "
                "metric='euclidean'."
            )
        return unit_norm_prox(v, self.axis)
