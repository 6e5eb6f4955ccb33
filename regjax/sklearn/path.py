"""What the estimators have as `path`, with the signature of scikit-learn's `enet_path`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array

from regjax.paths import elastic_net_path, multi_task_path
from regjax.sklearn._shared import (
    FLOATS,
    engine_tol,
    objective_without_columns,
    quiet_engine,
    warn_of_gaps,
)
from regjax.sklearn._strengths import strengths

# What steers coordinate descent, or saves it work.
_WITHOUT_EFFECT = {"max_iter", "random_state", "selection", "do_screening", "X_offset", "X_scale"}


def enet_path(
    X: Any,
    y: Any,
    *,
    l1_ratio: float = 0.5,
    eps: float = 1e-3,
    alphas: Any = 100,
    precompute: Any = "auto",
    Xy: Any = None,
    copy_X: bool = True,
    coef_init: Any = None,
    verbose: bool | int = False,
    return_n_iter: bool = False,
    positive: bool = False,
    check_input: bool = True,
    **params: Any,
) -> tuple[Any, ...]:
    """Return strengths, coefficients and duality gaps of the elastic net without intercept.

    As `sklearn.linear_model.enet_path` does: (n_alphas,), descending; (n_features, n_alphas), or
    (n_targets, n_features, n_alphas) for the joint path of several responses; (n_alphas,). The
    objective is that of `ElasticNet`, or of `MultiTaskElasticNet`. With `return_n_iter` a list
    of ones comes fourth. `tol` and `sample_weight` are taken from `params`; `precompute`, `Xy`,
    `coef_init`, `copy_X`, `verbose` and `max_iter` change nothing.

    Example:
        >>> import numpy as np
        >>> X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> alphas, coefs, _ = enet_path(X, X[:, 0], l1_ratio=1.0, alphas=[0.5, 0.25])
        >>> print(coefs)
        [[0.5  0.75]
         [0.   0.  ]]
    """
    weight, tol = params.pop("sample_weight", None), params.pop("tol", 1e-4)
    unknown = params.keys() - _WITHOUT_EFFECT
    if unknown:
        raise ValueError(f"Unexpected parameters in params: {sorted(unknown)}.")
    if check_input:
        X = check_array(X, accept_sparse="csc", dtype=FLOATS)
        y = check_array(y, dtype=X.dtype.type, ensure_2d=False)
    joint = y.ndim == 2
    if joint and positive:
        raise ValueError("positive=True is not allowed for multi-output (y.ndim != 1)")
    lambdas = strengths(alphas, X, y, weight, l1_ratio, eps, fit_intercept=False, positive=positive)
    found: Any
    settings: dict[str, Any] = {"lambdas": lambdas, "l1_ratio": l1_ratio, "fit_intercept": False}
    settings |= {"sample_weight": weight, "tol": engine_tol(tol)}
    with quiet_engine():
        if joint:
            found = multi_task_path(X, y, **settings)
        else:
            found = elastic_net_path(X, y, lower=0 if positive else None, **settings)
    unit = objective_without_columns(y, weight, fit_intercept=False).sum()
    gap = found.duality_gap * unit
    warn_of_gaps(gap, tol * 2 * unit, stacklevel=3)
    result = found.lambdas, np.moveaxis(found.coef, -2, -1).astype(X.dtype), gap
    return (*result, [1] * len(gap)) if return_n_iter else result


def lasso_path(X: Any, y: Any, **settings: Any) -> tuple[Any, ...]:
    """Return `enet_path` with `l1_ratio=1`; settings are its own.

    Example:
        >>> import numpy as np
        >>> alphas, _, _ = lasso_path(np.array([[1.0], [-1.0]]), np.array([2.0, -2.0]), alphas=2)
        >>> print(alphas)
        [2.    0.002]
    """
    return enet_path(X, y, l1_ratio=1.0, **settings)
