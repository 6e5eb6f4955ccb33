"""Group lasso: `lambda_ * sum_g weights_g * ||w_g||_2`.

Groups enter and leave together: the block proximal step sets whole groups to exact zero.
The gradient is 0 at a zero group, where the norm has none. Reference: Yuan and Lin (2006),
"Model selection and estimation in regression with grouped variables".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import (
    Numeric,
    Tree,
    check_scalar_strength,
    check_strength,
    float_tree,
    has_value,
    is_scalar,
    map_leaves,
    norm_scale,
    step_sizes,
)
from regjax._pytree import pytree_dataclass
from regjax._sharding import with_automatic_axes
from regjax.penalties._groups import LabelGroups, group_norms, in_one_dtype, scaled_group_norms
from regjax.penalties._penalty import Penalty
from regjax.penalties._secular import secular_root


def group_lasso_penalty(
    w: Tree, lambda_: Numeric, groups: Tree, n_groups: int, weights: Any = None
) -> jax.Array:
    """Return `lambda_ * sum_g weights_g * ||w_g||_2`, a scalar.

    Args:
        w: array of any shape, or a tree of arrays.
        lambda_: strength >= 0, a scalar.
        groups: integer labels in [0, n_groups), broadcastable to `w`; a tree like `w` where
            that is a tree, and then a label means the same group in every leaf. For rows of
            a matrix, `jnp.arange(n_rows)[:, None]`.
        n_groups: number of groups, a static integer.
        weights: array (n_groups,) of group weights; the square root of the group sizes
            unless given.

    Raises:
        ValueError: if labels are outside [0, n_groups) or shapes do not fit. Traced labels
            cannot be looked at; those outside are dropped.

    Example:
        >>> import jax.numpy as jnp
        >>> w = jnp.array([3.0, 4.0, 0.0, 0.0])
        >>> groups = jnp.array([0, 0, 1, 1])
        >>> print(group_lasso_penalty(w, 2.0, groups, 2, weights=jnp.ones(2)))
        10.0
    """
    check_scalar_strength(lambda_)
    w = float_tree(w)

    def value(w: Tree, labels: Tree, weights: Any, lambda_: Numeric) -> jax.Array:
        of_w = LabelGroups(_lifted(labels, w), n_groups)
        norms = group_norms(w, of_w)
        total = lambda_ * jnp.sum(_weights(weights, of_w, w) * norms)
        return total.astype(_dtype(w, norms))

    return _on_shards(value, None, w, groups, n_groups, weights, lambda_)


def group_lasso_gradient(
    w: Tree, lambda_: Numeric, groups: Tree, n_groups: int, weights: Any = None
) -> Tree:
    """Return `lambda_ * weights_g * w_g / ||w_g||_2`, 0 at zero groups.

    Arguments are those of `group_lasso_penalty`.

    Example:
        >>> import jax.numpy as jnp
        >>> w = jnp.array([3.0, 4.0, 0.0, 0.0])
        >>> groups = jnp.array([0, 0, 1, 1])
        >>> print(group_lasso_gradient(w, 1.0, groups, 2, weights=jnp.ones(2)))
        [0.6 0.8 0.  0. ]
    """
    check_scalar_strength(lambda_)
    w = float_tree(w)

    def gradient(w: Tree, labels: Tree, weights: Any, lambda_: Numeric) -> Tree:
        of_w = LabelGroups(_lifted(labels, w), n_groups)
        scale, relative = scaled_group_norms(w, of_w)
        slopes = lambda_ * _weights(weights, of_w, w)
        safe = jnp.where(relative > 0, relative, 1)
        per_group = (slopes, scale, safe)
        return map_leaves(lambda x, s, a, b: s * (x / a / b), w, *map(of_w.spread, per_group))

    return _on_shards(gradient, w, w, groups, n_groups, weights, lambda_)


def group_lasso_prox(
    v: Tree,
    lambda_: Numeric,
    groups: Tree,
    n_groups: int,
    weights: Any = None,
    step_size: Tree = 1.0,
) -> Tree:
    """Return `v_g * max(1 - step_size lambda_ weights_g / ||v_g||, 0)` for every group.

    It minimises `||w - v||^2 / (2 step_size) + group_lasso_penalty(w, ...)` over `w`.

    With one step size per coordinate it minimises `sum((w - v)^2 / (2 step_size)) + ...`: a
    group is 0 if `||v_g / step_size_g|| <= lambda_ weights_g`, and else
    `v_g t / (t + step_size_g lambda_ weights_g)` with `t = ||w_g||`, the root of one equation per
    group, found by Newton's method.

    Args:
        step_size: a scalar, or a tree prefix of `v` of scalars and arrays like its leaves.

    Example:
        >>> import jax.numpy as jnp
        >>> v = jnp.array([3.0, 4.0, 0.3, 0.4])
        >>> groups = jnp.array([0, 0, 1, 1])
        >>> print(group_lasso_prox(v, 1.0, groups, 2, weights=jnp.ones(2)))
        [2.4 3.2 0.  0. ]
    """
    check_scalar_strength(lambda_)
    v = float_tree(v)
    steps = step_sizes(step_size, v)

    def prox(v: Tree, labels: Tree, weights: Any, lambda_: Numeric, steps: Tree) -> Tree:
        of_v = LabelGroups(_lifted(labels, v), n_groups)
        strengths = lambda_ * _weights(weights, of_v, v)
        if is_scalar(step_size):
            return _scalar_prox(v, steps * strengths, of_v)
        return _diagonal_prox(v, strengths, steps, of_v)

    given = step_size if is_scalar(step_size) else steps
    return _on_shards(prox, v, v, groups, n_groups, weights, lambda_, given)


def _scalar_prox(v: Tree, thresholds: jax.Array, groups: LabelGroups) -> Tree:
    norms = group_norms(v, groups)
    safe = jnp.where(norms > 0, norms, 1)
    factors = jnp.where(norms > thresholds, 1 - thresholds / safe, 0)
    return map_leaves(jnp.multiply, v, groups.spread(factors))


def _diagonal_prox(v: Tree, strengths: jax.Array, steps: Tree, groups: LabelGroups) -> Tree:
    wide = in_one_dtype(v)
    sizes = groups.largest(jax.tree.map(lambda x: jax.lax.stop_gradient(jnp.abs(x)), wide))
    scale = groups.spread(norm_scale(sizes))
    entries = jax.tree.map(jnp.divide, wide, scale)
    thresholds = jax.tree.map(
        lambda x, step, c, a: jnp.asarray(step, x.dtype) * c.astype(x.dtype) / a,
        wide,
        steps,
        groups.spread(strengths),
        scale,
    )
    ones = jax.tree.map(lambda x: jnp.ones((), x.dtype), wide)
    norms = groups.spread(secular_root(entries, thresholds, ones, groups))

    def shrink(
        _: jax.Array, x: jax.Array, c: jax.Array, norm: jax.Array, a: jax.Array
    ) -> jax.Array:
        # A threshold of 0 leaves the entry alone even where the norm underflows.
        whole = norm + c
        return a * (x * jnp.where(whole > 0, norm / jnp.where(whole > 0, whole, 1), 0))

    return map_leaves(shrink, v, entries, thresholds, norms, scale)


def _on_shards(
    function: Callable[..., Tree],
    like: Tree,
    w: Tree,
    groups: Tree,
    n_groups: int,
    weights: Any,
    *strengths: Tree,
) -> Tree:
    """Check groups and weights, and return `function(w, labels, weights, *strengths)`."""
    if weights is not None:
        check_strength(weights, "weights")
        if jnp.shape(weights) != (n_groups,):
            raise ValueError(f"weights must have shape ({n_groups},), got {jnp.shape(weights)}.")
    labels = _labels(groups, w, n_groups)
    return with_automatic_axes(function, like, w, labels, weights, *strengths)


def _labels(groups: Tree, w: Tree, n_groups: int) -> Tree:
    """Return the labels of every leaf, which broadcast to it."""
    for label in jax.tree.leaves(groups):
        if not has_value(label):
            continue
        label = np.asarray(label)
        if not np.issubdtype(label.dtype, np.integer):
            raise ValueError(f"groups must be integer labels, got dtype {label.dtype}.")
        if label.size and (label.min() < 0 or label.max() >= n_groups):
            raise ValueError(
                f"groups must lie in [0, n_groups) = [0, {n_groups}), got labels from "
                f"{label.min()} to {label.max()}."
            )
    try:
        full = jax.tree.broadcast(groups, w)
        # Only the shapes: the labels themselves stay short along the axes that they do not name.
        jax.tree.map(
            lambda x, label: np.broadcast_to(np.empty(jnp.shape(label), bool), x.shape), w, full
        )
    except ValueError as error:
        raise ValueError(
            "groups must have the structure of w and labels that broadcast to its leaves: "
            f"got {jax.tree.map(jnp.shape, groups)} for {jax.tree.map(jnp.shape, w)}."
        ) from error
    return full


def _lifted(labels: Tree, w: Tree) -> Tree:
    """Return labels with as many axes as their leaves."""

    def lift(x: jax.Array, label: Any) -> Any:
        shape = (1,) * (x.ndim - np.ndim(label)) + np.shape(label)
        return np.reshape(label, shape) if has_value(label) else jnp.reshape(label, shape)

    return jax.tree.map(lift, w, labels)


def _dtype(w: Tree, norms: jax.Array) -> Any:
    leaves = jax.tree.leaves(w)
    return jnp.result_type(*leaves) if leaves else norms.dtype


def _weights(weights: Any, groups: LabelGroups, w: Tree) -> jax.Array:
    return jnp.sqrt(groups.sizes(w)) if weights is None else jnp.asarray(weights)


@pytree_dataclass
class GroupLasso(Penalty):
    """`group_lasso_penalty` with its strength and groups bound.

    Example:
        >>> import jax.numpy as jnp
        >>> columns_of_two_units = jnp.array([0, 1])
        >>> penalty = GroupLasso(1.0, columns_of_two_units, n_groups=2)
        >>> kernel = jnp.array([[3.0, 0.1], [4.0, 0.2]])
        >>> print((penalty.prox(kernel) != 0).any(axis=0))
        [ True False]
    """

    prox_order = 2

    lambda_: Numeric
    groups: Tree
    n_groups: int = dataclasses.field(metadata={"static": True})
    weights: Any = None

    def value(self, w: Tree) -> jax.Array:
        return group_lasso_penalty(w, self.lambda_, self.groups, self.n_groups, self.weights)

    def gradient(self, w: Tree) -> Tree:
        return group_lasso_gradient(w, self.lambda_, self.groups, self.n_groups, self.weights)

    def prox(self, v: Tree, step_size: Tree = 1.0) -> Tree:
        return group_lasso_prox(
            v, self.lambda_, self.groups, self.n_groups, self.weights, step_size
        )

    def lambda_max(self, gradient_at_zero: Tree) -> jax.Array:
        return group_lasso_lambda_max(gradient_at_zero, self.groups, self.n_groups, self.weights)


def group_lasso_lambda_max(
    gradient_at_zero: Tree, groups: Tree, n_groups: int, weights: Any = None
) -> jax.Array:
    """Return `max_g ||gradient_g|| / weights_g`; groups of weight 0 with a gradient give infinity.

    Example:
        >>> import jax.numpy as jnp
        >>> g = jnp.array([3.0, 4.0, 1.0])
        >>> print(group_lasso_lambda_max(g, jnp.array([0, 0, 1]), 2, weights=jnp.ones(2)))
        5.0
    """
    g = float_tree(gradient_at_zero)

    def entry(g: Tree, labels: Tree, weights: Any) -> jax.Array:
        of_g = LabelGroups(_lifted(labels, g), n_groups)
        norms = group_norms(g, of_g)
        ratio = jnp.where(norms > 0, norms / _weights(weights, of_g, g), 0)
        return jnp.max(ratio, initial=0).astype(_dtype(g, norms))

    return _on_shards(entry, None, g, groups, n_groups, weights)
