"""Drop-ins for scikit-learn's ridge, lasso and elastic net, on the engine of `regjax.paths`.

Change the import, `from regjax.sklearn import LassoCV`, and nothing else: parameters, attributes,
scaling, checks, metadata routing and what `predict` and `score` give are scikit-learn's, whose
classes these are subclasses of. What solves is different, and so is the following.

- `tol` bounds the duality gap relative to the mean square of y, as there; what is found is within
  half of 1e-6 of it even where more is allowed.
- What steers coordinate descent is accepted and checked, and changes nothing here: `max_iter`,
  `selection`, `random_state`, `warm_start`, `precompute`, `copy_X` (the data are never written to),
  `n_jobs` and `verbose`; `solver` and `gcv_mode` of ridge too.
- `n_iter_` is 1: the engine is called once, and has no sweeps to count.
- Sample weights are at least 0, and splits have different rows to train and to test on.
"""

from __future__ import annotations

import regjax

try:
    from regjax.sklearn.elastic_net import ElasticNet, Lasso
    from regjax.sklearn.elastic_net_cv import ElasticNetCV, LassoCV
    from regjax.sklearn.multi_task import MultiTaskElasticNet, MultiTaskLasso
    from regjax.sklearn.multi_task_cv import MultiTaskElasticNetCV, MultiTaskLassoCV
    from regjax.sklearn.ridge import Ridge
    from regjax.sklearn.ridge_cv import RidgeCV
except ModuleNotFoundError as error:
    raise regjax._missing_extra(__name__, error) from error

__all__ = [
    "ElasticNet",
    "ElasticNetCV",
    "Lasso",
    "LassoCV",
    "MultiTaskElasticNet",
    "MultiTaskElasticNetCV",
    "MultiTaskLasso",
    "MultiTaskLassoCV",
    "Ridge",
    "RidgeCV",
]
