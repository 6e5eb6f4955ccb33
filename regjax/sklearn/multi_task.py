"""Multi-task elastic net and lasso with one strength."""

from __future__ import annotations

from typing import Any

from sklearn import linear_model
from sklearn.base import _fit_context
from sklearn.utils.validation import check_consistent_length, validate_data

from regjax.paths import multi_task_path
from regjax.sklearn._shared import (
    FLOATS,
    as_weight,
    engine_tol,
    objective_without_columns,
    quiet_engine,
    warn_of_gaps,
    warn_of_lost_columns,
)
from regjax.sklearn.path import enet_path


class MultiTaskElasticNet(linear_model.MultiTaskElasticNet):
    """Multi-task elastic net with scikit-learn's interface; the minimiser over `W` and `b` of

        ||Y - X W - b||_F^2 / (2 n)
            + alpha (l1_ratio sum_j ||W_j|| + (1 - l1_ratio) / 2 ||W||_F^2)

    for the rows `W_j` of `W` (n_features, n_targets), of which `coef_` is the transpose: a feature
    is used for all responses or for none. Squares are weighted by `sample_weight`, whose sum takes
    the place of n. Parameters and attributes are those of
    `sklearn.linear_model.MultiTaskElasticNet`; `eps_` is `tol` times the sum of squares of Y about
    its means, and `dual_gap_` at most that divided by n, else a `ConvergenceWarning` says so.
    `n_iter_` is 1.

    Example:
        >>> import numpy as np
        >>> X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> Y = X @ np.array([[3.0, 4.0], [0.0, 0.5]])
        >>> print(MultiTaskElasticNet(alpha=1.0, l1_ratio=0.5).fit(X, Y).coef_.T)
        [[1.8 2.4]
         [0.  0. ]]
    """

    path = staticmethod(enet_path)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, check_input: bool = True
    ) -> MultiTaskElasticNet:
        """Return the estimator fitted to `X` and `y` (n_samples, n_targets)."""
        if check_input:
            of_X = {"accept_sparse": "csc", "accept_large_sparse": False, "dtype": FLOATS}
            of_y = {"dtype": FLOATS, "ensure_2d": False}
            X, y = validate_data(self, X, y, validate_separately=(of_X, of_y))
            check_consistent_length(X, y)
        if y.ndim == 1:
            other = type(self).__name__.removeprefix("MultiTask")
            raise ValueError(f"For mono-task outputs, use {other}")
        warn_of_lost_columns(self, X)
        weight = as_weight(sample_weight, X)
        with quiet_engine():
            found = multi_task_path(
                X,
                y,
                l1_ratio=self.l1_ratio,
                lambdas=[self.alpha],
                fit_intercept=self.fit_intercept,
                sample_weight=weight,
                tol=engine_tol(self.tol),
            )
        unit = objective_without_columns(y, weight, self.fit_intercept).sum()
        self.coef_ = found.coef[:, 0].astype(X.dtype)
        self.intercept_ = found.intercept[:, 0].astype(X.dtype) if self.fit_intercept else 0.0
        self.dual_gap_ = found.duality_gap[0] * unit
        self.eps_ = 2 * unit * len(y) * self.tol
        self.n_iter_ = 1
        warn_of_gaps(self.dual_gap_, 2 * unit * self.tol)
        return self


class MultiTaskLasso(MultiTaskElasticNet, linear_model.MultiTaskLasso):
    """Multi-task lasso with scikit-learn's interface; the minimiser over `W` and `b` of

        ||Y - X W - b||_F^2 / (2 n) + alpha sum_j ||W_j||

    that is `MultiTaskElasticNet` with `l1_ratio=1`; parameters and attributes are those of
    `sklearn.linear_model.MultiTaskLasso`.

    Example:
        >>> import numpy as np
        >>> X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> Y = X @ np.array([[3.0, 4.0], [0.0, 0.5]])
        >>> print(MultiTaskLasso(alpha=1.0).fit(X, Y).coef_.T)
        [[2.4 3.2]
         [0.  0. ]]
    """
