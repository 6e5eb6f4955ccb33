"""Ridge regression."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import linear_model
from sklearn.base import _fit_context
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight, validate_data

from regjax.paths import elastic_net_path
from regjax.sklearn._shared import (
    FLOATS,
    objective_without_columns,
    quiet_engine,
    warn_of_gaps,
    warn_of_lost_columns,
)

# Without bounds the solution is exact but for rounding.
_TOL = 1e-6


class Ridge(linear_model.Ridge):
    """Ridge regression with scikit-learn's interface; the minimiser over `w` and intercept `b` of

        ||y - X w - b||^2 + alpha ||w||^2

    with squares weighted by `sample_weight`, and `w >= 0` if `positive`. Parameters and attributes
    are those of `sklearn.linear_model.Ridge`. Whatever `solver` asks for, the solution comes from
    one eigendecomposition, of the smaller of `X'X` and `XX'`; `solver_` is "eigen", or "active_set"
    with `positive`, and `n_iter_` 1 for every response. If `positive`, `tol` bounds the duality
    gap, relative to half the mean square of y about its mean; otherwise the solution is exact but
    for rounding, and the one of least norm where `alpha` is 0 and there are many.

    Example:
        >>> import numpy as np
        >>> X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> print(Ridge(alpha=4.0).fit(X, X @ np.array([3.0, 1.0])).coef_)
        [1.5 0.5]
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Ridge:
        """Return the estimator fitted to `X` (n_samples, n_features) and `y`."""
        _check_solver(self.solver, self.positive)
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc", "coo"],
            dtype=FLOATS,
            multi_output=True,
            y_numeric=True,
        )
        warn_of_lost_columns(self, X)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
        total = len(y) if weight is None else weight.sum(dtype=np.float64)
        alphas = _as_alphas(self.alpha, y)
        tol = min(self.tol, _TOL) if self.positive else _TOL
        responses = y.reshape(len(y), -1)
        coef = np.empty((responses.shape[1], X.shape[1]))
        intercept = np.zeros(len(coef))
        for alpha in np.unique(alphas):
            these = np.flatnonzero(alphas == alpha)
            with quiet_engine():
                found = elastic_net_path(
                    X,
                    responses[:, these],
                    l1_ratio=0.0,
                    lambdas=[alpha / total],
                    fit_intercept=self.fit_intercept,
                    sample_weight=weight,
                    lower=0 if self.positive else None,
                    tol=tol,
                )
            coef[these], intercept[these] = found.coef[:, 0], found.intercept[:, 0]
            unit = objective_without_columns(responses[:, these], weight, self.fit_intercept)
            gap = found.duality_gap[:, 0] * unit
            warn_of_gaps(gap, tol * unit)
        single = y.ndim == 1
        self.coef_ = (coef[0] if single or len(coef) == 1 else coef).astype(X.dtype)
        intercepts = intercept.astype(X.dtype)
        self.intercept_ = (intercepts[0] if single else intercepts) if self.fit_intercept else 0.0
        self.n_iter_ = np.ones(len(coef), dtype=int)
        self.solver_ = "active_set" if self.positive else "eigen"
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = False
        return tags


def _check_solver(solver: str, positive: bool) -> None:
    if solver == "lbfgs" and not positive:
        raise ValueError(
            "'lbfgs' solver can be used only when positive=True. Please use another solver."
        )
    if positive and solver not in ("auto", "lbfgs"):
        raise ValueError(
            f"solver='{solver}' does not support positive fitting. Please set the solver to 'auto' "
            "or 'lbfgs', or set `positive=False`"
        )


def _as_alphas(alpha: Any, y: np.ndarray) -> np.ndarray:
    """Return the strength of every response."""
    n_targets = 1 if y.ndim == 1 else y.shape[1]
    alphas = check_array(np.atleast_1d(alpha), ensure_2d=False, dtype=np.float64)
    if alphas.size not in (1, n_targets):
        raise ValueError(
            "Number of targets and number of penalties do not correspond: "
            f"{alphas.size} != {n_targets}"
        )
    return np.broadcast_to(alphas.ravel(), n_targets)
