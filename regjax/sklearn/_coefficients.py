"""The elastic net at one strength, in scikit-learn's shapes and units."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from regjax.paths import elastic_net_path
from regjax.sklearn._shared import engine_tol, objective_without_columns, quiet_engine


class Coefficients(NamedTuple):
    """`coef` (n_features,) or (n_targets, n_features), `intercept`, and gaps by response."""

    coef: np.ndarray
    intercept: Any
    dual_gap: Any
    allowed_gap: Any


def solve(
    X: Any,
    y: np.ndarray,
    *,
    alpha: float,
    l1_ratio: float,
    fit_intercept: bool,
    positive: bool,
    weight: np.ndarray | None,
    tol: float,
) -> Coefficients:
    """Return the elastic net of checked data, its gaps and those that `tol` allows."""
    with quiet_engine():
        found = elastic_net_path(
            X,
            y,
            l1_ratio=l1_ratio,
            lambdas=[alpha],
            fit_intercept=fit_intercept,
            sample_weight=weight,
            lower=0 if positive else None,
            tol=engine_tol(tol),
        )
    unit = objective_without_columns(y, weight, fit_intercept)
    gap = found.duality_gap[..., 0] * unit
    coef = found.coef[..., 0, :].astype(X.dtype)
    intercept = found.intercept[..., 0].astype(X.dtype) if fit_intercept else 0.0
    if y.ndim == 2 and y.shape[1] == 1:
        coef, gap = coef[0], gap[0]
    return Coefficients(coef, intercept, gap, tol * 2 * unit)
