"""Duality gaps computed from the data and coefficients alone, in float64, whoever found them."""

from __future__ import annotations

from typing import Any

import numpy as np


def largest_gap(
    X: Any,
    y: np.ndarray,
    coef: np.ndarray,
    lambdas: np.ndarray,
    l1_ratio: float = 1.0,
    weight: np.ndarray | None = None,
) -> float:
    """Return the largest gap of `coef` (n_lambdas, p), relative to the objective of the mean.

    The intercept is the best one. For the lasso the dual point is the best feasible multiple of the
    residual; with a square penalty every point is feasible, and the residual itself is taken.
    """
    coef = np.asarray(coef, dtype=np.float64)
    w = np.full(len(y), 1 / len(y)) if weight is None else weight / weight.sum()
    mean = X.T @ w
    centred = y - w @ y
    residual = centred - (X @ coef.T).T + (coef @ mean)[:, None]
    weighted = residual * w
    z = (X.T @ weighted.T).T - weighted.sum(axis=1)[:, None] * mean
    rr, ry = np.einsum("kn,kn->k", weighted, residual), weighted @ centred
    l1, l2 = lambdas * l1_ratio, lambdas * (1 - l1_ratio)
    primal = rr / 2 + l1 * np.abs(coef).sum(axis=1) + l2 / 2 * np.sum(coef**2, axis=1)
    if l1_ratio == 1:
        bound = l1 / np.maximum(np.abs(z).max(axis=1), np.finfo(float).tiny)
        s = np.clip(ry / np.where(rr > 0, rr, 1.0), -bound, bound)
        dual = s * ry - s * s * rr / 2
    else:
        excess = np.maximum(np.abs(z) - l1[:, None], 0)
        dual = ry - rr / 2 - np.sum(excess**2, axis=1) / (2 * l2)
    return float(np.max(primal - dual) / (w @ centred**2 / 2))
