"""Group lasso: `lambda_ * sum_g weights_g * ||w_g||_2`.

Groups enter and leave together: the block proximal step sets whole groups to exact zero.
The gradient is 0 at a zero group, where the norm has none. Reference: Yuan and Lin (2006),
"Model selection and estimation in regression with grouped variables".
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import (
    Numeric,
    ScaledNorms,
    Tree,
    check_scalar_strength,
    check_strength,
    float_tree,
    is_scalar,
    is_traced,
    map_leaves,
    norm_scale,
    root_of_squares,
    step_sizes,
)
from regjax._pytree import pytree_dataclass
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
    labels = _labels(groups, w, n_groups)
    norms = group_norms(w, labels, n_groups)
    value = lambda_ * jnp.sum(_weights(weights, labels, n_groups) * norms)
    return value.astype(_dtype(w, norms))


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
    labels = _labels(groups, w, n_groups)
    scale, relative = _scaled_group_norms(w, labels, n_groups)
    slopes = lambda_ * _weights(weights, labels, n_groups)
    safe = jnp.where(relative > 0, relative, 1)
    return map_leaves(lambda x, label: slopes[label] * (x / scale[label] / safe[label]), w, labels)


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
    labels = _labels(groups, v, n_groups)
    steps = step_sizes(step_size, v)
    strengths = lambda_ * _weights(weights, labels, n_groups)
    if not is_scalar(step_size):
        return _diagonal_prox(v, strengths, labels, steps)
    norms = group_norms(v, labels, n_groups)
    thresholds = step_size * strengths
    safe = jnp.where(norms > 0, norms, 1)
    factors = jnp.where(norms > thresholds, 1 - thresholds / safe, 0)
    return map_leaves(lambda x, label: x * factors[label], v, labels)


def _diagonal_prox(v: Tree, strengths: jax.Array, labels: Tree, steps: Tree) -> Tree:
    dtype = jnp.result_type(jnp.float32, *jax.tree.leaves(v))
    label = _flat(labels, jnp.int32)
    entries = _flat(v, dtype)
    full_steps = jax.tree.map(lambda x, s: jnp.broadcast_to(s, x.shape), v, steps)
    zeros = jnp.zeros(strengths.shape, dtype)
    scale = norm_scale(zeros.at[label].max(jax.lax.stop_gradient(jnp.abs(entries))))[label]
    entries = entries / scale
    thresholds = _flat(full_steps, dtype) * strengths.astype(dtype)[label] / scale
    norm = secular_root(
        entries,
        thresholds,
        jnp.ones_like(entries),
        total=lambda e: zeros.at[label].add(e),
        largest=lambda e: zeros.at[label].max(e),
        spread=lambda g: g[label],
    )[label]
    # A threshold of 0 leaves the entry alone even where the norm underflows.
    whole = norm + thresholds
    share = jnp.where(whole > 0, norm / jnp.where(whole > 0, whole, 1), 0)
    flat = scale * (entries * share)
    leaves, structure = jax.tree.flatten(v)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    parts = [
        part.reshape(leaf.shape).astype(leaf.dtype)
        for part, leaf in zip(jnp.split(flat, ends), leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, parts)


def _flat(tree: Tree, dtype: Any) -> jax.Array:
    leaves = [jnp.ravel(leaf).astype(dtype) for leaf in jax.tree.leaves(tree)]
    return jnp.concatenate(leaves) if leaves else jnp.zeros(0, dtype)


def group_norms(w: Tree, labels: Tree, n_groups: int) -> jax.Array:
    """Return `||w_g||_2` for every group, shape (n_groups,), with derivative 0 at zero groups.

    Computed in float32 at least; entries are divided by the largest of their group before
    they are squared, so that squares neither overflow nor vanish.

    Example:
        >>> import jax.numpy as jnp
        >>> print(group_norms(jnp.array([3.0, 4.0, 0.0]), jnp.array([0, 0, 1]), 2))
        [5. 0.]
    """
    scale, relative = _scaled_group_norms(w, labels, n_groups)
    return scale * relative


def _scaled_group_norms(w: Tree, labels: Tree, n_groups: int) -> ScaledNorms:
    dtype = jnp.result_type(jnp.float32, *jax.tree.leaves(w))
    entries = [
        (x.astype(dtype), label)
        for x, label in zip(jax.tree.leaves(w), jax.tree.leaves(labels), strict=True)
    ]
    largest = jnp.zeros(n_groups, dtype)
    for x, label in entries:
        largest = largest.at[label].max(jax.lax.stop_gradient(jnp.abs(x)))
    scale = norm_scale(largest)
    squares = jnp.zeros(n_groups, dtype)
    for x, label in entries:
        squares = squares.at[label].add(jnp.square(x / scale[label]))
    return ScaledNorms(scale, root_of_squares(squares))


def _labels(groups: Tree, w: Tree, n_groups: int) -> Tree:
    if not is_traced(groups):
        for label in jax.tree.leaves(groups):
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
        return jax.tree.map(lambda x, label: jnp.broadcast_to(label, x.shape), w, full)
    except ValueError as error:
        raise ValueError(
            "groups must have the structure of w and labels that broadcast to its leaves: "
            f"got {jax.tree.map(jnp.shape, groups)} for {jax.tree.map(jnp.shape, w)}."
        ) from error


def _dtype(w: Tree, norms: jax.Array) -> Any:
    leaves = jax.tree.leaves(w)
    return jnp.result_type(*leaves) if leaves else norms.dtype


def _weights(weights: Any, labels: Tree, n_groups: int) -> jax.Array:
    if weights is not None:
        check_strength(weights, "weights")
        if jnp.shape(weights) != (n_groups,):
            raise ValueError(f"weights must have shape ({n_groups},), got {jnp.shape(weights)}.")
        return jnp.asarray(weights)
    sizes = jnp.zeros(n_groups)
    for label in jax.tree.leaves(labels):
        sizes = sizes.at[label].add(1.0)
    return jnp.sqrt(sizes)


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
    labels = _labels(groups, g, n_groups)
    norms = group_norms(g, labels, n_groups)
    ratio = jnp.where(norms > 0, norms / _weights(weights, labels, n_groups), 0)
    return jnp.max(ratio, initial=0).astype(_dtype(g, norms))
