"""From statistics to the form that the engines solve: columns of unit variance, nothing left out.

With columns divided by their standard deviations, every strength, bound and step is of the same
order, whatever the units. Columns that cannot have a coefficient (constant, or of infinite penalty)
are dropped, and unpenalized ones are projected out like the intercept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from regjax.paths.data.columns import Columns
from regjax.paths.data.inputs import Matrix, dense, sparse_squares
from regjax.paths.data.scales import Scales, is_constant
from regjax.paths.settings import Shape
from regjax.paths.statistics import SufficientStatistics

_DEPENDENT = 1e-10
_LOST = 1e-13
# Entries of a block of rows that stay in the cache.
_CACHED_ENTRIES = 2**17
# Squared distance of two means, in variances, beyond which a shift by the other loses digits.
_FAR = 100.0


class Scaling(NamedTuple):
    """How coefficients of the standard form become those of the data, for one lane.

    Attributes:
        x_mean: (p,) what the columns were centered by, y_mean: (m,) likewise.
        scale: (p,) what they were divided by, unit: likewise of the responses.
        kept: (q,) the columns in the standard form.
        free: (f,) the unpenalized columns.
        free_solution: (f, m) their coefficients without the others.
        free_response: (f, q) what the others take away from them.
        shape: with the bounds in original units.
    """

    x_mean: np.ndarray
    y_mean: np.ndarray
    scale: np.ndarray
    unit: float
    kept: np.ndarray
    free: np.ndarray
    free_solution: np.ndarray
    free_response: np.ndarray
    shape: Shape

    def restore(self, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return coefficients (m, n_rows, p) and intercepts (m, n_rows) in original units.

        From those of the standard form (m, n_rows, q), which are overwritten where the shapes are
        the same. Coefficients within a rounding of a bound are on it.
        """
        p = len(self.scale)
        coef = b if b.shape[2] == p else np.zeros((*b.shape[:2], p))
        intercept = [self._restore(rows, k, coef[k]) for k, rows in enumerate(b)]
        return coef, np.stack(intercept)

    def _restore(self, b: np.ndarray, target: int, out: np.ndarray) -> np.ndarray:
        free = self.free_solution[:, target] - b @ self.free_response.T if len(self.free) else None
        # Most columns of a wide matrix have no coefficient anywhere on the path.
        active = np.flatnonzero(b.any(axis=0))
        columns = self.kept[active]
        out[:, columns] = b[:, active] / self.scale[columns] * self.unit
        if free is not None:
            out[:, self.free] = free / self.scale[self.free] * self.unit
            columns = np.concatenate([columns, self.free])
        for bound in (self.shape.lower, self.shape.upper):
            if np.isfinite(bound).any():
                near = np.abs(out - bound) <= 4 * np.finfo(np.float64).eps * np.abs(bound)
                np.copyto(out, bound, where=near & np.isfinite(bound))
        return self.y_mean[target] - out[:, columns] @ self.x_mean[columns]


class Standard(NamedTuple):
    """One lane in standard form, q columns and m responses.

    Attributes:
        gram: (q, q) second moments of the columns, of unit diagonal.
        cross: (m, q).
        scale: (m,) second moments of the responses, of which the largest is about 1.
        null: (m,) those before unpenalized columns were projected out.
        missed: (m,) what unpenalized columns that are nearly dependent may still explain, or
            rounding may hide.
        l1, l2: (q,) strengths per unit of `lambda l1_ratio` and `lambda (1 - l1_ratio)`.
        lower, upper: (q,) bounds.
        scaling: the way back.
    """

    gram: np.ndarray
    cross: np.ndarray
    scale: np.ndarray
    null: np.ndarray
    missed: np.ndarray
    l1: np.ndarray
    l2: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    scaling: Scaling

    @property
    def bounded(self) -> bool:
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    def restricted(self, columns: np.ndarray, gram: np.ndarray) -> Standard:
        """Return the problem of some columns (w,), of which `gram` (w, w) are the products."""
        return self._replace(
            gram=gram,
            cross=self.cross[:, columns],
            l1=self.l1[columns],
            l2=self.l2[columns],
            lower=self.lower[columns],
            upper=self.upper[columns],
        )

    def response(self, k: int | np.integer[Any]) -> Standard:
        """Return the problem of one response."""
        return self._replace(cross=self.cross[k : k + 1], scale=self.scale[k : k + 1])


