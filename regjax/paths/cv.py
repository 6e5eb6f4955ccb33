"""Cross-validated elastic net: all folds, all lambdas and the final fit in one run.

The training statistics of a fold are those of all rows less those of its test rows, so that
five folds cost one pass over the data. Errors are mean squared errors of the test rows, weighted by
`sample_weight`, averaged over folds; standard errors are over folds too, which share training rows:
they are too small by an unknown factor, as everywhere (Bengio and Grandvalet 2004).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from regjax._inputs import as_matrix, feature_names
from regjax.paths._problem import Shape, data_form, standard_form
from regjax.paths._settings import (
    as_responses,
    as_sample_weight,
    as_shape,
    check_fraction,
    check_lambdas,
    lambda_grid,
)
from regjax.paths._solve import LanePath, solve_data, solve_statistics, wants_gram
from regjax.paths.folds import Split, as_splits
from regjax.paths.path import Path, as_path
from regjax.paths.statistics import SufficientStatistics, sufficient_statistics

# A column's share of variance below which the difference of two statistics has lost its digits.
_LOST = 1e-8


class CrossValidation(NamedTuple):
    """What cross-validation found.

    Attributes:
        l1_ratios: (n_ratios,) the mixes tried.
        lambdas: (n_ratios, n_lambdas), descending.
        fold_errors: (n_ratios, n_folds, n_lambdas) mean squared errors of the test rows.
        mean_error, standard_error: (n_ratios, n_lambdas), over folds.
        l1_ratio, lambda_: the pair of least mean error.
        lambda_1se: the largest lambda of that mix whose mean error is within one standard error
            of the least.
        coef, intercept: the fit to all rows at `lambda_`: (n_features,) and a number.
        coef_1se, intercept_1se: the same at `lambda_1se`.
        path: the whole path of all rows at `l1_ratio`.
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
    intercept: float
    coef_1se: np.ndarray
    intercept_1se: float
    path: Path

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions (n_samples,) of the fit at `lambda_`.

        Example:
            >>> import numpy as np
            >>> X = np.arange(20.0).reshape(-1, 1)
            >>> print(lasso_cv(X, X[:, 0]).predict(np.array([[40.0]])).round(1))
            [40.]
        """
        return as_matrix(X) @ self.coef + self.intercept


def elastic_net_cv(
    X: Any,
    y: Any,
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
    lower: Any = None,
    upper: Any = None,
    tol: float = 1e-6,
) -> CrossValidation:
    """Return the elastic net cross-validated over lambda, and over `l1_ratio` if several are given.

    Args:
        X, y: as in `elastic_net_path`; y has one response.
        l1_ratio: one mix or several.
        folds: a number of shuffled folds, or pairs of training and test indices:
            `k_folds(n, 5, repeats=10)`, `k_folds(n, 5, groups=patient)`,
            `time_ordered_folds(n)`, or what a splitter of scikit-learn yields.

    Other arguments are those of `elastic_net_path`. The grid is that of all rows.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(60, 8))
        >>> result = elastic_net_cv(X, X[:, 0] + 0.1 * rng.normal(size=60), l1_ratio=[0.5, 1.0])
        >>> print(result.l1_ratio, np.flatnonzero(result.coef_1se))
        1.0 [0]
    """
    names = feature_names(X)
    X = as_matrix(X).astype(np.float64, copy=False)
    responses, single = as_responses(y, len(X))
    if not single:
        raise ValueError("Cross-validation takes one response; give y the shape (n_samples,).")
    weight = as_sample_weight(sample_weight, len(X))
    shape = as_shape(X.shape[1], fit_intercept, standardize, penalty_weights, lower, upper)
    ratios = np.array([check_fraction(r) for r in np.atleast_1d(l1_ratio).tolist()])
    given = None if lambdas is None else check_lambdas(lambdas, shape)
    splits = as_splits(folds, len(X))
    solver = _Gram if wants_gram(*X.shape) else _Data
    lanes = solver(X, responses, weight, shape, splits)
    grids, errors, fits = [], [], []
    for ratio in ratios:
        grid = lambda_grid(lanes.whole, given, ratio, n_lambdas, lambda_min_ratio, X.shape)
        whole, *parts = lanes.solve(grid, ratio, tol)
        grids.append(grid[0])
        fits.append(whole)
        errors.append(np.stack([lanes.error(i, part) for i, part in enumerate(parts)]))
    fold_errors = np.stack(errors)
    mean = fold_errors.mean(axis=1)
    spread = fold_errors.std(axis=1, ddof=1) / np.sqrt(len(splits))
    r, k = np.unravel_index(np.argmin(mean), mean.shape)
    sparse = int(np.argmax(mean[r] <= mean[r, k] + spread[r, k]))
    path = as_path(fits[r], grids[r][None], float(ratios[r]), tol, names, single=True)
    return CrossValidation(
        l1_ratios=ratios,
        lambdas=np.stack(grids),
        fold_errors=fold_errors,
        mean_error=mean,
        standard_error=spread,
        l1_ratio=float(ratios[r]),
        lambda_=float(path.lambdas[k]),
        lambda_1se=float(path.lambdas[sparse]),
        coef=path.coef[k],
        intercept=float(path.intercept[k]),
        coef_1se=path.coef[sparse],
        intercept_1se=float(path.intercept[sparse]),
        path=path,
    )


def lasso_cv(X: Any, y: Any, **settings: Any) -> CrossValidation:
    """Return the cross-validated lasso: `elastic_net_cv` with `l1_ratio=1`; settings are its own.

    Example:
        >>> import numpy as np
        >>> X = np.arange(20.0).reshape(-1, 1)
        >>> lasso_cv(X, X[:, 0], folds=4).fold_errors.shape
        (1, 4, 100)
    """
    return elastic_net_cv(X, y, l1_ratio=1.0, **settings)


class _Gram:
    """Lanes by their statistics: all rows, then every split's training rows."""

    def __init__(
        self,
        X: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray | None,
        shape: Shape,
        splits: list[Split],
    ) -> None:
        def statistics(rows: np.ndarray) -> SufficientStatistics:
            return sufficient_statistics(X[rows], y[rows], None if weight is None else weight[rows])

        self._tests = [statistics(test) for _, test in splits]
        covered = np.concatenate([test for _, test in splits])
        once = len(covered) == len(X) and len(np.unique(covered)) == len(X)
        total = self._tests[0]
        if once:
            for part in self._tests[1:]:
                total = total + part
        else:
            total = sufficient_statistics(X, y, weight)
        lanes = [total]
        for (train, test), held_out in zip(splits, self._tests, strict=True):
            rest = total - held_out if len(train) + len(test) == len(X) else None
            # Where a column varies in the test rows alone the difference is rounding.
            if rest is None or (np.diag(rest.xx) < _LOST * np.diag(total.xx)).any():
                rest = statistics(train)
            lanes.append(rest)
        self._lanes = [standard_form(lane, shape) for lane in lanes]
        self.whole = self._lanes[0]

    def solve(self, grid: np.ndarray, l1_ratio: float, tol: float) -> list[LanePath]:
        return solve_statistics(self._lanes, grid, l1_ratio, tol)

    def error(self, split: int, path: LanePath) -> np.ndarray:
        s, b, a = self._tests[split], path.coef[0], path.intercept[0]
        square = s.yy[0] - 2 * b @ s.xy[:, 0] + np.einsum("kp,kp->k", b @ s.xx, b)
        shift = s.y_mean[0] - a - b @ s.x_mean
        return np.maximum(square, 0.0) / s.weight + shift * shift


class _Data:
    """Lanes by row weights of one wide matrix."""

    def __init__(
        self,
        X: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray | None,
        shape: Shape,
        splits: list[Split],
    ) -> None:
        self._X, self._y, self._splits = X, y[:, 0], splits
        self._weight = np.ones(len(X)) if weight is None else weight
        rows = np.zeros((len(splits) + 1, len(X)))
        rows[0] = self._weight
        for lane, (train, _) in zip(rows[1:], splits, strict=True):
            lane[train] = self._weight[train]
        self._form = data_form(X, y, rows, shape)
        self.whole = self._form.lanes[0]

    def solve(self, grid: np.ndarray, l1_ratio: float, tol: float) -> list[LanePath]:
        return solve_data(self._form, grid, l1_ratio, tol)

    def error(self, split: int, path: LanePath) -> np.ndarray:
        _, test = self._splits[split]
        active = np.flatnonzero(path.coef[0].any(axis=0))
        fitted = path.coef[0][:, active] @ self._X[np.ix_(test, active)].T
        residual = self._y[test] - fitted - path.intercept[0][:, None]
        return np.average(residual * residual, axis=1, weights=self._weight[test])
