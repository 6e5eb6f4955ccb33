"""Ridge, lasso and elastic net at every lambda, each solution with its duality gap.

For every lambda the minimiser over coefficients `b` and intercept `a` of

    sum_i w_i (y_i - a - x_i b)^2 / (2 sum_i w_i)
        + lambda sum_j f_j (l1_ratio |b_j| + (1 - l1_ratio) / 2 b_j^2)

within `lower <= b <= upper`, for sample weights `w` and penalty weights `f`, 1 unless given. The
duality gap bounds how far the objective is above its minimum; `tol` bounds it, relative to the
objective of the intercept alone. All arithmetic that counts is in float64 whatever JAX's setting,
and NumPy arrays come back. Inside `jax.jit` and `jax.vmap`, and for JAX arrays on an accelerator, a
JAX program runs instead: JAX arrays come back, in the dtype of `X`, and the certificate is as exact
as that (`tol` is at least 64 times the dtype's epsilon, 8e-6 in float32). A traced value that
cannot be used gives coefficients that are not numbers, a gap of infinity and status 1.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from regjax._inputs import belongs_to_jax, feature_names
from regjax.paths._input import as_new_design
from regjax.paths._lanes import as_data
from regjax.paths._settings import (
    as_shape,
    check_fraction,
    check_lambdas,
    check_tolerance,
    lambda_grid,
)

CONVERGED = 0
NOT_CONVERGED = 1


class ConvergenceWarning(UserWarning):
    """Some solutions of a path are further from their optimum than `tol`."""


class Path(NamedTuple):
    """Solutions at every lambda.

    With several responses the arrays gain a leading axis (n_targets,), and with several weightings
    of the rows one before it.

    Attributes:
        lambdas: (n_lambdas,), descending.
        coef: (n_lambdas, n_features), in the units of the data.
        intercept: (n_lambdas,).
        duality_gap: (n_lambdas,) gap of these very coefficients, divided by the objective of
            the intercept alone.
        status: (n_lambdas,) int; 0 where `duality_gap <= tol`, else 1.
        l1_ratio: the mix that was asked for, a number.
        feature_names: the names of the columns, or None.
    """

    lambdas: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    duality_gap: np.ndarray
    status: np.ndarray
    l1_ratio: Any
    feature_names: tuple[str, ...] | None

    def at(self, lambda_: float) -> tuple[np.ndarray, np.ndarray]:
        """Return coefficients and intercept at `lambda_`, by linear interpolation of the path.

        Exact at the lambdas of the path, and between two of them wherever the active set is the
        same for the lasso; for an exact solution elsewhere solve again with `lambdas=[lambda_]`.

        Raises:
            ValueError: if `lambda_` is outside the path, or there are several paths.

        Example:
            >>> import numpy as np
            >>> X, y = np.array([[1.0], [-1.0]]), np.array([2.0, -2.0])
            >>> print(lasso_path(X, y, lambdas=[2.0, 1.0]).at(1.5)[0])
            [0.5]
        """
        if self.lambdas.ndim != 1:
            raise ValueError("These are several paths: take one of them by select(...) first.")
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

    def select(self, *index: int) -> Path:
        """Return one path of several: by weighting, if there are several, then by response.

        Example:
            >>> import numpy as np
            >>> X = np.array([[1.0], [-1.0]])
            >>> lasso_path(X, np.hstack([2 * X, 3 * X]), lambdas=[1.0]).select(1).at(1.0)[0]
            array([2.])
        """
        return Path(
            self.lambdas[index],
            self.coef[index],
            self.intercept[index],
            self.duality_gap[index],
            self.status[index],
            self.l1_ratio if np.ndim(self.l1_ratio) == 0 else self.l1_ratio[index],
            self.feature_names,
        )

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions (..., n_lambdas, n_samples) for rows `X` (n_samples, n_features).

        The columns of a data frame are found by `feature_names`, in any order and among others.

        Example:
            >>> import numpy as np
            >>> X, y = np.array([[1.0], [-1.0]]), np.array([2.0, -2.0])
            >>> print(lasso_path(X, y, lambdas=[1.0]).predict(X))
            [[ 1. -1.]]
        """
        X = as_new_design(X, self.feature_names, self.coef.shape[-1])
        flat = self.coef.reshape(-1, X.shape[1]) @ X.T
        return flat.reshape(*self.intercept.shape, -1) + self.intercept[..., None]