def spectral_inverse(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pseudo-inverse of a Gram matrix, and the directions (q, r) that it leaves out."""
    values, V = np.linalg.eigh(gram)
    large = values > 1e-13 * values.max(initial=0.0)
    return (V[:, large] / values[large]) @ V[:, large].T, V[:, ~large]


def rounding_of(b: np.ndarray) -> np.ndarray:
    """Return (m,) what an objective from a Gram matrix may be off by at coefficients (m, q)."""
    return 4 * np.finfo(np.float64).eps * np.square(np.abs(b).sum(axis=1))


@np.errstate(over="ignore", invalid="ignore")
def standard_form(statistics: SufficientStatistics, shape: Shape) -> Standard:
    """Return the problem of these statistics in standard form."""
    s = statistics
    xx, xy, yy = s.xx, s.xy / s.weight, s.yy / s.weight
    x_mean, y_mean = s.x_mean, s.y_mean
    varies = ~is_constant(yy, y_mean)
    xy, yy = xy * varies, yy * varies
    variance = np.diag(xx) / s.weight
    _refuse_overflow(variance, s.yy)
    scales = Scales.of(x_mean, variance, shape.fit_intercept, shape.standardize, shape.weights)
    deviation = scales.deviation
    if not shape.fit_intercept:
        xx = xx + np.outer(s.weight * x_mean, x_mean)
        xy = xy + np.outer(x_mean, y_mean)
        yy = yy + np.square(y_mean)
        y_mean = np.zeros_like(y_mean)
    y_unit = _unit_of(yy)
    xy, yy = xy / y_unit, yy / y_unit / y_unit
    free = np.flatnonzero(scales.usable & ~scales.penalized)
    kept = np.flatnonzero(scales.penalized)
    gram = xx * (1 / (s.weight * deviation))[:, None]
    gram *= 1 / deviation
    cross = xy / deviation[:, None]
    solution = np.zeros((len(free), xy.shape[1]))
    response = np.zeros((len(free), len(kept)))
    scale, missed = yy, np.zeros_like(yy)
    if len(free):
        inverse, lost = spectral_inverse(gram[np.ix_(free, free)])
        solution = inverse @ cross[free]
        response = inverse @ gram[np.ix_(free, kept)]
        scale = np.maximum(yy - np.einsum("fm,fm->m", cross[free], solution), 0.0)
        cross_kept = cross[kept] - gram[np.ix_(kept, free)] @ solution
        gram_kept = gram[np.ix_(kept, kept)] - gram[np.ix_(kept, free)] @ response
        # A column that depends on unpenalized ones has nothing left of its own.
        spent = np.diag(gram_kept) <= _DEPENDENT
        cross_kept[spent] = 0.0
        # Directions that rounding took for dependent, and that are not.
        torn = np.abs(lost.T @ cross[free]).max(axis=0, initial=0.0) > _LOST * np.sqrt(yy)
        torn |= np.abs(lost.T @ gram[np.ix_(free, kept)]).max(initial=0.0) > _LOST
        missed = np.where(torn, scale / 2, rounding_of(solution.T))
        gram_kept[spent, :] = gram_kept[:, spent] = 0.0
    else:
        everything = len(kept) == len(deviation)
        cross_kept = cross if everything else cross[kept]
        gram_kept = gram if everything else gram[np.ix_(kept, kept)]
    free_parts = free, solution, response
    scaling = Scaling(scales.mean, y_mean, deviation, y_unit, kept, *free_parts, shape)
    cross = np.ascontiguousarray(cross_kept.T)
    return _standard(scales, scaling, gram_kept, cross, scale, yy, missed)


def _standard(
    scales: Scales,
    scaling: Scaling,
    gram: np.ndarray,
    cross: np.ndarray,
    scale: np.ndarray,
    null: np.ndarray,
    missed: np.ndarray,
) -> Standard:
    """Return a lane with the strengths and bounds that its scales make of what is asked."""
    kept, unit, shape = scaling.kept, scaling.unit, scaling.shape
    stretch = scaling.scale[kept] / unit
    return Standard(
        gram=gram,
        cross=cross,
        scale=scale,
        null=null,
        missed=missed,
        l1=scales.l1[kept] / unit,
        l2=scales.l2[kept],
        lower=shape.lower[kept] * stretch,
        upper=shape.upper[kept] * stretch,
        scaling=scaling,
    )


def _unit_of(squares: np.ndarray) -> float:
    """Return a power of two near the largest root of `squares`: dividing by it rounds nothing.

    The engines square numbers in float32, which a response of 1e20 or 1e-20 would not survive.
    """
    largest = squares.max(initial=0.0)
    return float(np.exp2(np.round(np.log2(largest) / 2))) if largest > 0 else 1.0


def _refuse_overflow(variance: np.ndarray, squares: np.ndarray) -> None:
    for name, values in (("X", variance), ("y", squares)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} holds values too large to be squared; rescale it.")


class DataForm(NamedTuple):
    """Lanes of a wide matrix: their vectors, without Gram matrices, and the columns behind them.

    Attributes:
        lanes: one `Standard` each, of all p columns.
        columns: the data. Columns that cannot have a coefficient are divided by infinity.
        response: (n_lanes, n, m) centered responses times the root of the weights.
    """

    lanes: list[Standard]
    columns: Columns
    response: np.ndarray


@np.errstate(over="ignore", invalid="ignore")
def data_form(X: Matrix, y: np.ndarray, weight: np.ndarray, shape: Shape) -> DataForm:
    """Return the lanes of `X` (n, p) and `y` (n, m) under row weights (n_lanes, n)."""
    # float32 would be converted again in every product.
    X = X.astype(np.float64, copy=False) if isinstance(X, np.ndarray) else X
    n_lanes, p = len(weight), X.shape[1]
    weight = weight / weight.sum(axis=1, keepdims=True)
    mean = weight @ X
    variance = _weighted_squares(X, weight, mean)
    _refuse_overflow(variance, weight @ np.square(y))
    scales = Scales.of(mean, variance, shape.fit_intercept, shape.standardize, shape.weights)
    mean, deviation = scales.mean, scales.deviation
    y_mean = weight @ y if shape.fit_intercept else np.zeros((n_lanes, y.shape[1]))
    free = np.flatnonzero(shape.weights == 0)
    root = np.sqrt(weight)
    moved = (y - y_mean[:, None, :]) * root[:, :, None]
    if shape.fit_intercept:
        spread = np.einsum("lnm,lnm->lm", moved, moved)
        moved *= ~is_constant(spread, y_mean)[:, None, :]
    y_units = [_unit_of(squares) for squares in np.einsum("lnm,lnm->lm", moved, moved)]
    moved /= np.array(y_units)[:, None, None]
    null = np.einsum("lnm,lnm->lm", moved, moved)
    basis, solutions, responses = _projection(X, root, mean, deviation, scales.usable, free, moved)
    columns = Columns(X, weight, mean, np.where(scales.penalized, deviation, np.inf), basis)
    rooted = basis * root[:, :, None]
    moved = moved - np.matmul(rooted, np.matmul(rooted.transpose(0, 2, 1), moved))
    every = np.arange(p)

    def standard(k: int) -> Standard:
        free_parts = free, solutions[k], responses[k]
        scaling = Scaling(mean[k], y_mean[k], deviation[k], y_units[k], every, *free_parts, shape)
        cross, scale = columns.correlations(k, moved[k].T), np.square(moved[k]).sum(axis=0)
        none = np.zeros_like(null[k])
        of_lane = Scales(*(part[k] for part in scales))
        return _standard(of_lane, scaling, np.zeros((0, 0)), cross, scale, null[k], none)

    return DataForm([standard(k) for k in range(n_lanes)], columns, moved)


def _weighted_squares(X: Matrix, weight: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return weighted mean squares (n_lanes, p) about `mean`.

    A block of rows at a time, about the mean of the first lane; only columns whose mean is far from
    that in another lane are gone through again.
    """
    if not isinstance(X, np.ndarray):
        return np.stack([sparse_squares(X, w, mu) for w, mu in zip(weight, mean, strict=True)])
    total, step = np.zeros(mean.shape), np.zeros(mean.shape)
    rows = max(1, _CACHED_ENTRIES // X.shape[1])
    for start in range(0, len(X), rows):
        part = slice(start, start + rows)
        moved = X[part] - mean[0]
        # Not the difference of two means, each of which is rounded.
        step += weight[:, part] @ moved
        np.square(moved, out=moved)
        total += weight[:, part] @ moved
    between = np.square(step)
    total -= between
    for k in range(len(mean)):
        far = np.flatnonzero(between[k] > _FAR * total[k])
        total[k, far] = weight[k] @ np.square(X[:, far] - mean[k, far])
    return total


def _projection(
    X: Matrix,
    root: np.ndarray,
    mean: np.ndarray,
    deviation: np.ndarray,
    usable: np.ndarray,
    free: np.ndarray,
    response: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a basis of the unpenalized columns, their coefficients, and what others take away."""
    n_lanes, n = root.shape
    f, p, m = len(free), X.shape[1], response.shape[2]
    basis = np.zeros((n_lanes, n, f))
    solutions, responses = np.zeros((n_lanes, f, m)), np.zeros((n_lanes, f, p))
    for k in range(n_lanes if f else 0):
        A = (dense(X[:, free]) - mean[k, free]) / deviation[k, free] * root[k][:, None]
        A *= usable[k, free]
        U, s, Vt = np.linalg.svd(A, full_matrices=False)
        real = s > 1e-12 * s.max(initial=0.0)
        U = U[:, real]
        basis[k, :, : U.shape[1]] = (
            np.where(root[k][:, None] > 0, U, 0) / np.where(root[k] > 0, root[k], 1)[:, None]
        )
        inverse = (Vt[real].T / s[real]) @ U.T
        solutions[k] = inverse @ response[k]
        weighted = inverse * root[k]
        others = weighted @ X - np.outer(weighted.sum(axis=1), mean[k])
        others /= deviation[k]
        others[:, free] = 0.0
        responses[k] = others
    return basis, solutions, responses
