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
    Tree,
    check_scalar_strength,
    check_strength,
    float_tree,
    is_scalar,
    is_traced,
    map_leaves,
)
from regjax.penalties._penalty import Penalty


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
    norms = group_norms(w, labels, n_groups)
    slopes = lambda_ * _weights(weights, labels, n_groups)
    safe = jnp.where(norms > 0, norms, 1)
    return map_leaves(lambda x, label: slopes[label] * (x / safe[label]), w, labels)


def group_lasso_prox(
    v: Tree,
    lambda_: Numeric,
    groups: Tree,
    n_groups: int,
    weights: Any = None,
    step_size: Numeric = 1.0,
) -> Tree:
    """Return `v_g * max(1 - step_size lambda_ weights_g / ||v_g||, 0)` for every group.

    It minimises `||w - v||^2 / (2 step_size) + group_lasso_penalty(w, ...)` over `w`.

    Args:
        step_size: a scalar; a group cannot be thresholded in closed form with one step per
            coordinate.

    Raises:
        ValueError: if `step_size` is not a scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> v = jnp.array([3.0, 4.0, 0.3, 0.4])
        >>> groups = jnp.array([0, 0, 1, 1])
        >>> print(group_lasso_prox(v, 1.0, groups, 2, weights=jnp.ones(2)))
        [2.4 3.2 0.  0. ]
    """
    check_scalar_strength(lambda_)
    check_strength(step_size, "step_size")
    if not is_scalar(step_size):
        raise ValueError(
            "GroupLasso.prox takes one scalar step_size: with a step per coordinate the block "
            "threshold has no closed form. Use metric='euclidean', or the largest step."
        )
    v = float_tree(v)
    labels = _labels(groups, v, n_groups)
    norms = group_norms(v, labels, n_groups)
    thresholds = step_size * lambda_ * _weights(weights, labels, n_groups)
    safe = jnp.where(norms > 0, norms, 1)
    factors = jnp.where(norms > thresholds, 1 - thresholds / safe, 0)
    return map_leaves(lambda x, label: x * factors[label], v, labels)


def group_norms(w: Tree, labels: Tree, n_groups: int) -> jax.Array:
    """Return `||w_g||_2` for every group, shape (n_groups,), with derivative 0 at zero groups.

    Computed in float32 at least; entries are divided by the largest of their group before
    they are squared, so that squares neither overflow nor vanish.

    Example:
        >>> import jax.numpy as jnp
        >>> print(group_norms(jnp.array([3.0, 4.0, 0.0]), jnp.array([0, 0, 1]), 2))
        [5. 0.]
    """
    dtype = jnp.result_type(jnp.float32, *jax.tree.leaves(w))
    entries = [
        (x.astype(dtype), label)
        for x, label in zip(jax.tree.leaves(w), jax.tree.leaves(labels), strict=True)
    ]
    largest = jnp.zeros(n_groups, dtype)
    for x, label in entries:
        largest = largest.at[label].max(jax.lax.stop_gradient(jnp.abs(x)))
    scale = jnp.where(largest > 0, largest, 1)
    squares = jnp.zeros(n_groups, dtype)
    for x, label in entries:
        squares = squares.at[label].add(jnp.square(x / scale[label]))
    # The square root's derivative at 0 is infinite; both branches must be finite.
    safe = jnp.where(squares > 0, squares, 1)
    return jnp.where(squares > 0, scale * jnp.sqrt(safe), 0)


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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
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

    @property
    def separable(self) -> bool:
        return False

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
