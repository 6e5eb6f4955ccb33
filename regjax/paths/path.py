"""Ridge, lasso and elastic net at every lambda, each solution with its duality gap.

For every lambda the minimiser over coefficients `b` and intercept `a` of

    sum_i w_i (y_i - a - x_i b)^2 / (2 sum_i w_i)
        + lambda sum_j f_j (l1_ratio |b_j| + (1 - l1_ratio) / 2 b_j^2)

within `lower <= b <= upper`, for sample weights `w` and penalty weights `f`, 1 unless given. The
duality gap bounds how far the objective is above its minimum; `tol` bounds it, relative to the
objective of the intercept alone. All arithmetic that counts is in float64 whatever JAX's setting,
and NumPy arrays come back.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from regjax._inputs import as_matrix, feature_names
from regjax.paths._problem import data_form, standard_form
from regjax.paths._settings import (
    as_responses,
    as_sample_weight,
    as_shape,
    check_fraction,
    check_lambdas,
    lambda_grid,
)
from regjax.paths._solve import LanePath, solve_data, solve_statistics, wants_gram
from regjax.paths.statistics import sufficient_statistics

CONVERGED = 0
NOT_CONVERGED = 1


class ConvergenceWarning(UserWarning):
    """Some solutions of a path are further from their optimum than `tol`."""


class Path(NamedTuple):
    """Solutions at every lambda. With several responses every field gains a leading axis.

    Attributes:
        lambdas: (n_lambdas,), descending.
        coef: (n_lambdas, n_features), in the units of the data.
        intercept: (n_lambdas,).
        duality_gap: (n_lambdas,) gap of these very coefficients, divided by the objective of
            the intercept alone.
        status: (n_lambdas,) int; 0 where `duality_gap <= tol`, else 1.
        l1_ratio: the mix that was asked for.
        feature_names: the names of the columns, or None.
    """

    lambdas: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    duality_gap: np.ndarray
    status: np.ndarray
    l1_ratio: float
    feature_names: tuple[str, ...] | None

    def at(self, lambda_: float) -> tuple[np.ndarray, np.ndarray]:
        """Return coefficients and intercept at `lambda_`, by linear interpolation of the path.

        Exact at the lambdas of the path, and between two of them wherever the active set is the
        same for the lasso; for an exact solution elsewhere solve again with `lambdas=[lambda_]`.

        Raises:
            ValueError: if `lambda_` is outside the path, or the path has several responses.

        Example:
            >>> import numpy as np
            >>> X, y = np.array([[1.0], [-1.0]]), np.array([2.0, -2.0])
            >>> print(lasso_path(X, y, lambdas=[2.0, 1.0]).at(1.5)[0])
            [0.5]
        """
        if self.lambdas.ndim != 1:
            raise ValueError("This path has several responses: take one of them first.")
        largest, least = self.lambdas[0], self.lambdas[-1]
        if not least <= lambda_ <= largest:
            raise ValueError(
                f"lambda_ = {lambda_:g} is outside the path, {least:g} to {largest:g}; solve "
                "again with lambdas=[lambda_]."
            )
        right = min(int(np.searchsorted(-self.lambdas, -lambda_)), len(self.lambdas) - 1)
        left = max(right - 1, 0)
        width = self.lambdas[left] - self.lambdas[right]
        share = (self.lambdas[left] - lambda_) / width if width > 0 else 1.0
        coef = (1 - share) * self.coef[left] + share * self.coef[right]
        return coef, (1 - share) * self.intercept[left] + share * self.intercept[right]

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions (..., n_lambdas, n_samples) for rows `X` (n_samples, n_features).

        Example:
            >>> import numpy as np
            >>> X, y = np.array([[1.0], [-1.0]]), np.array([2.0, -2.0])
            >>> print(lasso_path(X, y, lambdas=[1.0]).predict(X))
            [[ 1. -1.]]
        """
        X = as_matrix(X)
        if X.shape[1] != self.coef.shape[-1]:
            raise ValueError(f"X has {X.shape[1]} columns, the path {self.coef.shape[-1]}.")
        return self.coef @ X.T + self.intercept[..., None]