def elastic_net_path(
    X: Any,
    y: Any = None,
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
        X: matrix or data frame of numbers, or a sparse matrix of SciPy or JAX, which is centred
            without being made dense; or `SufficientStatistics`, then without `y`.
        y: (n_samples,), or (n_samples, n_targets) for independent paths that share `X`.
        l1_ratio: share of the absolute penalty, 1 for the lasso, 0 for ridge.
        lambdas: strengths > 0, or 0 for least squares (of several solutions that of least
            quadratic penalty, where ridge ends); sorted descending. Unless given, `n_lambdas`
            values spaced evenly in the logarithm from the least one at which every penalised
            coefficient is 0 down to `lambda_min_ratio` times that. With `l1_ratio` below 0.001
            that value is infinite or nearly, and the grid of 0.001 is taken.
        lambda_min_ratio: 0.001 with more rows than columns, else 0.01, unless given; 1e-9 for
            ridge without bounds outside of traced code, whose best strength can lie anywhere
            among the eigenvalues. Of statistics the sum of the weights counts as the rows.
        fit_intercept: whether an unpenalised intercept is fitted.
        standardize: whether the penalty applies to coefficients of columns divided by their
            standard deviations (divisor n, weighted). Coefficients come back in the units of
            the data either way, and so do the bounds.
        sample_weight: (n_samples,) weights >= 0, or (n_weightings, n_samples) for a path under
            each weighting: bootstraps, say, as counts of the rows drawn.
        penalty_weights: (n_features,) factors of lambda; 0 leaves a column unpenalised,
            infinity leaves it out.
        lower, upper: bounds of the coefficients, `lower <= 0 <= upper`; numbers or
            (n_features,). `lower=0` makes them non-negative.
        tol: largest duality gap, relative to the objective of the intercept alone.

    Raises:
        ValueError: for values that are NaN, infinite or of the wrong shape or sign.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> y = X @ np.array([3.0, 1.0])
        >>> path = elastic_net_path(X, y, lambdas=[2.0, 0.5])
        >>> print(path.coef)
        [[1.  0. ]
         [2.5 0.5]]
        >>> several = jax.vmap(elastic_net_path)(np.stack([X, 2 * X]), np.stack([y, y]))
        >>> several.coef.shape
        (2, 100, 2)
    """
    vectors = (X, y, sample_weight, lambdas, l1_ratio, penalty_weights, lower, upper)
    if belongs_to_jax(*vectors, lambda_min_ratio, fit_intercept, standardize, tol):
        from regjax.paths._traced import traced_paths

        return traced_paths(
            X,
            y,
            sample_weight,
            l1_ratio=l1_ratio,
            lambdas=lambdas,
            n_lambdas=n_lambdas,
            lambda_min_ratio=lambda_min_ratio,
            fit_intercept=fit_intercept,
            standardize=standardize,
            penalty_weights=penalty_weights,
            lower=lower,
            upper=upper,
            tol=tol,
        )
    names = feature_names(X)
    data, single = as_data(X, y, sample_weight)
    l1_ratio, tol = check_fraction(l1_ratio), check_tolerance(tol)
    shape = as_shape(data.size[1], fit_intercept, standardize, penalty_weights, lower, upper)
    given = None if lambdas is None else check_lambdas(lambdas, shape)
    lanes = data.lanes(shape)
    grid = lambda_grid(lanes.standard, given, l1_ratio, n_lambdas, lambda_min_ratio, data.size)
    found = lanes.solve(grid, l1_ratio, tol)
    # A single lane is not copied.
    coef, intercept, gap = (
        parts[0] if len(parts) == 1 else np.stack(parts) for parts in zip(*found, strict=True)
    )
    lead = grid.shape[:1] * (np.ndim(sample_weight) == 2) + grid.shape[1:2] * (not single)
    return as_path(grid, coef, intercept, gap, lead, l1_ratio, tol, names)


def lasso_path(X: Any, y: Any = None, **settings: Any) -> Path:
    """Return the lasso path: `elastic_net_path` with `l1_ratio=1`; settings are its own.

    Example:
        >>> import numpy as np
        >>> X, y = np.array([[1.0], [-1.0]]), np.array([2.0, -2.0])
        >>> print(lasso_path(X, y, n_lambdas=2).lambdas)
        [2.    0.002]
    """
    return elastic_net_path(X, y, l1_ratio=1.0, **settings)


def ridge_path(X: Any, y: Any = None, **settings: Any) -> Path:
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
    lambdas: np.ndarray,
    coef: np.ndarray,
    intercept: np.ndarray,
    gap: np.ndarray,
    lead: tuple[int, ...],
    l1_ratio: Any,
    tol: float,
    names: tuple[str, ...] | None,
) -> Path:
    """Return solutions with the leading axes `lead` as a `Path`, warning where they fall short."""
    status = as_status(gap, tol)
    curve = (*lead, coef.shape[-2])
    return Path(
        lambdas.reshape(curve),
        coef.reshape(*curve, coef.shape[-1]),
        intercept.reshape(curve),
        gap.reshape(curve),
        status.reshape(curve),
        l1_ratio,
        names,
    )


def as_status(gap: np.ndarray, tol: float) -> np.ndarray:
    """Return the status of solutions with these gaps, warning where they fall short.

    To be called by what a public function calls: the warning points to the line of the caller.
    """
    status = np.where(gap <= tol, CONVERGED, NOT_CONVERGED)
    if status.any():
        warnings.warn(
            f"{np.count_nonzero(status)} of {status.size} solutions have a duality gap above tol "
            f"= {tol:g}, the largest {gap.max():.1e}. Standardise or drop nearly dependent "
            "columns, take a larger least lambda, or accept a larger tol.",
            ConvergenceWarning,
            stacklevel=4,
        )
    return status
