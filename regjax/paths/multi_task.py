"""Elastic net of several responses that share their columns: a coefficient is 0 in all or in none.

For every lambda the minimiser over `B` (n_features, n_targets) and intercepts `a` of

    sum_i w_i ||y_i - a - x_i B||^2 / (2 sum_i w_i)
        + lambda sum_j f_j (l1_ratio ||B_j|| + (1 - l1_ratio) / 2 ||B_j||^2)

for the Euclidean norms of its rows `B_j`, sample weights `w` and penalty weights `f`, 1 unless
given. The duality gap bounds how far the objective is above its minimum; `tol` bounds it, relative
to the objective of the intercepts alone. Responses in larger units count for more: divide them by
their standard deviations unless that is meant. Reference: Obozinski, Taskar and Jordan (2010),
"Joint covariate selection and joint subspace selection for multiple classification problems".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from regjax._inputs import feature_names
from regjax.paths._fold_lanes import fold_data
from regjax.paths._grouped import norms
from regjax.paths._grouped_path import solve_grouped
from regjax.paths._input import as_new_design
from regjax.paths._lanes import as_data
from regjax.paths._problem import Standard
from regjax.paths._settings import (
    as_shape,
    check_fraction,
    check_fractions,
    check_lambdas,
    check_tolerance,
    lambda_grid,
)
from regjax.paths._solve import LanePath
from regjax.paths.cv import choices
from regjax.paths.folds import Split
from regjax.paths.path import Path, as_status

_ROUNDING = 1e-14


class MultiTaskPath(NamedTuple):
    """Joint solutions of several responses at every lambda.

    Attributes:
        lambdas: (n_lambdas,), descending.
        coef: (n_lambdas, n_targets, n_features), in the units of the data.
        intercept: (n_lambdas, n_targets).
        duality_gap: (n_lambdas,) gap of these very coefficients, divided by the objective of
            the intercepts alone.
        status: (n_lambdas,) int; 0 where `duality_gap <= tol`, else 1.
        l1_ratio: the mix that was asked for.
        feature_names: the names of the columns, or None.

    Example:
        >>> import numpy as np
        >>> X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> path = multi_task_path(X, X @ np.array([[3.0, 4.0], [0.0, 0.5]]), lambdas=[1.0])
        >>> print(path.coef[0].T)
        [[2.4 3.2]
         [0.  0. ]]
    """

    lambdas: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    duality_gap: np.ndarray
    status: np.ndarray
    l1_ratio: float
    feature_names: tuple[str, ...] | None

    def at(self, lambda_: float) -> tuple[np.ndarray, np.ndarray]:
        """Return coefficients (n_targets, n_features) and intercepts between those of the path.

        By linear interpolation; for an exact solution solve again with `lambdas=[lambda_]`.

        Raises:
            ValueError: if `lambda_` is outside the path.

        Example:
            >>> import numpy as np
            >>> X, Y = np.array([[1.0], [-1.0]]), np.array([[3.0, 4.0], [-3.0, -4.0]])
            >>> print(multi_task_path(X, Y, lambdas=[5.0, 2.5]).at(4.0)[0].T)
            [[0.6 0.8]]
        """
        return Path(*self).at(lambda_)

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions (n_lambdas, n_samples, n_targets) for rows `X`.

        Example:
            >>> import numpy as np
            >>> X, Y = np.array([[1.0], [-1.0]]), np.array([[3.0, 4.0], [-3.0, -4.0]])
            >>> print(multi_task_path(X, Y, lambdas=[2.5]).predict(X))
            [[[ 1.5  2. ]
              [-1.5 -2. ]]]
        """
        return Path(*self).predict(X).transpose(0, 2, 1)


