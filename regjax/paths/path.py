"""Ridge, lasso and elastic net at every lambda, each solution with its duality gap.

For every lambda the minimizer over coefficients `b` and intercept `a` of

    sum_i w_i (y_i - a - x_i b)^2 / (2 sum_i w_i)
        + lambda sum_j f_j (l1_ratio |b_j| + (1 - l1_ratio) / 2 b_j^2)

within `lower <= b <= upper`, for sample weights `w` and penalty weights `f`, 1 unless given; and of
several responses that share their columns, over `B` (n_targets, n_features) and intercepts `a`, of

    sum_i w_i ||y_i - a - B x_i||^2 / (2 sum_i w_i)
        + lambda sum_j f_j (l1_ratio ||B_j|| + (1 - l1_ratio) / 2 ||B_j||^2)

for the Euclidean norms of the columns `B_j`: a coefficient is 0 for all responses or for none
(Obozinski, Taskar and Jordan 2010, "Joint covariate selection and joint subspace selection for
multiple classification problems").

The duality gap bounds how far the objective is above its minimum; `tol` bounds it, relative to the
objective of the intercept alone. All arithmetic that counts is in float64 whatever JAX's setting,
and NumPy arrays come back. Inside `jax.jit` and `jax.vmap`, and for JAX arrays on an accelerator, a
JAX program runs instead: JAX arrays come back, in the dtype of `X`, and the certificate is as exact
as that (`tol` is at least 64 times the dtype's epsilon, 8e-6 in float32). A traced value that
cannot be used gives NaN coefficients, a gap of infinity and status 1.
"""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from regjax._inputs import feature_names
from regjax._warnings import warn
from regjax.paths._joint import solve_lanes
from regjax.paths._lanes import as_lanes
from regjax.paths._penalties import ElasticNetPenalty, MultiTaskPenalty, PathPenalty, lambda_grid
from regjax.paths.results import CONVERGED, NOT_CONVERGED, ConvergenceWarning, Path
from regjax.paths.settings import JointSettings, PathSettings, Settings, check_l1_ratios


