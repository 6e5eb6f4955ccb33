"""Rows from the caller's hands: dense or sparse matrices, responses and weights, checked."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from regjax._inputs import as_matrix, belongs_to_jax, in_order, namespace, refuse_traced

Matrix = Any
"""A NumPy matrix in float32 or float64, or a `scipy.sparse.csc_array` in float64."""


def as_design(X: Any) -> Matrix:
    """Return `X` as a finite matrix; float32 stays, and what is sparse stays sparse, by columns.

    Raises:
        TypeError: if it is traced or not numeric.
        ValueError: if it has not two dimensions, is empty, or holds NaN or infinity.
    """
    stored = _as_scipy(X)
    if stored is None:
        return as_matrix(_unmixed(X))
    if stored.ndim != 2 or 0 in stored.shape:
        raise ValueError(
            f"X must have shape (n_samples, n_features), neither of them 0; got {stored.shape}."
        )
    if stored.dtype.kind not in "biuf":
        raise TypeError(f"X must hold real numbers, got dtype {stored.dtype}.")
    from scipy.sparse import csc_array

    # Before entries stored twice are added up: small integers would overflow.
    matrix = csc_array(stored.astype(np.float64))
    # Entries stored twice are added up, in a copy: the caller's matrix stays as it is.
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    if not np.isfinite(matrix.data).all():
        raise ValueError("X holds NaN or infinity; remove those rows or fill the values in first.")
    return matrix


def as_new_design(X: Any, names: tuple[str, ...] | None, coef: Any) -> Matrix:
    """Return rows to predict for with `coef` (..., n_features), as arrays of its library.

    The columns of a data frame are found by `names`.

    Raises:
        TypeError, ValueError: as in `as_design`, and for columns that are missing.
    """
    xp, _ = namespace(X, coef)
    X = as_design(in_order(X, names)) if xp is np else xp.asarray(X)
    if X.ndim != 2 or X.shape[1] != coef.shape[-1]:
        columns = X.shape[-1] if X.ndim else 0
        raise ValueError(f"X has {columns} columns, the fit {coef.shape[-1]}.")
    return X


def _unmixed(X: Any) -> Any:
    """Return numbers that came as objects, as from data frames whose columns differ in type."""
    if belongs_to_jax(X):
        return X
    array = np.asarray(X)
    if array.dtype.kind != "O" or array.ndim != 2:
        return X
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"X must hold real numbers: {error}.") from error


def as_responses(y: Any, n_samples: int) -> tuple[np.ndarray, bool]:
    """Return `y` as a finite matrix (n_samples, n_targets), and whether it was a vector."""
    refuse_traced(y=y)
    array = np.asarray(y)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"y must hold real numbers, got dtype {array.dtype}.")
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(
            f"y must have shape (n_samples,) or (n_samples, n_targets), got {array.shape}."
        )
    if len(array) != n_samples:
        raise ValueError(f"X has {n_samples} rows but y has {len(array)}.")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError("y holds NaN or infinity; remove those rows first.")
    return array.reshape(n_samples, -1), array.ndim == 1


def as_sample_weight(sample_weight: Any, n_samples: int) -> np.ndarray | None:
    """Return checked weights (n_samples,) or (n_weightings, n_samples), or None for none."""
    if sample_weight is None:
        return None
    refuse_traced(sample_weight=sample_weight)
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.ndim not in (1, 2) or weight.shape[-1] != n_samples or weight.size == 0:
        raise ValueError(
            f"sample_weight must have shape ({n_samples},) or (n_weightings, {n_samples}), got "
            f"{weight.shape}."
        )
    if not np.isfinite(weight).all() or (weight < 0).any() or not weight.any(axis=-1).all():
        raise ValueError("sample_weight must be finite, at least 0, and not 0 everywhere.")
    return weight


def dense(part: Matrix) -> np.ndarray:
    """Return some rows or columns of a matrix as an array."""
    return part if isinstance(part, np.ndarray) else np.asarray(part.toarray())


def sparse_squares(X: Matrix, weight: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return weighted sums of squares (p,) about `mean` of sparse columns; weights sum to 1.

    Entries and zeros apart, so that columns far from 0 keep their digits.
    """
    X = X.tocsc()
    column = np.repeat(np.arange(X.shape[1]), np.diff(X.indptr))
    of_entry = weight[X.indices]
    squares = of_entry * np.square(X.data - mean[column])
    stored = np.bincount(column, of_entry, minlength=X.shape[1])
    zeros = np.maximum(1 - stored, 0.0)
    # A column without zeros may seem to have a rounding of them.
    zeros[zeros <= 1e-14 * X.shape[0]] = 0.0
    return np.bincount(column, squares, minlength=X.shape[1]) + zeros * np.square(mean)


def _as_scipy(X: Any) -> Any:
    """Return a sparse `X` in a form of SciPy, or None if it is none."""
    # Only a program that has loaded these libraries can hold one of their matrices.
    scipy, jax = sys.modules.get("scipy.sparse"), sys.modules.get("jax.experimental.sparse")
    if scipy is not None and scipy.issparse(X):
        return X
    if jax is not None and isinstance(X, jax.BCOO):
        from scipy.sparse import coo_array

        if X.n_batch or X.n_dense:
            raise ValueError("A BCOO matrix must have no batch and no dense dimensions.")
        place = np.asarray(X.indices)
        inside = (place < np.asarray(X.shape)).all(axis=1)
        values = np.asarray(X.data)[inside]
        return coo_array((values, tuple(place[inside].T)), shape=X.shape)
    return None
