"""Cross-validated elastic net: all folds, all lambdas and the final fit in one run.

The training statistics of a fold are those of all rows less those of its test rows, so that
five folds cost one pass over the data. Errors are mean squared errors of the test rows, weighted by
`sample_weight`, averaged over folds; standard errors are over folds too, which share training rows:
they are too small by an unknown factor, as everywhere (Bengio and Grandvalet 2004).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Unpack

import numpy as np

from regjax._inputs import feature_names
from regjax.paths._joint import solve_lanes
from regjax.paths._lanes import Lanes, as_folds
from regjax.paths._penalties import ElasticNetPenalty, MultiTaskPenalty, PathPenalty, lambda_grid
from regjax.paths.engines.solutions import LanePath
from regjax.paths.folds import Split
from regjax.paths.path import as_status
from regjax.paths.results import CrossValidation, chosen, first_response
from regjax.paths.settings import JointSettings, PathSettings, Settings, check_l1_ratios


def elastic_net_cv(
    X: Any,
    y: Any = None,
    *,
    l1_ratio: Any = 1.0,
    folds: int | Iterable[Split] | None = None,
    **settings: Unpack[PathSettings],
) -> CrossValidation:
    """Return the elastic net cross-validated over lambda, and over `l1_ratio` if several are given.

    Args:
        X, y: as in `elastic_net_path`; or, without y, a list of `SufficientStatistics`, one for
            each fold.
        l1_ratio: one number or several.
        folds: a number of shuffled folds, 5 unless given, or pairs of training and test indices,
            or masks:
            `k_folds(n, 5, repeats=10)`, `k_folds(n, 5, groups=patient)`,
            `time_ordered_folds(n)`, or what a splitter of scikit-learn yields.
        **settings: any of `PathSettings`, as in `elastic_net_path`. The grid of lambdas is that of
            all rows. Inside `jax.jit` and `jax.vmap`, and for JAX arrays on an accelerator, a JAX
            program runs, as for paths: all but `folds` and `n_lambdas` may be traced then, and JAX
            arrays come back.

    Returns:
        Errors by fold, both choices, and the fit to all rows.

    Raises:
        TypeError: for an unknown setting.
        ValueError: for values that are NaN, infinite or of the wrong shape or sign, and for splits
            that are empty or overlap.

    Warns:
        ConvergenceWarning: where a solution of all rows has a duality gap above `tol`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(60, 8))
        >>> result = elastic_net_cv(X, X[:, 0] + 0.1 * rng.normal(size=60), l1_ratio=[0.5, 1.0])
        >>> print(result.l1_ratio, np.flatnonzero(result.coef_1se))
        1.0 [0]
    """
    given = Settings.of("elastic_net_cv", settings)
    if given.belongs_to_jax(X, y, l1_ratio):
        from regjax.paths.traced.cross_validation import traced_cv

        return traced_cv(X, y, l1_ratio, folds, given)
    ratios = check_l1_ratios(l1_ratio)
    penalties = [ElasticNetPenalty(ratio) for ratio in ratios.tolist()]
    found, single = _searched(X, y, penalties, folds, given)
    return first_response(found) if single else found


def lasso_cv(
    X: Any,
    y: Any = None,
    *,
    folds: int | Iterable[Split] | None = None,
    **settings: Unpack[PathSettings],
) -> CrossValidation:
    """Return the cross-validated lasso: `elastic_net_cv` with `l1_ratio=1`; arguments are its own.

    Example:
        >>> import numpy as np
        >>> X = np.arange(20.0).reshape(-1, 1)
        >>> lasso_cv(X, X[:, 0], folds=4).fold_errors.shape
        (1, 4, 100)
    """
    return elastic_net_cv(X, y, l1_ratio=1.0, folds=folds, **settings)


def multi_task_cv(
    X: Any,
    Y: Any = None,
    *,
    l1_ratio: Any = 1.0,
    folds: int | Iterable[Split] | None = None,
    **settings: Unpack[JointSettings],
) -> CrossValidation:
    """Return the joint elastic net cross-validated over lambda, and over several `l1_ratio`.

    Args:
        X, Y: as in `multi_task_path`; or, without Y, a list of `SufficientStatistics`, one for
            each fold.
        l1_ratio: one number or several.
        folds: as in `elastic_net_cv`.
        **settings: any of `JointSettings`. The grid of lambdas is that of all rows.

    Returns:
        Errors by fold, averaged over responses, both choices, and the fit to all rows.

    Raises:
        TypeError: for an unknown setting.
        ValueError: for values that are NaN, infinite or of the wrong shape or sign, and for splits
            that are empty or overlap.

    Warns:
        ConvergenceWarning: where a solution of all rows has a duality gap above `tol`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X, E = rng.normal(size=(60, 8)), rng.normal(size=(60, 3))
        >>> result = multi_task_cv(X, X[:, :1] + 0.1 * E)
        >>> print(np.flatnonzero(result.coef_1se.any(axis=0)))
        [0]
    """
    given = Settings.of("multi_task_cv", settings, JointSettings)
    if np.ndim(Y) == 1:
        raise ValueError("Y must have shape (n_samples, n_targets); use lasso_cv for one.")
    ratios = check_l1_ratios(l1_ratio)
    penalties = [MultiTaskPenalty(ratio) for ratio in ratios.tolist()]
    return first_response(_searched(X, Y, penalties, folds, given)[0])


def _searched(
    X: Any,
    y: Any,
    penalties: list[Any],
    folds: int | Iterable[Split] | None,
    settings: Settings,
) -> tuple[CrossValidation, bool]:
    """Return the choice for every problem, and whether there is one response."""
    names = feature_names(X)
    tol = settings.checked_tol()
    lanes, n_splits, single = as_folds(X, y, folds, settings)
    given = settings.given_lambdas(lanes.shape)
    everything = lanes.standard[:1]
    grids, errors, fits = [], [], []
    penalty: PathPenalty
    for penalty in penalties:
        grid = lambda_grid(everything, penalty, settings, given, lanes.size)
        grid_of_all = np.broadcast_to(grid, (n_splits + 1, *grid.shape[1:]))
        whole, *parts = solve_lanes(lanes, grid_of_all, penalty, tol)
        grids.append(grid[0])
        fits.append(whole)
        errors.append(np.stack([_errors(lanes, i, part) for i, part in enumerate(parts)], axis=1))
    fold_errors = np.stack(errors, axis=1)
    mean = fold_errors.mean(axis=2)
    spread = fold_errors.std(axis=2, ddof=1) / np.sqrt(fold_errors.shape[2])
    ratios = np.array([penalty.l1_ratio for penalty in penalties])
    solutions = LanePath(*(np.stack(parts) for parts in zip(*fits, strict=True)))
    found = chosen(
        ratios, np.stack(grids, axis=1), fold_errors, mean, spread, *solutions, names=names
    )
    return certified(found, tol), single


def _errors(lanes: Lanes, split: int, path: LanePath) -> np.ndarray:
    """Return mean errors (n_problems, n_lambdas) over the rows that a split tests on."""
    *_, n_lambdas, p = path.coef.shape
    coef, intercept = path.coef.reshape(-1, n_lambdas, p), path.intercept.reshape(-1, n_lambdas)
    error = lanes.error(split, coef, intercept)
    return error.reshape(len(path.gap), -1, n_lambdas).mean(axis=1)


def certified(found: CrossValidation, tol: float) -> CrossValidation:
    """Return the result with the status of its paths, warning where gaps exceed `tol`."""
    status = as_status(found.path.duality_gap, tol)
    return dataclasses.replace(found, path=dataclasses.replace(found.path, status=status))
