"""Cross-validated ridge: leaving every single row out costs one eigendecomposition.

With `H` the matrix that takes the response to the fitted values, intercept included, the error of
row i by a fit without it is `(y_i - fit_i) / (1 - H_ii)`. It holds with weights `w` too, of which
the others keep theirs: what stays equal is `lambda sum_i w_i`. Generalized cross-validation puts
the mean of `H_ii` in the place of each. Reference: Golub, Heath and Wahba (1979), "Generalized
cross-validation as a method for choosing a good ridge parameter".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Unpack

import numpy as np

from regjax._inputs import feature_names
from regjax.paths._penalties import ElasticNetPenalty, lambda_grid
from regjax.paths.cross_validation import certified, elastic_net_cv
from regjax.paths.data.inputs import Matrix, as_design, as_responses, as_sample_weight, dense
from regjax.paths.data.standard_form import Scaling, Standard, data_form, standard_form
from regjax.paths.engines.solutions import LanePath, restored
from regjax.paths.engines.spectral import dual_ridge, gram_ridge, resolved
from regjax.paths.folds import Split
from regjax.paths.results import CrossValidation, chosen, first_response
from regjax.paths.settings import JointSettings, Settings, Shape
from regjax.paths.statistics import statistics_of

_BLOCK_ENTRIES = 2**21
# 1 - H_ii below this: the row is interpolated and cannot be left out.
_SPENT = 1e-10


def ridge_cv(
    X: Any,
    y: Any = None,
    *,
    folds: str | int | Iterable[Split] = "leave-one-out",
    **settings: Unpack[JointSettings],
) -> CrossValidation:
    """Return ridge regression cross-validated over lambda.

    Args:
        X, y: as in `elastic_net_cv`; statistics only with folds.
        folds: "leave-one-out" holds out every row in turn, and "gcv" is generalized
            cross-validation; both hold `lambda sum_i w_i` and, with `standardize`, the scales of
            the columns at those of all rows. Else folds as in `elastic_net_cv`.
        **settings: any of `JointSettings`; for the first two kinds of folds, lambdas are positive.

    Returns:
        What `elastic_net_cv` does. `fold_errors` holds one squared error per row of positive weight
        for "leave-one-out", whose mean and standard error are weighted by `sample_weight`. It is
        empty for "gcv", whose standard error is unknown: NaN, and `lambda_1se` equals `lambda_`.

    Raises:
        TypeError: for an unknown setting.
        ValueError: for values that are NaN, infinite or of the wrong shape or sign, and for rows
            that cannot be left out.

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
        return elastic_net_cv(X, y, l1_ratio=0.0, folds=folds, **settings)
    asked = Settings.of("ridge_cv", settings, JointSettings)
    if folds not in ("leave-one-out", "gcv"):
        raise ValueError(
            f"folds must be 'leave-one-out', 'gcv', a number or splits, got {folds!r}."
        )
    if y is None:
        raise ValueError("y is missing. Statistics hold no rows to leave out: use folds.")
    names = feature_names(X)
    design = as_design(X)
    responses, single = as_responses(y, design.shape[0])
    weight = as_sample_weight(asked.sample_weight, design.shape[0])
    if weight is None:
        weight = np.ones(len(responses))
    elif weight.ndim == 2:
        raise ValueError("Cross-validation takes one weighting: give sample_weight (n_samples,).")
    elif not weight.all():
        used = np.flatnonzero(weight)
        design, responses, weight = design[used], responses[used], weight[used]
    n, p = design.shape
    shape = asked.shape(p)
    given = asked.given_lambdas(shape)
    if given is not None and not given.all():
        raise ValueError("Leave-one-out and GCV need lambdas above 0.")

    def grid_of(lane: Standard) -> np.ndarray:
        return lambda_grid([lane], ElasticNetPenalty(0.0), asked, given, (n, p))[0]

    solve = _by_gram if p <= n else _by_kernel
    fit = solve(design, responses, weight, shape, grid_of)
    share = weight / weight.sum()
    spent = np.flatnonzero(fit.outside <= _SPENT)
    if len(spent):
        raise ValueError(
            f"Row(s) {spent[:10].tolist()} are fitted by the intercept or unpenalized columns "
            "alone and cannot be left out: penalize these columns, or use folds."
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
    found = chosen(
        np.zeros(1),
        fit.lambdas[:, None],
        errors[:, None],
        mean[:, None],
        spread[:, None],
        *(part[None] for part in fit.path),
        names=names,
    )
    found = certified(found, asked.checked_tol())
    return first_response(found) if single else found


class _Fit(NamedTuple):
    """Ridge at lambdas (m, n_lambdas).

    Attributes:
        path: the solutions.
        lambdas: where.
        residual: (m, n, n_lambdas).
        left: (m or 1, n, n_lambdas) `1 - H_ii`.
        outside: (n,) the same of the intercept and unpenalized columns alone.
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
    # The eigenvectors, with what unpenalized columns take away, as combinations of the data.
    standard = _standard_columns(way)
    vectors = standard @ spectrum.vectors
    second = statistics.xx[np.ix_(free, free)] / statistics.weight
    if not shape.fit_intercept:
        second += np.outer(statistics.x_mean[free], statistics.x_mean[free])
    inverse = np.linalg.pinv(second / np.outer(scale[free], scale[free]), hermitian=True)
    some = lambdas[:1] if (lambdas == lambdas[0]).all() else lambdas
    shrink = 1 / (spectrum.values + some[:, :, None])
    rows = _CenteredRows(X, weight, way, shape.fit_intercept)
    residual = np.empty((len(lambdas), len(y), lambdas.shape[1]))
    left = np.empty((len(some), len(y), lambdas.shape[1]))
    outside = np.empty(len(y))
    y_center = rows.share @ (y - way.y_mean) if shape.fit_intercept else 0.0
    for part, block in rows.blocks():
        moved = (y[part] - way.y_mean - y_center).T
        residual[:, part] = np.swapaxes(moved[:, None] - path.coef @ block.T, 1, 2)
        unpenalized = block[:, free] / scale[free]
        always = np.einsum("nf,fg,ng->n", unpenalized, inverse, unpenalized)
        of_lambda = np.square(block @ vectors) @ np.swapaxes(shrink, 1, 2)
        outside[part] = 1 - rows.share[part] * (always + float(shape.fit_intercept))
        left[:, part] = outside[part][:, None] - rows.share[part, None] * of_lambda
    fit = _Fit(path, lambdas, residual, left, outside)
    return _with_leverages(fit, rows, lane, standard, ridge.resolved)


def _standard_columns(way: Scaling) -> np.ndarray:
    """Return the columns of the standard form as combinations (p, q) of the centered data."""
    standard = np.zeros((len(way.scale), len(way.kept)))
    standard[way.kept, np.arange(len(way.kept))] = 1 / way.scale[way.kept]
    standard[way.free] = -way.free_response / way.scale[way.free][:, None]
    return standard


class _CenteredRows:
    """Rows about their means, some at a time: far from 0, the rounding of a mean is not small."""

    def __init__(self, X: Matrix, weight: np.ndarray, way: Scaling, centered: bool) -> None:
        self.share = weight / weight.sum()
        self._stored = X if isinstance(X, np.ndarray) else X.tocsr()
        self._center = way.x_mean
        self._step = np.zeros_like(way.x_mean)
        if centered:
            self._step = sum(self.share[part] @ block for part, block in self.blocks())

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        rows = max(1, _BLOCK_ENTRIES // len(self._center))
        for start in range(0, len(self.share), rows):
            part = slice(start, start + rows)
            yield part, dense(self._stored[part]) - self._center - self._step


def _with_leverages(
    fit: _Fit, rows: _CenteredRows, lane: Standard, standard: np.ndarray, which: np.ndarray
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
    # Eigenvectors of 0 hold the intercept and the unpenalized columns, where H is 1.
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
