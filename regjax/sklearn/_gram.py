"""Gram matrices that callers computed: not needed here, but checked as scikit-learn does."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.utils import check_array

_DIGITS = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-7}


def check_precomputed(
    precompute: Any, X: Any, weight: np.ndarray | None, fit_intercept: bool
) -> None:
    """Raise if `precompute` is a matrix and not X'X of dense rows multiplied by root weights.

    With an intercept and columns that are not centred it could not be used: scikit-learn warns.
    """
    if not hasattr(precompute, "__array__") or not isinstance(X, np.ndarray):
        return
    if fit_intercept and not np.allclose(np.average(X, axis=0, weights=weight), 0):
        warnings.warn(
            "Gram matrix was provided but X was centered to fit intercept: recomputing Gram "
            "matrix.",
            UserWarning,
            stacklevel=4,
        )
        return
    gram = check_array(precompute, dtype=X.dtype)
    share = 1.0 if weight is None else weight * (len(weight) / weight.sum())
    # One column of it tells a matrix of other data apart, at next to no cost.
    column = X.shape[1] // 2
    expected = X.T @ (share * X[:, column])
    if gram.shape != (X.shape[1],) * 2 or not np.allclose(
        gram[:, column], expected, rtol=_DIGITS[X.dtype], atol=1e-5
    ):
        raise ValueError(
            "Gram matrix passed in via 'precompute' did not pass validation: it is not that of "
            "X. Leave precompute out; it is not needed here."
        )
