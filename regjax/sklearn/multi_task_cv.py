"""Multi-task elastic net and lasso with the strength that cross-validates best."""

from __future__ import annotations

from sklearn import linear_model

from regjax.sklearn._cross_validated import CrossValidated
from regjax.sklearn.path import enet_path, lasso_path


class MultiTaskElasticNetCV(CrossValidated, linear_model.MultiTaskElasticNetCV):
    """Multi-task elastic net, its strength and mix cross-validated, with scikit-learn's interface.

    The objective is that of `MultiTaskElasticNet`; parameters and attributes are those of
    `sklearn.linear_model.MultiTaskElasticNetCV`, and the rest is as in `ElasticNetCV`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X, E = rng.normal(size=(60, 8)), rng.normal(size=(60, 2))
        >>> model = MultiTaskElasticNetCV(l1_ratio=[0.5, 1.0]).fit(X, 3 * X[:, :2] + E)
        >>> model.coef_.shape, model.mse_path_.shape
        ((2, 8), (2, 100, 5))
    """

    path = staticmethod(enet_path)


class MultiTaskLassoCV(CrossValidated, linear_model.MultiTaskLassoCV):
    """Multi-task lasso, its strength cross-validated, with scikit-learn's interface.

    The objective is that of `MultiTaskLasso`; parameters and attributes are those of
    `sklearn.linear_model.MultiTaskLassoCV`, and the rest is as in `ElasticNetCV`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X, E = rng.normal(size=(60, 8)), rng.normal(size=(60, 2))
        >>> MultiTaskLassoCV(cv=3).fit(X, 3 * X[:, :2] + E).mse_path_.shape
        (100, 3)
    """

    path = staticmethod(lasso_path)
