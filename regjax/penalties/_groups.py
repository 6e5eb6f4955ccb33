"""Groups of weights: reductions over every group, and a number per group back to its weights.

Penalties of groups are written in these operations alone. Then they serve groups along axes and
groups by label, and on sharded weights every reduction is one collective whose size is the number
of groups: shards are reduced where they are, and no leaf is gathered.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import Tree, has_value, norm_scale, root_of_squares

Axis = int | tuple[int, ...] | None
"""Axes of every leaf that a group runs over; None for the whole leaf."""


class Groups(Protocol):
    """A partition of the entries of a tree; numbers per group are an array or a tree."""

    def total(self, entries: Tree) -> Tree:
        """Return the sum of the entries of every group."""

    def largest(self, entries: Tree) -> Tree:
        """Return the largest entry of every group, or 0 if all are negative."""

    def sizes(self, entries: Tree) -> Tree:
        """Return how many entries every group has, as floating-point numbers."""

    def spread(self, numbers: Tree) -> Tree:
        """Return the number of its group for every entry: a tree that broadcasts to entries."""


@dataclasses.dataclass(frozen=True)
class AxisGroups:
    """In every leaf one group per index of the axes that are not in `axis`.

    Example:
        >>> import jax.numpy as jnp
        >>> print(AxisGroups(axis=0).total(jnp.array([[3.0, 0.0], [4.0, 1.0]])))
        [[7. 1.]]
    """

    axis: Axis

    def total(self, entries: Tree) -> Tree:
        return jax.tree.map(lambda x: jnp.sum(x, axis=self.axis, keepdims=True), entries)

    def largest(self, entries: Tree) -> Tree:
        return jax.tree.map(lambda x: jnp.max(x, axis=self.axis, keepdims=True, initial=0), entries)

    def sizes(self, entries: Tree) -> Tree:
        shapes = jax.eval_shape(self.total, entries)
        return jax.tree.map(
            lambda x, s: jnp.full(s.shape, x.size / max(s.size, 1)), entries, shapes
        )

    def spread(self, numbers: Tree) -> Tree:
        return numbers


@dataclasses.dataclass(frozen=True)
class LabelGroups:
    """Entries of one label are one group, in every leaf of the tree.

    Attributes:
        labels: a tree like the entries, of integers in [0, n_groups). Each leaf has as many
            axes as its entries and length 1 along those where the label does not change.
        n_groups: number of groups.

    Example:
        >>> import jax.numpy as jnp
        >>> groups = LabelGroups(jnp.array([[0], [2]]), n_groups=3)
        >>> print(groups.total(jnp.array([[3.0, 1.0], [4.0, 1.0]])))
        [4. 0. 5.]
    """

    labels: Tree
    n_groups: int

    def total(self, entries: Tree) -> jax.Array:
        def reduce(x: jax.Array, label: Any) -> jax.Array:
            sums = jnp.sum(x, axis=_repeated(x, label), keepdims=True)
            return jnp.zeros(self.n_groups, x.dtype).at[label].add(sums)

        return self._over_leaves(reduce, jnp.add, entries)

    def largest(self, entries: Tree) -> jax.Array:
        def reduce(x: jax.Array, label: Any) -> jax.Array:
            peaks = jnp.max(x, axis=_repeated(x, label), keepdims=True, initial=0)
            return jnp.zeros(self.n_groups, x.dtype).at[label].max(peaks)

        return self._over_leaves(reduce, jnp.maximum, entries)

    def sizes(self, entries: Tree) -> jax.Array:
        def count(x: jax.Array, label: Any) -> jax.Array:
            repeats = math.prod(x.shape[axis] for axis in _repeated(x, label))
            if has_value(label):
                # Compilers fold a scatter of constants, which takes them a minute for a large leaf.
                counts = np.bincount(np.ravel(label), minlength=self.n_groups)
                return jnp.asarray(counts * float(repeats))
            return jnp.zeros(self.n_groups).at[label].add(repeats)

        return self._over_leaves(count, jnp.add, entries)

    def spread(self, numbers: jax.Array) -> Tree:
        return jax.tree.map(lambda label: numbers[label], self.labels)

    def _over_leaves(
        self,
        reduce: Callable[[jax.Array, Any], jax.Array],
        combine: Callable[[jax.Array, jax.Array], jax.Array],
        entries: Tree,
    ) -> jax.Array:
        # Leaves are reduced apart and not into one another, so that the compiler can join their
        # collectives into one.
        parts = jax.tree.leaves(jax.tree.map(reduce, entries, self.labels))
        return functools.reduce(combine, parts) if parts else jnp.zeros(self.n_groups)


def _repeated(x: jax.Array, label: Any) -> tuple[int, ...]:
    return tuple(axis for axis in range(x.ndim) if label.shape[axis] != x.shape[axis])


def group_norms(w: Tree, groups: Groups) -> Tree:
    """Return `||w_g||_2` for every group, with derivative 0 at zero groups.

    Computed in float32 at least; entries are divided by the largest of their group before
    they are squared, so that squares neither overflow nor vanish.

    Example:
        >>> import jax.numpy as jnp
        >>> print(group_norms(jnp.array([3.0, 4.0, 0.0]), LabelGroups(jnp.array([0, 0, 1]), 2)))
        [5. 0.]
    """
    scale, relative = scaled_group_norms(w, groups)
    return jax.tree.map(jnp.multiply, scale, relative)


def scaled_group_norms(w: Tree, groups: Groups) -> tuple[Tree, Tree]:
    """Return `||w_g||_2` for every group as two factors, of which neither overflows."""
    w = in_one_dtype(w)
    largest = groups.largest(jax.tree.map(lambda x: jax.lax.stop_gradient(jnp.abs(x)), w))
    scale = jax.tree.map(norm_scale, largest)
    squares = groups.total(jax.tree.map(lambda x, a: jnp.square(x / a), w, groups.spread(scale)))
    return scale, jax.tree.map(root_of_squares, squares)


def in_one_dtype(w: Tree) -> Tree:
    """Return `w` with all leaves in their common dtype, float32 at least."""
    dtype = jnp.result_type(jnp.float32, *jax.tree.leaves(w))
    return jax.tree.map(lambda x: x.astype(dtype), w)