def elastic_net_path(
    X: Any, y: Any = None, *, l1_ratio: Any = 1.0, **settings: Unpack[PathSettings]
) -> Path:
    """Return the elastic-net path of `X` (n_samples, n_features) and `y`.

    Args:
        X: matrix or data frame of numbers, or a sparse matrix of SciPy or JAX, which is centered
            without being made dense; or `SufficientStatistics`, then without `y`.
        y: (n_samples,), or (n_samples, n_targets) for independent paths that share `X`.
        l1_ratio: share of the absolute penalty, 1 for the lasso, 0 for ridge.
        **settings: any of `PathSettings`: `lambdas`, `n_lambdas=100`, `lambda_min_ratio`,
            `fit_intercept=True`, `standardize=False`, `sample_weight`, `penalty_weights`, `lower`,
            `upper`, `tol=1e-6`.

    Returns:
        The solutions, with several responses or weightings on leading axes.

    Raises:
        TypeError: for an unknown setting.
        ValueError: for values that are NaN, infinite or of the wrong shape or sign.

    Warns:
        ConvergenceWarning: where a solution has a duality gap above `tol`.

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
    given = Settings.of("elastic_net_path", settings)
    if given.belongs_to_jax(X, y, l1_ratio):
        from regjax.paths.traced.path import traced_path

        return traced_path(X, y, l1_ratio, given)
    (ratio,) = check_l1_ratios(l1_ratio)
    path, single = _solved(X, y, ElasticNetPenalty(float(ratio)), given)
    # One weighting, and one response, have no axis.
    several = np.ndim(given.sample_weight) == 2
    return path.select(slice(None) if several else 0, 0 if single else slice(None))


def lasso_path(X: Any, y: Any = None, **settings: Unpack[PathSettings]) -> Path:
    """Return the lasso path: `elastic_net_path` with `l1_ratio=1`; arguments are its own.

    Example:
        >>> import numpy as np
        >>> X, y = np.array([[1.0], [-1.0]]), np.array([2.0, -2.0])
        >>> print(lasso_path(X, y, n_lambdas=2).lambdas)
        [2.    0.002]
    """
    return elastic_net_path(X, y, l1_ratio=1.0, **settings)


def ridge_path(X: Any, y: Any = None, **settings: Unpack[PathSettings]) -> Path:
    """Return the ridge path: `elastic_net_path` with `l1_ratio=0`; arguments are its own.

    Example:
        >>> import numpy as np
        >>> X, y = np.array([[1.0], [-1.0]]), np.array([2.0, -2.0])
        >>> print(ridge_path(X, y, lambdas=[1.0, 0.0]).coef)
        [[1.]
         [2.]]
    """
    return elastic_net_path(X, y, l1_ratio=0.0, **settings)


def multi_task_path(
    X: Any, Y: Any = None, *, l1_ratio: float = 1.0, **settings: Unpack[JointSettings]
) -> Path:
    """Return the joint elastic-net path of `X` (n_samples, n_features) and all columns of `Y`.

    Responses in larger units count for more: divide them by their standard deviations unless that
    is meant.

    Args:
        X: as in `elastic_net_path`: dense, sparse, or `SufficientStatistics` without `Y`.
        Y: (n_samples, n_targets).
        l1_ratio: share of the norms, 1 for the multi-task lasso, 0 for ridge.
        **settings: any of `JointSettings`: as in `elastic_net_path`, without bounds.

    Returns:
        The solutions: `coef` (n_targets, n_lambdas, n_features), with one lambda, gap and status
        for all responses.

    Raises:
        TypeError: for an unknown setting.
        ValueError: for values that are NaN, infinite or of the wrong shape or sign.

    Warns:
        ConvergenceWarning: where a solution has a duality gap above `tol`.

    Example:
        >>> import numpy as np
        >>> X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> path = multi_task_path(X, X @ np.array([[3.0, 4.0], [0.0, 0.5]]), lambdas=[1.0])
        >>> print(path.coef[:, 0].T)
        [[2.4 3.2]
         [0.  0. ]]
    """
    given = Settings.of("multi_task_path", settings, JointSettings)
    if np.ndim(given.sample_weight) == 2:
        raise ValueError("A joint path has one weighting: give sample_weight (n_samples,).")
    if np.ndim(Y) == 1:
        raise ValueError("Y must have shape (n_samples, n_targets); use lasso_path for one.")
    (ratio,) = check_l1_ratios(l1_ratio)
    path, _ = _solved(X, Y, MultiTaskPenalty(float(ratio)), given)
    return Path(
        path.lambdas[0, 0],
        path.coef[0, 0],
        path.intercept[0, 0],
        path.duality_gap[0, 0],
        path.status[0, 0],
        path.l1_ratio,
        path.feature_names,
    )


def _solved(X: Any, y: Any, penalty: PathPenalty, settings: Settings) -> tuple[Path, bool]:
    """Return all problems of all weightings as one path, and whether there is one response."""
    names = feature_names(X)
    tol = settings.checked_tol()
    lanes, single = as_lanes(X, y, settings)
    given = settings.given_lambdas(lanes.shape)
    grid = lambda_grid(lanes.standard, penalty, settings, given, lanes.size)
    found = solve_lanes(lanes, grid, penalty, tol)
    # A single lane is not copied.
    coef, intercept, gap = (
        parts[0][None] if len(parts) == 1 else np.stack(parts) for parts in zip(*found, strict=True)
    )
    status = as_status(gap, tol)
    return Path(np.array(grid), coef, intercept, gap, status, penalty.l1_ratio, names), single


def as_status(gap: np.ndarray, tol: float) -> np.ndarray:
    """Return the status of solutions with these gaps, warning where they exceed `tol`."""
    status = np.where(gap <= tol, CONVERGED, NOT_CONVERGED)
    if status.any():
        warn(
            f"{np.count_nonzero(status)} of {status.size} solutions have a duality gap above tol "
            f"= {tol:g}, the largest {gap.max():.1e}. Standardize or drop nearly dependent "
            "columns, take a larger smallest lambda, or accept a larger tol.",
            ConvergenceWarning,
        )
    return status
