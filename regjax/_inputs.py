"""Data from the caller's hands: arrays checked before any work starts."""

from __future__ import annotations

import os
import pathlib
import re
import sys
from typing import Any

import numpy as np

from regjax._messages import listed, quoted

# Path() makes one slash of two. A single letter is a drive.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def is_address(text: str) -> bool:
    """Return whether a text is an address such as gs://bucket/run, and no path."""
    return _URL.match(text) is not None


def local_path(path: Any, name: str) -> pathlib.Path:
    """Return a path of the file system.

    Raises:
        ValueError: for an address such as gs://bucket/run, and for what is no path.
    """
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise ValueError(f"{name} must be a path, got {quoted(path)}.")
    text = os.fspath(path)
    if not text or is_address(text) or "\0" in text:
        raise ValueError(
            f"{name} must be a path of this machine's file system, got {quoted(text)}: write to a "
            "local or a mounted folder, and copy what was written."
        )
    return pathlib.Path(text)


def as_matrix(X: Any, name: str = "X") -> np.ndarray:
    """Return `X` as a finite NumPy matrix; float32 stays, everything else becomes float64.

    Raises:
        TypeError: if it is traced or not numeric.
        ValueError: if it has not two dimensions, is empty, or holds NaN or infinity.
    """
    array = _as_float(X, name)
    if array.ndim != 2:
        hint = f"; for a single feature use {name}.reshape(-1, 1)" if array.ndim == 1 else ""
        raise ValueError(
            f"{name} must have shape (n_samples, n_features), got {array.shape}{hint}."
        )
    if 0 in array.shape:
        raise ValueError(f"{name} is empty: its shape is {array.shape}.")
    # One sum tells most of the time; where it is not finite, a column may still be.
    with np.errstate(over="ignore", invalid="ignore"):
        clean = np.isfinite(array.sum())
    bad = np.zeros(0, dtype=bool) if clean else ~np.isfinite(array).all(axis=0)
    if bad.any():
        columns = np.flatnonzero(bad)[:10].tolist()
        raise ValueError(
            f"{name} holds NaN or infinity in column(s) {columns}; remove those rows or fill "
            "the values in first."
        )
    return array


def belongs_to_jax(*values: Any) -> bool:
    """Return whether a value is traced, or an array on an accelerator.

    Beside a sparse matrix arrays count as the host's, which is where sparse matrices are solved.
    """
    # Only a program that has loaded jax can hold its arrays.
    jax = sys.modules.get("jax")
    if jax is None:
        return False
    leaves = jax.tree.leaves(values)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
        return True
    return not any(hasattr(value, "todense") for value in values) and any(
        isinstance(leaf, jax.Array) and {d.platform for d in leaf.devices()} != {"cpu"}
        for leaf in leaves
    )


def namespace(*values: Any) -> tuple[Any, bool]:
    """Return `jax.numpy` for arrays of JAX, else `numpy`, and whether a value is traced."""
    jax = sys.modules.get("jax")
    if jax is None or not any(isinstance(value, jax.Array) for value in values):
        return np, False
    return jax.numpy, any(isinstance(value, jax.core.Tracer) for value in values)


def refuse_traced(**values: Any) -> None:
    """Raise TypeError if a value is traced, or holds what is; by name."""
    jax = sys.modules.get("jax")
    if jax is None:
        return
    for name, value in values.items():
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)):
            raise TypeError(
                f"{name} is traced: this function runs eagerly. Inside jit and vmap use "
                "regjax.elastic_net_path or regjax.solvers."
            )


def feature_names(X: Any) -> tuple[str, ...] | None:
    """Return the column names of a data frame, or None for anything without.

    Example:
        >>> import polars as pl
        >>> feature_names(pl.DataFrame({"age": [1.0], "bmi": [2.0]}))
        ('age', 'bmi')
    """
    labels = _labels(X)
    return None if labels is None else tuple(str(label) for label in labels)


def in_order(X: Any, names: tuple[str, ...] | None) -> Any:
    """Return the columns `names` of a data frame, in this order; anything without names as it is.

    Raises:
        ValueError: if a column is missing.

    Example:
        >>> import polars as pl
        >>> in_order(pl.DataFrame({"bmi": [2.0], "sex": [1], "age": [1.0]}), ("age", "bmi")).row(0)
        (1.0, 2.0)
    """
    labels = _labels(X)
    if names is None or labels is None or tuple(map(str, labels)) == names:
        return X
    by_name = {str(label): label for label in labels}
    absent = [name for name in names if name not in by_name]
    if absent:
        raise ValueError(
            f"X lacks the column(s) {listed(absent)}; columns are found by name: rename them, or "
            "give a matrix without names."
        )
    chosen = [by_name[name] for name in names]
    return X.select(chosen) if hasattr(X, "column_names") else X[chosen]


def _labels(X: Any) -> Any:
    # Tables of Arrow have their data, not their names, in `columns`.
    return getattr(X, "column_names", getattr(X, "columns", None))


def as_response(y: Any, n_samples: int, dtype: np.dtype) -> np.ndarray:
    """Return `y` as a finite NumPy vector of `n_samples` entries.

    Raises:
        TypeError: if it is traced or not numeric.
        ValueError: if its shape does not fit, or it holds NaN or infinity.
    """
    array = _as_float(y, "y")
    if array.ndim != 1:
        raise ValueError(f"y must have shape (n_samples,), got {array.shape}; use y.ravel().")
    if array.shape[0] != n_samples:
        raise ValueError(f"X has {n_samples} rows but y has {array.shape[0]}.")
    with np.errstate(over="ignore"):
        array = array.astype(dtype)
    if not np.isfinite(array).all():
        raise ValueError(
            f"y holds NaN, infinity or a value beyond {dtype}; remove those rows first, or give X "
            "as float64."
        )
    return array


def centred(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `values` less their means over rows, and the means, in float64.

    What is constant, up to the rounding of its own mean, becomes exactly 0.
    """
    values = values.astype(np.float64)
    mean = values.mean(axis=0)
    moved = values - mean
    noise = 8 * np.finfo(np.float64).eps * np.abs(mean)
    with np.errstate(over="ignore"):
        constant = np.abs(moved).max(axis=0) <= noise
    return np.where(constant, 0.0, moved), mean


def _as_float(values: Any, name: str) -> np.ndarray:
    refuse_traced(**{name: values})
    if isinstance(values, np.ma.MaskedArray) and values.mask.any():
        raise ValueError(f"{name} holds masked values; remove those rows or fill them in first.")
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}.")
    return array if array.dtype == np.float32 else array.astype(np.float64, copy=False)