def elastic_net_path(
    X: Any,
    y: Any,
    *,
    l1_ratio: float = 1.0,
    lambdas: Any = None,
    n_lambdas: int = 100,
    lambda_min_ratio: float | None = None,
    fit_intercept: bool = True,
    standardize: bool = False,
    sample_weight: Any = None,
    penalty_weights: Any = None,
    lower: Any = None,
    upper: Any = None,
    tol: float = 1e-6,
) -> Path:
    """Return the elastic-net path of `X` (n_samples, n_features) and `y`.

    Args:
        X: matrix or data frame of numbers.
        y: (n_samples,), or (n_samples, n_targets) for independent paths that share `X`.
        l1_ratio: share of the absolute penalty, 1 for the lasso, 0 for ridge.
        lambdas: strengths > 0 (0 is allowed); sorted descending. Unless given, `n_lambdas`
            values spaced evenly in the logarithm from the least one at which every penalised
            coefficient is 0 down to `lambda_min_ratio` times that. With `l1_ratio` below 0.001
            that value is infinite or nearly, and the grid of 0.001 is taken.
        lambda_min_ratio: 0.001 with more rows than columns, else 0.01, unless given.
        fit_intercept: whether an unpenalised intercept is fitted.
        standardize: whether the penalty applies to coefficients of columns divided by their
            standard deviations (divisor n, weighted). Coefficients come back in the units of
            the data either way, and so do the bounds.
        sample_weight: (n_samples,) weights >= 0.
        penalty_weights: (n_features,) factors of lambda; 0 leaves a column unpenalised,
            infinity leaves it out.
        lower, upper: bounds of the coefficients, `lower <= 0 <= upper`; numbers or
            (n_features,). `lower=0` makes them non-negative.
        tol: largest duality gap, relative to the objective of the intercept alone.

    Raises:
        ValueError: for values that are NaN, infinite or of the wrong shape or sign.

    Example:
        >>> import numpy as np
        >>> X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> y = X @ np.array([3.0, 1.0])
        >>> path = elastic_net_path(X, y, lambdas=[2.0, 0.5])
        >>> print(path.coef)
        [[1.  0. ]
         [2.5 0.5]]
    """
    names = feature_names(X)
    X = as_matrix(X).astype(np.float64, copy=False)
    responses, single = as_responses(y, len(X))
    weight = as_sample_weight(sample_weight, len(X))
    l1_ratio = check_fraction(l1_ratio)
    shape = as_shape(X.shape[1], fit_intercept, standardize, penalty_weights, lower, upper)
    given = None if lambdas is None else check_lambdas(lambdas, shape)
    if wants_gram(*X.shape):
        lane = standard_form(sufficient_statistics(X, responses, weight), shape)
        grid = lambda_grid(lane, given, l1_ratio, n_lambdas, lambda_min_ratio, X.shape)
        (found,) = solve_statistics([lane], grid, l1_ratio, tol)
    else:
        rows = np.ones(len(X)) if weight is None else weight
        form = data_form(X, responses, rows[None], shape)
        grid = lambda_grid(form.lanes[0], given, l1_ratio, n_lambdas, lambda_min_ratio, X.shape)
        (found,) = solve_data(form, grid, l1_ratio, tol)
    return as_path(found, grid, l1_ratio, tol, names, single)


def lasso_path(X: Any, y: Any, **settings: Any) -> Path:
    """Return the lasso path: `elastic_net_path` with `l1_ratio=1`; settings are its own.

    Example:
        >>> import numpy as np
        >>> X, y = np.array([[1.0], [-1.0]]), np.array([2.0, -2.0])
        >>> print(lasso_path(X, y, n_lambdas=2).lambdas)
        [2.    0.002]
    """
    return elastic_net_path(X, y, l1_ratio=1.0, **settings)


def ridge_path(X: Any, y: Any, **settings: Any) -> Path:
    """Return the ridge path: `elastic_net_path` with `l1_ratio=0`; settings are its own.

    Example:
        >>> import numpy as np
        >>> X, y = np.array([[1.0], [-1.0]]), np.array([2.0, -2.0])
        >>> print(ridge_path(X, y, lambdas=[1.0, 0.0]).coef)
        [[1.]
         [2.]]
    """
    return elastic_net_path(X, y, l1_ratio=0.0, **settings)


def as_path(
    found: LanePath,
    grid: np.ndarray,
    l1_ratio: float,
    tol: float,
    names: tuple[str, ...] | None,
    single: bool,
) -> Path:
    """Return the solutions of one lane as a `Path`, with a warning where they fall short."""
    status = np.where(found.gap <= tol, CONVERGED, NOT_CONVERGED)
    if status.any():
        warnings.warn(
            f"{np.count_nonzero(status)} of {status.size} solutions have a duality gap above tol "
            f"= {tol:g}, the largest {found.gap.max():.1e}. Standardise or drop nearly dependent "
            "columns, take a larger least lambda, or accept a larger tol.",
            ConvergenceWarning,
            stacklevel=3,
        )
    fields = (grid, found.coef, found.intercept, found.gap, status)
    if single:
        fields = tuple(field[0] for field in fields)
    return Path(*fields, l1_ratio=l1_ratio, feature_names=names)
