"""The strengths that scikit-learn tries, given or spaced below the one that leaves all at 0."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

# What scikit-learn takes where no strength lets a column in.
LEAST = np.finfo(np.float64).resolution


def strengths(
    alphas: Any,
    X: Any,
    y: np.ndarray,
    weight: np.ndarray | None,
    l1_ratio: float,
    eps: float,
    *,
    fit_intercept: bool,
    positive: bool,
) -> np.ndarray:
    """Return strengths, descending: those given, or as many as asked for from the largest down."""
    if not isinstance(alphas, Integral):
        return np.sort(np.asarray(alphas, dtype=np.float64))[::-1]
    if l1_ratio == 0:
        raise ValueError(
            "Automatic alpha grid generation is not supported for l1_ratio=0. Please supply a grid "
            "by providing your estimator with the appropriate `alphas=` argument."
        )
    largest = entry(X, y, weight, fit_intercept, positive) / l1_ratio
    if largest <= LEAST:
        return np.full(int(alphas), LEAST)
    return np.geomspace(largest, largest * eps, int(alphas))


def entry(
    X: Any, y: np.ndarray, weight: np.ndarray | None, fit_intercept: bool, positive: bool
) -> float:
    """Return the least strength of the lasso that leaves every coefficient 0.

    The largest `|x_j' y| / n` of centred data; the norm over responses where there are several.
    """
    share = np.full(len(y), 1 / len(y)) if weight is None else weight / weight.sum()
    centred = y - share @ y if fit_intercept else y
    pull = (X.T @ (centred.T * share).T).reshape(X.shape[1], -1)
    if fit_intercept:
        # Against columns far from 0: what rounding left of the sum of the centred response.
        pull = pull - np.outer(X.T @ share, share @ centred)
    if positive:
        return max(0.0, float(pull.max()))
    return float(np.sqrt(np.square(pull).sum(axis=1).max()))
