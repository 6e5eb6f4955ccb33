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

from regjax._inputs import belongs_to_jax, feature_names
from regjax.paths._fold_lanes import fold_data
from regjax.paths._input import as_new_design
from regjax.paths._settings import (
    as_shape,
    check_fractions,
    check_lambdas,
    check_tolerance,
    lambda_grid,
)
from regjax.paths._solve import LanePath
from regjax.paths.folds import Split
from regjax.paths.path import Path, as_path


class CrossValidation(NamedTuple):
    """What cross-validation found.

    With several responses every field but `l1_ratios` gains a leading axis (n_targets,).

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
    l1_ratio: Any
    lambda_: Any
    lambda_1se: Any
    coef: np.ndarray
    intercept: Any
    coef_1se: np.ndarray
    intercept_1se: Any
    path: Path

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions (n_samples,) or (n_samples, n_targets) of the fit at `lambda_`.

        The columns of a data frame are found by name, as in `Path.predict`.

        Example:
            >>> import numpy as np
            >>> X = np.arange(20.0).reshape(-1, 1)
            >>> print(lasso_cv(X, X[:, 0]).predict(np.array([[40.0]])).round(1))
            [40.]
        """
        X = as_new_design(X, self.path.feature_names, self.coef.shape[-1])
        return X @ self.coef.T + self.intercept


def elastic_net_cv(
    X: Any,
    y: Any = None,
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
        X, y: as in `elastic_net_path`; or, without y, a list of `SufficientStatistics`, one for
            each fold.
        l1_ratio: one mix or several.
        folds: a number of shuffled folds, or pairs of training and test indices:
            `k_folds(n, 5, repeats=10)`, `k_folds(n, 5, groups=patient)`,
            `time_ordered_folds(n)`, or what a splitter of scikit-learn yields.

    Other arguments are those of `elastic_net_path`. The grid is that of all rows. Inside `jax.jit`
    and `jax.vmap`, and for JAX arrays on an accelerator, a JAX program runs, as for paths: all but
    `folds` and `n_lambdas` may be traced then, JAX arrays come back, and ridge has the lasso's
    `lambda_min_ratio`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(60, 8))
        >>> result = elastic_net_cv(X, X[:, 0] + 0.1 * rng.normal(size=60), l1_ratio=[0.5, 1.0])
        >>> print(result.l1_ratio, np.flatnonzero(result.coef_1se))
        1.0 [0]
    """
    vectors = (X, y, sample_weight, lambdas, l1_ratio, penalty_weights, lower, upper)
    if belongs_to_jax(*vectors, lambda_min_ratio, fit_intercept, standardize, tol):
        from regjax.paths._traced_cv import traced_cv

        return traced_cv(
            X,
            y,
            l1_ratio=l1_ratio,
            lambdas=lambdas,
            n_lambdas=n_lambdas,
            lambda_min_ratio=lambda_min_ratio,
            folds=folds,
            fit_intercept=fit_intercept,
            standardize=standardize,
            sample_weight=sample_weight,
            penalty_weights=penalty_weights,
            lower=lower,
            upper=upper,
            tol=tol,
        )
    names = feature_names(X)
    data, single = fold_data(X, y, sample_weight, folds)
    ratios, tol = check_fractions(l1_ratio), check_tolerance(tol)
    shape = as_shape(data.size[1], fit_intercept, standardize, penalty_weights, lower, upper)
    given = None if lambdas is None else check_lambdas(lambdas, shape)
    lanes = data.lanes(shape)
    everything, n_lanes = lanes.standard[:1], len(lanes.standard)
    grids, errors, fits = [], [], []
    for ratio in ratios:
        grid = lambda_grid(everything, given, ratio, n_lambdas, lambda_min_ratio, data.size)
        whole, *parts = lanes.solve(np.broadcast_to(grid, (n_lanes, *grid.shape[1:])), ratio, tol)
        grids.append(grid[0])
        fits.append(whole)
        errors.append(np.stack([data.error(i, part) for i, part in enumerate(parts)], axis=1))
    fold_errors = np.stack(errors, axis=1)
    mean = fold_errors.mean(axis=2)
    spread = fold_errors.std(axis=2, ddof=1) / np.sqrt(fold_errors.shape[2])
    return as_cross_validation(
        ratios, np.stack(grids, axis=1), fold_errors, mean, spread, fits, single, tol, names
    )


def lasso_cv(X: Any, y: Any = None, **settings: Any) -> CrossValidation:
    """Return the cross-validated lasso: `elastic_net_cv` with `l1_ratio=1`; settings are its own.

    Example:
        >>> import numpy as np
        >>> X = np.arange(20.0).reshape(-1, 1)
        >>> lasso_cv(X, X[:, 0], folds=4).fold_errors.shape
        (1, 4, 100)
    """
    return elastic_net_cv(X, y, l1_ratio=1.0, **settings)


def choices(mean: Any, spread: Any, xp: Any = np) -> tuple[Any, Any, Any]:
    """Return by response, from errors (m, n_ratios, n_lambdas), which ratio and lambdas are chosen.

    The ratio and the lambda of the least error, and the largest lambda of that ratio whose error
    is within one standard error of it; the same lambda where the standard error is unknown. The
    namespace of the arrays is `xp`.
    """
    target = xp.arange(len(mean))
    ratio, best = xp.divmod(mean.reshape(len(mean), -1).argmin(axis=1), mean.shape[2])
    mean, spread = mean[target, ratio], spread[target, ratio]
    limit = mean[target, best] + xp.nan_to_num(spread[target, best])
    # The largest lambda comes first.
    return ratio, best, xp.argmax(mean <= limit[:, None], axis=1)


def as_cross_validation(
    l1_ratios: np.ndarray,
    lambdas: np.ndarray,
    fold_errors: np.ndarray,
    mean: np.ndarray,
    spread: np.ndarray,
    fits: list[LanePath],
    single: bool,
    tol: float,
    names: tuple[str, ...] | None,
) -> CrossValidation:
    """Return the choice by errors of m responses, and the fits to all rows that go with it.

    Args:
        l1_ratios: (n_ratios,).
        lambdas, mean, spread: (m, n_ratios, n_lambdas).
        fold_errors: (m, n_ratios, n_folds, n_lambdas).
        fits: one per ratio, of all rows.
        single: whether the axis of the responses is dropped.
    """
    target = np.arange(len(mean))
    ratio, best, sparse = choices(mean, spread)
    chosen = [[part[k] for part in fits[i]] for k, i in enumerate(ratio)]
    coef, intercept, gap = (np.stack(parts) for parts in zip(*chosen, strict=True))
    grid, ratios = lambdas[target, ratio], l1_ratios[ratio]

    def shown(field: np.ndarray) -> Any:
        if not single:
            return field
        return field[0] if field.ndim > 1 else field[0].item()

    lead = () if single else (len(mean),)
    return CrossValidation(
        l1_ratios=l1_ratios,
        lambdas=shown(lambdas),
        fold_errors=shown(fold_errors),
        mean_error=shown(mean),
        standard_error=shown(spread),
        l1_ratio=shown(ratios),
        lambda_=shown(grid[target, best]),
        lambda_1se=shown(grid[target, sparse]),
        coef=shown(coef[target, best]),
        intercept=shown(intercept[target, best]),
        coef_1se=shown(coef[target, sparse]),
        intercept_1se=shown(intercept[target, sparse]),
        path=as_path(grid, coef, intercept, gap, lead, shown(ratios), tol, names),
    )
