"""Arrays and trees as the traced cores see them: checks, dtypes, strengths per leaf."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import chex
import jax
import jax.numpy as jnp
import numpy as np

Tree = Any
"""An array, or any pytree of arrays."""

Numeric: TypeAlias = chex.Numeric
"""A Python number, a NumPy scalar or a (possibly traced) scalar array."""


def check_strength(
    value: Tree, name: str = "lambda_", *, largest: float = np.inf, computed_ok: bool = False
) -> None:
    """Raise unless every number in `value` is finite and in [0, largest].

    Tracers pass: inside a trace they have no value. With `computed_ok` all arrays of JAX do.
    """
    for number in jax.tree.leaves(value):
        kind = np.dtype(getattr(number, "dtype", type(number))).kind
        if kind not in "iufV":
            raise TypeError(f"{name} must be a number, real and not a truth value, got {number!r}.")
        if not has_value(number) or (computed_ok and isinstance(number, jax.Array)):
            continue
        number = np.asarray(number)
        if not np.all(np.isfinite(number)):
            raise ValueError(f"{name} must be finite, got {number}.")
        if np.any(np.less(number, 0)) or np.any(np.greater(number, largest)):
            bound = "at least 0" if largest == np.inf else f"between 0 and {largest:g}"
            raise ValueError(f"{name} must be {bound}, got {number}.")


def float_array(leaf: Any, *, complex_ok: bool = False) -> jax.Array:
    """Return `leaf` as a floating-point array; integers become the default float."""
    if not isinstance(leaf, jax.Array | np.ndarray | np.generic | int | float | complex):
        raise TypeError(
            f"A leaf of type {type(leaf).__name__} is no array. Drop such leaves first, for "
            "example with equinox.filter(model, equinox.is_inexact_array), or select leaves "
            "with a mask (regjax.masks)."
        )
    array = jnp.asarray(leaf)
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        raise TypeError(
            "A leaf is a random key and no weight. Drop such leaves first, or select leaves with a "
            "mask (regjax.masks)."
        )
    if jnp.issubdtype(array.dtype, jnp.complexfloating) and not complex_ok:
        raise TypeError(
            "Complex weights are not supported here. Leave them out with a mask, such as "
            "masks.weights & masks.by_predicate(lambda path, leaf: not jnp.iscomplexobj(leaf)), "
            "or split them into real and imaginary parts."
        )
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        array = array.astype(jnp.result_type(float))
    return array


def float_tree(tree: Tree, *, complex_ok: bool = False) -> Tree:
    """Return `tree` with every leaf as a floating-point array, real unless `complex_ok`."""
    return jax.tree.map(lambda leaf: float_array(leaf, complex_ok=complex_ok), tree)


def real_dtype(leaf: jax.Array) -> Any:
    """Return the dtype of the leaf's magnitudes."""
    is_complex = jnp.issubdtype(leaf.dtype, jnp.complexfloating)
    return jnp.finfo(leaf.dtype).dtype if is_complex else leaf.dtype


def has_value(number: Any) -> bool:
    """Return whether the number can be looked at: a tracer or a remote array cannot."""
    if isinstance(number, jax.Array):
        return not isinstance(number, jax.core.Tracer) and number.is_fully_addressable
    return isinstance(number, int | float | np.number | np.ndarray)


def is_known_zero(number: Any) -> bool:
    """Return whether the number, or every number of an array, has a value and it is 0."""
    return has_value(number) and not np.any(np.asarray(number))


def check_finite(array: jax.Array, name: str) -> None:
    """Raise if `array` holds NaN or infinity; a tracer passes."""
    if not isinstance(array, jax.core.Tracer) and not np.isfinite(np.asarray(array)).all():
        raise ValueError(f"{name} holds NaN or infinity; remove those rows or fill them in first.")


def check_positive(value: Tree, name: str) -> None:
    """Raise unless every Python or NumPy number in `value` is finite and above 0."""
    check_strength(value, name)
    for number in jax.tree.leaves(value):
        if has_value(number) and np.any(np.equal(np.asarray(number), 0)):
            raise ValueError(f"{name} must be positive, got {number}.")


def broadcast_prefix(prefix: Tree, tree: Tree, name: str) -> Tree:
    try:
        return jax.tree.broadcast(prefix, tree)
    except ValueError as error:
        raise ValueError(
            f"{name} must be a scalar or a tree prefix of the weights (one value per subtree); "
            f"its structure {jax.tree.structure(prefix)} is no prefix of "
            f"{jax.tree.structure(tree)}."
        ) from error


def check_scalar_strength(value: Numeric, name: str = "lambda_") -> None:
    """Raise unless `value` is one valid strength and not a tree or an array of several."""
    check_strength(value, name)
    if not is_scalar(value):
        raise ValueError(
            f"{name} must be one scalar, got shapes {jax.tree.map(jnp.shape, value)}. To try "
            "several strengths at once, map over them with jax.vmap."
        )


def strengths(prefix: Tree, tree: Tree, name: str = "lambda_", *, largest: float = np.inf) -> Tree:
    """Return a tree like `tree` holding the scalar strength of each leaf."""
    check_strength(prefix, name, largest=largest)
    full = broadcast_prefix(prefix, tree, name)
    for leaf in jax.tree.leaves(full):
        if jnp.ndim(leaf) != 0:
            raise ValueError(
                f"{name} must be one scalar per leaf, got shape {jnp.shape(leaf)}. To try "
                "several strengths at once, map over them: "
                "jax.vmap(lambda strength: penalty(w, strength))(strengths)."
            )
    return full


