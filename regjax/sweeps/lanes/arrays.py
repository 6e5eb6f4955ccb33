"""Trees of arrays as bytes, in the safetensors format: nothing is executed when they are read."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from regjax._arrays import Tree

_DTYPES = {
    "BOOL": np.dtype(bool),
    "BF16": np.dtype(jax.numpy.bfloat16),
    **{f"F{8 * size}": np.dtype(f"f{size}") for size in (2, 4, 8)},
    **{f"I{8 * size}": np.dtype(f"i{size}") for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": np.dtype(f"u{size}") for size in (1, 2, 4, 8)},
}


def named_leaves(tree: Tree) -> tuple[dict[str, Any], Any]:
    """Return the leaves by their path, `layers/0/weight`, and the structure of the tree.

    A tree that is one leaf has the path `value`.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    named = {
        jax.tree_util.keystr(path, simple=True, separator="/") or "value": leaf
        for path, leaf in paths
    }
    if len(named) < len(paths):
        raise ValueError("Two leaves of a tree have one path: a key holds a slash.")
    return named, structure


def to_bytes(tree: Tree) -> bytes:
    """Return the arrays of a tree as bytes; random keys as their data."""
    leaves, _ = named_leaves(tree)
    return safetensors.numpy.save({name: host_array(leaf) for name, leaf in leaves.items()})


def arrays_from(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays by path, in the order of their names.

    Raises:
        ValueError: if the bytes are torn.
    """
    try:
        stored = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"arrays are torn: {error}") from error
    # safetensors.numpy.load knows no bfloat16.
    return {
        name: np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
        # They are stored in no certain order, and columns of tables follow from it.
        for name, entry in sorted(stored, key=lambda item: item[0])
    }


def restored(arrays: dict[str, np.ndarray], like: Tree) -> Tree:
    """Return the tree that these arrays by path make up: structure, shapes and dtypes of `like`.

    Raises:
        ValueError: if they are other arrays.
    """
    leaves, structure = named_leaves(like)
    found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    if found != {name: _kind(leaf) for name, leaf in leaves.items()}:
        raise ValueError("stored arrays do not fit what the program makes")
    ordered = [_restore(arrays[name], leaf) for name, leaf in leaves.items()]
    return jax.tree.unflatten(structure, ordered)


def _is_key(leaf: Any) -> bool:
    # A plain number has no dtype.
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)


def host_array(leaf: Any) -> np.ndarray:
    """Return an array as NumPy has it; random keys as their data."""
    array = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
    return np.ascontiguousarray(array).reshape(array.shape)


def _kind(leaf: Any) -> tuple[tuple[int, ...], np.dtype]:
    data = jax.random.key_data(leaf) if _is_key(leaf) else leaf
    return data.shape, np.dtype(data.dtype)


def _restore(array: np.ndarray, like: Any) -> Any:
    if _is_key(like):
        return jax.random.wrap_key_data(jax.numpy.asarray(array), impl=jax.random.key_impl(like))
    return array
