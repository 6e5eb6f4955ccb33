"""Explicit sharding, where JAX makes the layout of every array a part of its type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from regjax._arrays import Tree


def with_automatic_axes(function: Callable[..., Tree], like: Tree, *arguments: Tree) -> Tree:
    """Return `function(*arguments)`, which may combine arrays of any explicit shardings.

    JAX refuses to scatter, gather or contract along an explicitly sharded axis, because the
    layout of the result would be a guess. Here the compiler chooses the layouts inside, as it
    does on automatic axes, and the result is laid out as `like`. Without explicit axes this is
    a plain call. It maps and differentiates like any other.

    Args:
        function: must take every array that it uses as an argument.
        like: a tree like the result, or a prefix of it, of arrays whose shardings the result
            takes; None where it is to be replicated.
        arguments: arrays and numbers, or trees of them.
    """
    explicit = next(filter(_is_explicit, jax.tree.leaves((like, arguments))), None)
    if explicit is None:
        return function(*arguments)
    mesh = jax.typeof(explicit).sharding.mesh
    shardings = jax.tree.map(
        lambda leaf: NamedSharding(mesh, _spec(leaf)), like, is_leaf=lambda leaf: leaf is None
    )
    leaves, structure = jax.tree.flatten(arguments)
    # Constants have no layout to give up; inside, they can still be looked at.
    varying = [isinstance(x, jax.core.Tracer) or _is_explicit(x) for x in leaves]

    def call(*given: Any) -> Tree:
        values = iter(given)
        full = [next(values) if on else x for x, on in zip(leaves, varying, strict=True)]
        return function(*jax.tree.unflatten(structure, full))

    automatic = jax.sharding.auto_axes(call, axes=mesh.explicit_axes, out_sharding=shardings)
    return automatic(*(x for x, on in zip(leaves, varying, strict=True) if on))


def _is_explicit(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and (
        AxisType.Explicit in jax.typeof(leaf).sharding.mesh.axis_types
    )


def _spec(leaf: Any) -> PartitionSpec:
    return jax.typeof(leaf).sharding.spec if _is_explicit(leaf) else PartitionSpec()
