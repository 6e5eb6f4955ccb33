"""What the four cross-validated estimators of lasso and elastic net have in common: `fit`."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.model_selection import check_cv
from sklearn.utils import check_scalar, column_or_1d
from sklearn.utils.metadata_routing import _raise_for_params, _routing_enabled, process_routing
from sklearn.utils.validation import check_consistent_length, validate_data

from regjax.paths import elastic_net_cv, multi_task_cv
from regjax.sklearn._shared import (
    FLOATS,
    as_weight,
    engine_tol,
    objective_without_columns,
    quiet_engine,
    warn_of_gaps,
    warn_of_lost_columns,
)
from regjax.sklearn._strengths import strengths


class CrossValidated:
    """The `fit` of scikit-learn's `LinearModelCV`: all folds and the final fit in one run."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self: Any, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Any:
        """Return the estimator fitted to `X` (n_samples, n_features) and `y`.

        `params` go to the splitter, where metadata routing is enabled.
        """
        _raise_for_params(params, self, "fit")
        of_X = {"accept_sparse": "csc", "accept_large_sparse": False, "dtype": FLOATS}
        of_y = {"dtype": FLOATS, "ensure_2d": False}
        X, y = validate_data(self, X, y, validate_separately=(of_X, of_y))
        check_consistent_length(X, y)
        joint = self._is_multitask()
        if joint and y.ndim == 1:
            other = type(self).__name__.removeprefix("MultiTask")
            raise ValueError(f"For mono-task outputs, use {other}")
        if not joint:
            if y.ndim > 1 and y.shape[1] > 1:
                raise ValueError(f"For multi-task outputs, use MultiTask{type(self).__name__}")
            y = column_or_1d(y, warn=True)
        warn_of_lost_columns(self, X)
        weight = as_weight(sample_weight, X)
        _check_alphas(self.alphas)
        ratios = np.atleast_1d(getattr(self, "l1_ratio", 1.0))
        of_splitter: dict[str, Any] = {}
        if _routing_enabled():
            routed = process_routing(self, "fit", sample_weight=sample_weight, **params)
            of_splitter = routed.splitter.split
        folds = list(check_cv(self.cv).split(X, y, **of_splitter))
        found = _search(self, X, y, weight, ratios, folds)
        # By ratio, strength and fold.
        errors = found.fold_errors[:, : len(folds)].transpose(0, 2, 1)
        self.mse_path_ = np.squeeze(errors)
        one_grid = len(ratios) == 1 or not isinstance(self.alphas, Integral)
        self.alphas_ = found.lambdas[0] if one_grid else found.lambdas
        self.alpha_ = found.lambda_
        if hasattr(self, "l1_ratio"):
            self.l1_ratio_ = found.l1_ratio
        self.coef_ = found.coef.astype(X.dtype)
        intercept = np.asarray(found.intercept, dtype=X.dtype)[()]
        self.intercept_ = intercept if self.fit_intercept else 0.0
        best = np.flatnonzero(found.path.lambdas == found.lambda_)[0]
        unit = objective_without_columns(y, weight, self.fit_intercept).sum()
        self.dual_gap_ = found.path.duality_gap[best] * unit
        self.n_iter_ = 1
        warn_of_gaps(found.path.duality_gap.max() * unit, 2 * unit * self.tol)
        return self


def _check_alphas(alphas: Any) -> None:
    if not isinstance(alphas, Integral):
        for i, alpha in enumerate(alphas):
            check_scalar(alpha, f"alphas[{i}]", Real, min_val=0.0, include_boundaries="left")
            if not np.isfinite(alpha):
                raise ValueError(f"alphas[{i}] == {alpha}, must be finite.")


def _search(
    model: Any, X: Any, y: np.ndarray, weight: Any, ratios: np.ndarray, folds: list[Any]
) -> Any:
    """Return what the engine's cross-validation found."""
    positive = getattr(model, "positive", False)
    settings: dict[str, Any] = {"l1_ratio": ratios, "fit_intercept": model.fit_intercept}
    settings |= {"sample_weight": weight, "tol": engine_tol(model.tol)}
    # The engine wants two splits for the error of their mean; a single one is given twice.
    settings["folds"] = folds * 2 if len(folds) == 1 else folds
    grids = [
        strengths(
            model.alphas,
            X,
            y,
            weight,
            ratio,
            model.eps,
            fit_intercept=model.fit_intercept,
            positive=positive,
        )
        for ratio in ratios
    ]
    if all((grid == grids[0]).all() for grid in grids):
        settings["lambdas"] = grids[0]
    else:
        # The engine spaces them the same way, for every mix below its own largest.
        settings |= {"n_lambdas": int(model.alphas), "lambda_min_ratio": model.eps}
    with quiet_engine():
        if y.ndim == 2:
            return multi_task_cv(X, y, **settings)
        return elastic_net_cv(X, y, lower=0 if positive else None, **settings)