class MultiTaskCrossValidation(NamedTuple):
    """What cross-validation of several responses found.

    Attributes:
        l1_ratios: (n_ratios,) the mixes tried.
        lambdas: (n_ratios, n_lambdas), descending.
        fold_errors: (n_ratios, n_folds, n_lambdas) mean squared errors of the test rows, averaged
            over responses.
        mean_error, standard_error: (n_ratios, n_lambdas), over folds.
        l1_ratio, lambda_: the pair of least mean error.
        lambda_1se: the largest lambda of that mix whose mean error is within one standard error
            of the least.
        coef, intercept: the fit to all rows at `lambda_`: (n_targets, n_features) and (n_targets,).
        coef_1se, intercept_1se: the same at `lambda_1se`.
        path: the whole path of all rows at `l1_ratio`.

    Example:
        >>> import numpy as np
        >>> X = np.arange(20.0).reshape(-1, 1)
        >>> multi_task_cv(X, X * [1.0, 2.0], folds=4).fold_errors.shape
        (1, 4, 100)
    """

    l1_ratios: np.ndarray
    lambdas: np.ndarray
    fold_errors: np.ndarray
    mean_error: np.ndarray
    standard_error: np.ndarray
    l1_ratio: float
    lambda_: float
    lambda_1se: float
    coef: np.ndarray
    intercept: np.ndarray
    coef_1se: np.ndarray
    intercept_1se: np.ndarray
    path: MultiTaskPath

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions (n_samples, n_targets) of the fit at `lambda_`.

        Example:
            >>> import numpy as np
            >>> X = np.arange(20.0).reshape(-1, 1)
            >>> print(multi_task_cv(X, X * [1.0, 2.0]).predict(np.array([[40.0]])).round(0))
            [[40. 80.]]
        """
        X = as_new_design(X, self.path.feature_names, self.coef.shape[-1])
        return np.asarray(X @ self.coef.T) + self.intercept


def multi_task_path(
    X: Any,
    Y: Any = None,
    *,
    l1_ratio: float = 1.0,
    lambdas: Any = None,
    n_lambdas: int = 100,
    lambda_min_ratio: float | None = None,
    fit_intercept: bool = True,
    standardize: bool = False,
    sample_weight: Any = None,
    penalty_weights: Any = None,
    tol: float = 1e-6,
) -> MultiTaskPath:
    """Return the joint elastic-net path of `X` (n_samples, n_features) and all columns of `Y`.

    Args:
        X: as in `elastic_net_path`: dense, sparse, or `SufficientStatistics` without `Y`.
        Y: (n_samples, n_targets).
        l1_ratio: share of the norms, 1 for the multi-task lasso, 0 for ridge.
        lambdas: strengths > 0 (0 is allowed); sorted descending. Unless given, the grid of
            `elastic_net_path`, from the least lambda at which every penalised row is 0.
        sample_weight: (n_samples,) weights >= 0.
        penalty_weights: (n_features,) factors of lambda; 0 leaves a column unpenalised,
            infinity leaves it out.
        tol: largest duality gap, relative to the objective of the intercepts alone.

    Other arguments are those of `elastic_net_path`.

    Raises:
        ValueError: for values that are NaN, infinite or of the wrong shape or sign.

    Example:
        >>> import numpy as np
        >>> X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> path = multi_task_path(X, X @ np.array([[3.0, 4.0], [0.0, 0.5]]), n_lambdas=2)
        >>> print(path.lambdas, path.coef.shape)
        [5.    0.005] (2, 2, 2)
    """
    names = feature_names(X)
    data, single = as_data(X, Y, sample_weight)
    if single and np.ndim(Y) == 1:
        raise ValueError("Y must have shape (n_samples, n_targets); use lasso_path for one.")
    if np.ndim(sample_weight) == 2:
        raise ValueError("A joint path has one weighting: give sample_weight (n_samples,).")
    l1_ratio, tol = check_fraction(l1_ratio), check_tolerance(tol)
    shape = as_shape(data.size[1], fit_intercept, standardize, penalty_weights, None, None)
    given = None if lambdas is None else check_lambdas(lambdas, shape)
    lanes = data.lanes(shape)
    grid = _grid(lanes.standard[0], given, l1_ratio, n_lambdas, lambda_min_ratio, data.size)
    (found,) = solve_grouped(lanes, grid, l1_ratio, tol)
    return _as_path(found, grid, l1_ratio, tol, names)


def multi_task_cv(
    X: Any,
    Y: Any = None,
    *,
    l1_ratio: float | Sequence[float] = 1.0,
    lambdas: Any = None,
    n_lambdas: int = 100,
    lambda_min_ratio: float | None = None,
    folds: int | Iterable[Split] = 5,
    fit_intercept: bool = True,
    standardize: bool = False,
    sample_weight: Any = None,
    penalty_weights: Any = None,
    tol: float = 1e-6,
) -> MultiTaskCrossValidation:
    """Return the joint elastic net cross-validated over lambda, and over several `l1_ratio`.

    Args:
        X, Y: as in `multi_task_path`; or, without Y, a list of `SufficientStatistics`, one for
            each fold.
        l1_ratio: one mix or several.
        folds: as in `elastic_net_cv`.

    Other arguments are those of `multi_task_path`. The grid is that of all rows.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X, E = rng.normal(size=(60, 8)), rng.normal(size=(60, 3))
        >>> result = multi_task_cv(X, X[:, :1] + 0.1 * E)
        >>> print(np.flatnonzero(result.coef_1se.any(axis=0)))
        [0]
    """
    names = feature_names(X)
    data, single = fold_data(X, Y, sample_weight, folds)
    if single and np.ndim(Y) == 1:
        raise ValueError("Y must have shape (n_samples, n_targets); use lasso_cv for one.")
    ratios, tol = check_fractions(l1_ratio), check_tolerance(tol)
    shape = as_shape(data.size[1], fit_intercept, standardize, penalty_weights, None, None)
    given = None if lambdas is None else check_lambdas(lambdas, shape)
    lanes = data.lanes(shape)
    grids, errors, fits = [], [], []
    for ratio in ratios.tolist():
        grid = _grid(lanes.standard[0], given, ratio, n_lambdas, lambda_min_ratio, data.size)
        whole, *parts = solve_grouped(lanes, grid, ratio, tol)
        grids.append(grid)
        fits.append(whole)
        errors.append([data.error(i, part).mean(axis=0) for i, part in enumerate(parts)])
    fold_errors = np.array(errors)
    mean = fold_errors.mean(axis=1)
    spread = fold_errors.std(axis=1, ddof=1) / np.sqrt(fold_errors.shape[1])
    r, k, sparse = (int(index[0]) for index in choices(mean[None], spread[None]))
    path = _as_path(fits[r], grids[r], float(ratios[r]), tol, names)
    return MultiTaskCrossValidation(
        l1_ratios=ratios,
        lambdas=np.stack(grids),
        fold_errors=fold_errors,
        mean_error=mean,
        standard_error=spread,
        l1_ratio=path.l1_ratio,
        lambda_=float(path.lambdas[k]),
        lambda_1se=float(path.lambdas[sparse]),
        coef=path.coef[k],
        intercept=path.intercept[k],
        coef_1se=path.coef[sparse],
        intercept_1se=path.intercept[sparse],
        path=path,
    )


def _grid(
    lane: Standard,
    given: np.ndarray | None,
    l1_ratio: float,
    n_lambdas: int,
    lambda_min_ratio: float | None,
    size: tuple[float, int],
) -> np.ndarray:
    """Return lambdas (n_lambdas,), descending."""
    # The entry of norms is that of one response whose correlations are the norms.
    pull = norms(lane.cross.T)
    # Columns have unit variance: this little is what rounding leaves of constant responses.
    pull[pull <= _ROUNDING * np.sqrt(lane.scale.sum())] = 0.0
    joint = lane._replace(cross=pull[None])
    grid = lambda_grid([joint], given, l1_ratio, n_lambdas, lambda_min_ratio, size)
    return grid[0, 0]


def _as_path(
    found: LanePath, grid: np.ndarray, l1_ratio: float, tol: float, names: tuple[str, ...] | None
) -> MultiTaskPath:
    gap = found.gap[0]
    return MultiTaskPath(
        lambdas=grid,
        coef=found.coef.transpose(1, 0, 2),
        intercept=found.intercept.T,
        duality_gap=gap,
        status=as_status(gap, tol),
        l1_ratio=l1_ratio,
        feature_names=names,
    )
