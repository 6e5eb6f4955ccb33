"""Cross-validated ridge: leaving every single row out costs one eigendecomposition.

With `H` the matrix that takes the response to the fitted values, intercept included, the error of
row i by a fit without it is `(y_i - fit_i) / (1 - H_ii)`. It holds with weights `w` too, of which
the others keep theirs: what stays equal is `lambda sum_i w_i`. Generalised cross-validation puts
the mean of `H_ii` in the place of each. Reference: Golub, Heath and Wahba (1979), "Generalized
cross-validation as a method for choosing a good ridge parameter".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from regjax._inputs import feature_names
from regjax.paths._input import Matrix, as_design, as_responses, as_sample_weight, dense
from regjax.paths._problem import Scaling, Shape, Standard, data_form, standard_form
from regjax.paths._ridge import resolved
from regjax.paths._settings import as_shape, check_lambdas, lambda_grid
from regjax.paths._solve import LanePath, dual_ridge, gram_ridge, restored
from regjax.paths.cv import CrossValidation, as_cross_validation, elastic_net_cv
from regjax.paths.folds import Split
from regjax.paths.statistics import statistics_of

_BLOCK_ENTRIES = 2**21
# What is left of a row's error, in shares, where nothing is left.
_SPENT = 1e-10


def ridge_cv(
    X: Any,
    y: Any = None,
    *,
    lambdas: Any = None,
    n_lambdas: int = 100,
    lambda_min_ratio: float | None = None,
    folds: str | int | Iterable[Split] = "leave-one-out",
    fit_intercept: bool = True,
    standardize: bool = False,
    sample_weight: Any = None,
    penalty_weights: Any = None,
    tol: float = 1e-6,
) -> CrossValidation:
    """Return ridge regression cross-validated over lambda.

    Args:
        X, y: as in `elastic_net_cv`; statistics only with folds.
        folds: "leave-one-out" holds out every row in turn, and "gcv" is generalised
            cross-validation; both hold `lambda sum_i w_i` and, with `standardize`, the scales of
            the columns at those of all rows. Else folds as in `elastic_net_cv`.

    Other arguments are those of `elastic_net_path`; for the first two kinds of folds, lambdas are
    positive. `fold_errors` holds one squared error per row of positive weight for "leave-one-out",
    whose mean and standard error are weighted by `sample_weight`. It is empty for "gcv", whose
    standard error is unknown: NaN, and `lambda_1se` equals `lambda_`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(50, 4))
        >>> y = X[:, 0] + rng.normal(size=50)
        >>> result = ridge_cv(X, y, lambdas=[10.0, 0.1, 0.001])
        >>> result.lambda_, result.fold_errors.shape
        (0.1, (1, 50, 3))
    """
    if not isinstance(folds, str):
        return elastic_net_cv(
            X,
            y,
            l1_ratio=0.0,
            lambdas=lambdas,
            n_lambdas=n_lambdas,
            lambda_min_ratio=lambda_min_ratio,
            folds=folds,
            fit_intercept=fit_intercept,
            standardize=standardize,
            sample_weight=sample_weight,
            penalty_weights=penalty_weights,
            tol=tol,
        )
    if folds not in ("leave-one-out", "gcv"):
        raise ValueError(
            f"folds must be 'leave-one-out', 'gcv', a number or splits, got {folds!r}."
        )
    if y is None:
        raise ValueError("y is missing. Statistics hold no rows to leave out: use folds.")
    names = feature_names(X)
    design = as_design(X)
    responses, single = as_responses(y, design.shape[0])
    weight = as_sample_weight(sample_weight, design.shape[0])
    if weight is None:
        weight = np.ones(len(responses))
    elif weight.ndim == 2:
        raise ValueError("Cross-validation takes one weighting: give sample_weight (n_samples,).")
    elif not weight.all():
        used = np.flatnonzero(weight)
        design, responses, weight = design[used], responses[used], weight[used]
    n, p = design.shape
    shape = as_shape(p, fit_intercept, standardize, penalty_weights, None, None)
    given = None if lambdas is None else check_lambdas(lambdas, shape)
    if given is not None and not given.all():
        raise ValueError("Leave-one-out and GCV need lambdas above 0.")

    def grid_of(lane: Standard) -> np.ndarray:
        return lambda_grid([lane], given, 0.0, n_lambdas, lambda_min_ratio, (n, p))[0]

    solve = _by_gram if p <= n else _by_kernel
    fit = solve(design, responses, weight, shape, grid_of)
    share = weight / weight.sum()
    spent = np.flatnonzero(fit.outside <= _SPENT)
    if len(spent):
        raise ValueError(
            f"Row(s) {spent[:10].tolist()} are fitted by the intercept or unpenalised columns "
            "alone and cannot be left out: penalise these columns, or use folds."
        )
    if solve is _by_gram and (fit.left <= _SPENT).any():
        # A small lambda leaves next to nothing of a row's error, which differences cannot tell.
        fit = _by_kernel(design, responses, weight, shape, grid_of)
    if folds == "gcv":
        freedom = fit.left.sum(axis=1)
        mean = np.einsum("n,mnk->mk", share, np.square(fit.residual)) * np.square(n / freedom)
        spread = np.full_like(mean, np.nan)
        errors = np.empty((len(mean), 0, mean.shape[1]))
    else:
        errors = np.square(fit.residual / fit.left)
        mean = np.einsum("n,mnk->mk", share, errors)
        off = errors - mean[:, None]
        spread = np.sqrt(np.einsum("n,mnk->mk", share * share, off * off))
    return as_cross_validation(
        np.zeros(1),
        fit.lambdas[:, None],
        errors[:, None],
        mean[:, None],
        spread[:, None],
        [fit.path],
        single,
        tol,
        names,
    )


class _Fit(NamedTuple):
    """Ridge at lambdas (m, n_lambdas).

    Attributes:
        path: the solutions.
        lambdas: where.
        residual: (m, n, n_lambdas).
        left: (m or 1, n, n_lambdas) `1 - H_ii`.
        outside: (n,) the same of the intercept and unpenalised columns alone.
    """

    path: LanePath
    lambdas: np.ndarray
    residual: np.ndarray
    left: np.ndarray
    outside: np.ndarray


def _by_gram(
    X: Matrix,
    y: np.ndarray,
    weight: np.ndarray,
    shape: Shape,
    grid_of: Callable[[Standard], np.ndarray],
) -> _Fit:
    """Return the fit from the Gram matrix, and one product of the rows with its eigenvectors."""
    statistics = statistics_of(X, y, weight)
    lane = standard_form(statistics, shape)
    lambdas = grid_of(lane)
    ridge = gram_ridge(lane, lambdas)
    spectrum = ridge.spectrum
    path, way = restored(lane, ridge.solved), lane.scaling
    free, scale = way.free, way.scale
    # The eigenvectors, with what unpenalised columns take away, as combinations of the data.
    standard = _standard_columns(way)
    vectors = standard @ spectrum.vectors
    second = statistics.xx[np.ix_(free, free)] / statistics.weight
    if not shape.fit_intercept:
        second += np.outer(statistics.x_mean[free], statistics.x_mean[free])
    inverse = np.linalg.pinv(second / np.outer(scale[free], scale[free]), hermitian=True)
    some = lambdas[:1] if (lambdas == lambdas[0]).all() else lambdas
    shrink = 1 / (spectrum.values + some[:, :, None])
    rows = _CentredRows(X, weight, way, shape.fit_intercept)
    residual = np.empty((len(lambdas), len(y), lambdas.shape[1]))
    left = np.empty((len(some), len(y), lambdas.shape[1]))
    outside = np.empty(len(y))
    y_centre = rows.share @ (y - way.y_mean) if shape.fit_intercept else 0.0
    for part, block in rows.blocks():
        moved = (y[part] - way.y_mean - y_centre).T
        residual[:, part] = np.swapaxes(moved[:, None] - path.coef @ block.T, 1, 2)
        unpenalised = block[:, free] / scale[free]
        always = np.einsum("nf,fg,ng->n", unpenalised, inverse, unpenalised)
        of_lambda = np.square(block @ vectors) @ np.swapaxes(shrink, 1, 2)
        outside[part] = 1 - rows.share[part] * (always + float(shape.fit_intercept))
        left[:, part] = outside[part][:, None] - rows.share[part, None] * of_lambda
    fit = _Fit(path, lambdas, residual, left, outside)
    return _with_leverages(fit, rows, lane, standard, ridge.resolved)


def _standard_columns(way: Scaling) -> np.ndarray:
    """Return the columns of the standard form as combinations (p, q) of the centred data."""
    standard = np.zeros((len(way.scale), len(way.kept)))
    standard[way.kept, np.arange(len(way.kept))] = 1 / way.scale[way.kept]
    standard[way.free] = -way.free_response / way.scale[way.free][:, None]
    return standard


class _CentredRows:
    """Rows about their means, some at a time: far from 0, the rounding of a mean is not small."""

    def __init__(self, X: Matrix, weight: np.ndarray, way: Scaling, centred: bool) -> None:
        self.share = weight / weight.sum()
        self._stored = X if isinstance(X, np.ndarray) else X.tocsr()
        self._centre = way.x_mean
        self._step = np.zeros_like(way.x_mean)
        if centred:
            self._step = sum(self.share[part] @ block for part, block in self.blocks())

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        rows = max(1, _BLOCK_ENTRIES // len(self._centre))
        for start in range(0, len(self.share), rows):
            part = slice(start, start + rows)
            yield part, dense(self._stored[part]) - self._centre - self._step


def _with_leverages(
    fit: _Fit, rows: _CentredRows, lane: Standard, standard: np.ndarray, which: np.ndarray
) -> _Fit:
    """Return the fit with `left` from the inverse at the lambdas where no spectrum tells it."""
    left = fit.left
    for k, j in np.argwhere(which[: len(left)] | which.any(axis=0) & (len(left) == 1)):
        inverse = resolved(lane, fit.lambdas[k, j]).inverse
        for part, block in rows.blocks():
            z = block @ standard
            of_lambda = np.einsum("nq,qr,nr->n", z, inverse, z)
            left[k, part, j] = fit.outside[part] - rows.share[part] * of_lambda
    return fit


def _by_kernel(
    X: Matrix,
    y: np.ndarray,
    weight: np.ndarray,
    shape: Shape,
    grid_of: Callable[[Standard], np.ndarray],
) -> _Fit:
    """Return the fit of a wide matrix from the products of its rows."""
    form = data_form(X, y, weight[None], shape)
    lane, root = form.lanes[0], np.sqrt(form.columns.weight[0])
    lambdas = grid_of(lane)
    ridge = dual_ridge(form, 0, lambdas)
    if ridge.resolved.any():
        return _by_gram(X, y, weight, shape, grid_of)
    spectrum = ridge.spectrum
    # Eigenvectors of 0 hold the intercept and the unpenalised columns, where H is 1.
    whole = form.columns.basis[0] * root[:, None]
    if shape.fit_intercept:
        whole = np.hstack([root[:, None], whole])
    outside = spectrum.vectors - whole @ (whole.T @ spectrum.vectors)
    some = lambdas[:1] if (lambdas == lambdas[0]).all() else lambdas
    keep = some[:, :, None] / (spectrum.values + some[:, :, None])
    pulled = np.swapaxes(spectrum.pull[:, None] * keep, 1, 2)
    return _Fit(
        restored(lane, ridge.solved),
        lambdas,
        (outside @ pulled) / root[:, None] * lane.scaling.unit,
        np.square(outside) @ np.swapaxes(keep, 1, 2),
        np.square(outside).sum(axis=1),
    )
