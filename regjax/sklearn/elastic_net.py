"""Elastic net and lasso with one strength."""

from __future__ import annotations

import warnings
from typing import Any

from sklearn import linear_model
from sklearn.base import _fit_context
from sklearn.utils.validation import check_array, validate_data

from regjax.sklearn._coefficients import solve
from regjax.sklearn._gram import check_precomputed
from regjax.sklearn._shared import FLOATS, as_weight, warn_of_gaps, warn_of_lost_columns
from regjax.sklearn.path import enet_path


class ElasticNet(linear_model.ElasticNet):
    """Elastic net with scikit-learn's interface; the minimiser over `w` and the intercept `b` of

        ||y - X w - b||^2 / (2 n) + alpha (l1_ratio ||w||_1 + (1 - l1_ratio) / 2 ||w||^2)

    with squares weighted by `sample_weight`, whose sum takes the place of n, and `w >= 0` if
    `positive`. Parameters and attributes are those of `sklearn.linear_model.ElasticNet`; with
    `y` (n_samples, n_targets) every response is fitted on its own, `alpha` the same for all.
    `dual_gap_` is at most `tol` times the mean square of y about its mean, else a
    `ConvergenceWarning` says so. `n_iter_` is 1.

    Example:
        >>> import numpy as np
        >>> X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> model = ElasticNet(alpha=1.0, l1_ratio=0.5).fit(X, X @ np.array([3.0, 1.0]) + 2)
        >>> print(model.coef_.round(3), model.intercept_.round(3))
        [1.667 0.333] 2.0
    """

    path = staticmethod(enet_path)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, check_input: bool = True
    ) -> ElasticNet:
        """Return the estimator fitted to `X` (n_samples, n_features) and `y`."""
        if self.alpha == 0:
            warnings.warn(
                "With alpha=0, this algorithm does not converge well. You are advised to use the "
                "LinearRegression estimator",
                stacklevel=3,
            )
        if check_input:
            X, y = validate_data(
                self,
                X,
                y,
                accept_sparse="csc",
                accept_large_sparse=False,
                dtype=FLOATS,
                multi_output=True,
                y_numeric=True,
            )
            y = check_array(y, dtype=X.dtype.type, ensure_2d=False)
        warn_of_lost_columns(self, X)
        weight = as_weight(sample_weight, X)
        check_precomputed(self.precompute, X, weight, self.fit_intercept)
        found = solve(
            X,
            y,
            alpha=self.alpha,
            l1_ratio=self.l1_ratio,
            fit_intercept=self.fit_intercept,
            positive=self.positive,
            weight=weight,
            tol=self.tol,
        )
        self.coef_, self.intercept_ = found.coef, found.intercept
        self.dual_gap_ = found.dual_gap
        self.n_iter_ = [1] * len(found.coef) if found.coef.ndim == 2 else 1
        warn_of_gaps(found.dual_gap, found.allowed_gap)
        return self


class Lasso(ElasticNet, linear_model.Lasso):
    """Lasso with scikit-learn's interface; the minimiser over `w` and the intercept `b` of

        ||y - X w - b||^2 / (2 n) + alpha ||w||_1

    that is `ElasticNet` with `l1_ratio=1`; parameters and attributes are those of
    `sklearn.linear_model.Lasso`.

    Example:
        >>> import numpy as np
        >>> X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> print(Lasso(alpha=0.5).fit(X, X @ np.array([3.0, 0.2])).coef_)
        [2.5 0. ]
    """
