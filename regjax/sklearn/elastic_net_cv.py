"""Elastic net and lasso with the strength that cross-validates best."""

from __future__ import annotations

from sklearn import linear_model

from regjax.sklearn._cross_validated import CrossValidated
from regjax.sklearn.path import enet_path, lasso_path


class ElasticNetCV(CrossValidated, linear_model.ElasticNetCV):
    """Elastic net, its strength and mix cross-validated, with scikit-learn's interface.

    The objective is that of `ElasticNet`; parameters and attributes are those of
    `sklearn.linear_model.ElasticNetCV`. All folds, all strengths and the final fit are one run that
    shares the sums of products, so that `n_jobs` changes nothing. With several `l1_ratio`, those
    below 0.001 get the strengths of 0.001 unless `alphas` are given. `tol` holds at every strength
    of the final path, else a `ConvergenceWarning` says so.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(60, 8))
        >>> y = 3 * X[:, 0] + rng.normal(size=60)
        >>> model = ElasticNetCV(l1_ratio=[0.5, 1.0], cv=3).fit(X, y)
        >>> model.mse_path_.shape, model.l1_ratio_
        ((2, 100, 3), 1.0)
    """

    path = staticmethod(enet_path)


class LassoCV(CrossValidated, linear_model.LassoCV):
    """Lasso, its strength cross-validated, with scikit-learn's interface.

    The objective is that of `Lasso`; parameters and attributes are those of
    `sklearn.linear_model.LassoCV`, and the rest is as in `ElasticNetCV`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(60, 8))
        >>> model = LassoCV().fit(X, 3 * X[:, 0] + rng.normal(size=60))
        >>> model.mse_path_.shape, bool(model.coef_[0] > 2)
        ((100, 5), True)
    """

    path = staticmethod(lasso_path)