def step_sizes(prefix: Tree, tree: Tree) -> Tree:
    """Return a tree like `tree` of step sizes, each a scalar or an array like its leaf."""
    # Arrays of JAX may come from gradients: NaN in them shows in the result, eagerly as in
    # compiled programs.
    check_strength(prefix, "step_size", computed_ok=True)
    full = broadcast_prefix(prefix, tree, "step_size")
    for step, leaf in zip(jax.tree.leaves(full), jax.tree.leaves(tree), strict=True):
        if jnp.ndim(step) != 0 and jnp.shape(step) != jnp.shape(leaf):
            raise ValueError(
                f"step_size must be a scalar or have the shape of v: got {jnp.shape(step)} "
                f"for a leaf of shape {jnp.shape(leaf)}."
            )
    return full


class ScaledNorms(NamedTuple):
    """Euclidean norms as products `scale * relative`, of which neither factor overflows."""

    scale: jax.Array
    relative: jax.Array


def norm_scale(largest: jax.Array) -> jax.Array:
    """Return what entries are divided by before they are squared, from their largest magnitudes.

    It and its reciprocal are normal numbers: compilers multiply by the reciprocal, and flush
    subnormal numbers to 0. It is 1 where all entries are 0.
    """
    tiny = float(jnp.finfo(largest.dtype).tiny)
    return jnp.where(largest > 0, jnp.clip(largest, tiny, 0.25 / tiny), 1)


def root_of_squares(squares: jax.Array) -> jax.Array:
    """Return the square root, with derivative 0 at 0, where that of the root is infinite."""
    # Both branches must be finite.
    return jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))


def scaled_norms(x: jax.Array, axis: int | tuple[int, ...] | None) -> ScaledNorms:
    """Return `||x||_2` over `axis`, which keeps length 1, as a product; see `norms`."""
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    if not all(-x.ndim <= a < x.ndim for a in axes):
        raise ValueError(
            f"A leaf of shape {x.shape} has no axis {axis}. Mask leaves of other shapes out "
            "(regjax.masks.by_ndim)."
        )
    x = widen(x)
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=axis, keepdims=True, initial=0))
    scale = norm_scale(largest)
    squares = jnp.sum(jnp.square(x / scale), axis=axis, keepdims=True)
    return ScaledNorms(scale, root_of_squares(squares))


def norms(x: jax.Array, axis: int | tuple[int, ...] | None) -> jax.Array:
    """Return `||x||_2` over `axis`, which keeps length 1, with derivative 0 at zeros.

    Computed in float32 at least; entries are divided by the largest before they are squared,
    so that squares neither overflow nor vanish. A norm above the largest number is infinite.
    """
    scale, relative = scaled_norms(x, axis)
    return scale * relative


def tree_norm(tree: Tree) -> jax.Array:
    """Return the `||.||_2` of all entries of all leaves together, a scalar."""
    leaves = [norms(leaf, None).ravel() for leaf in jax.tree.leaves(tree)]
    return norms(jnp.concatenate(leaves), None)[0] if leaves else jnp.zeros(())


def unit_vectors(x: jax.Array, axis: int | tuple[int, ...] | None) -> jax.Array:
    """Return `x / ||x||_2` over `axis`, in float32 at least, and 0 where `x` is 0."""
    scale, relative = scaled_norms(x, axis)
    return widen(x) / scale / jnp.where(relative > 0, relative, 1)


def is_scalar(tree: Tree) -> bool:
    """Return whether `tree` is a single scalar and not a tree or an array of several."""
    return jax.tree_util.all_leaves([tree]) and jnp.ndim(tree) == 0


def map_leaves(function: Callable[..., jax.Array], tree: Tree, *rest: Tree) -> Tree:
    """Apply `function` leaf by leaf and cast each result to the dtype of the first leaf."""
    return jax.tree.map(lambda leaf, *r: function(leaf, *r).astype(leaf.dtype), tree, *rest)


def widen(leaf: jax.Array) -> jax.Array:
    """Return `leaf` in float32 at least: sums of many short floats need the room."""
    return leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))


def sum_leaves(function: Callable[..., jax.Array], tree: Tree, *rest: Tree) -> jax.Array:
    """Return the sum over leaves of the real scalars `function(leaf, ...)`, in the leaves' dtype.

    The function sees each leaf in float32 at least.
    """
    terms = jax.tree.leaves(
        jax.tree.map(
            lambda leaf, *r: function(widen(leaf), *r).astype(real_dtype(leaf)), tree, *rest
        )
    )
    return functools.reduce(jnp.add, terms) if terms else jnp.zeros(())


def max_leaves(function: Callable[..., jax.Array], tree: Tree, *rest: Tree) -> jax.Array:
    """Return the largest of the real scalars `function(leaf, ...)`, in the leaves' dtype."""
    terms = jax.tree.leaves(
        jax.tree.map(lambda leaf, *r: function(leaf, *r).astype(real_dtype(leaf)), tree, *rest)
    )
    return functools.reduce(jnp.maximum, terms) if terms else jnp.zeros(())


def is_traced(*trees: Tree) -> bool:
    """Return whether any leaf is a tracer, that is whether a JAX transformation is at work."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees))
