"""From data to certified paths of several lanes: which engine, and who steps in where it fails."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from regjax.paths._gram import gram_paths, path_rows
from regjax.paths._penalties import PathPenalty
from regjax.paths._problem import DataForm, Standard, rounding_of, spectral_inverse
from regjax.paths._ridge import Spectrum, gram_spectrum, kernel_spectrum, resolved
from regjax.paths._rows import duality_gaps, row_dots
from regjax.paths._threads import MANY_ENTRIES, run_each
from regjax.paths._walks import walk_data, walk_grams
from regjax.paths.engines.active_set import extrapolated
from regjax.paths.engines.sequential import sequential_path
from regjax.paths.engines.working_set import ColumnSet
from regjax.paths.select import Engine

# Columns up to which a direct solution in the kernel's place is affordable.
_MANY_COLUMNS = 2000
_SMALL_GRAM, _LARGE_GRAM = 64, 200
# Relative to the response: where correlations are off by more, or gaps, they are not rounding.
_RESOLVED = 1e-12


class LanePath(NamedTuple):
    """The path of one lane: of every response, or of all of them as one joint problem.

    Attributes:
        coef: (m, n_lambdas, p), or (1, m, n_lambdas, p).
        intercept: (m, n_lambdas), or (1, m, n_lambdas).
        gap: (m, n_lambdas), or (1, n_lambdas), relative.
    """

    coef: np.ndarray
    intercept: np.ndarray
    gap: np.ndarray


class Solutions(NamedTuple):
    """In standard form: coefficients (m, n_lambdas, q) and gaps (m, n_lambdas)."""

    b: np.ndarray
    gap: np.ndarray


def solve_statistics(
    lanes: list[Standard], lambdas: np.ndarray, penalty: PathPenalty, tol: float, engine: Engine
) -> list[LanePath]:
    """Return the paths of lanes given by their Gram matrices.

    Args:
        lambdas: (n_lanes, m, n_lambdas), descending; zeros at the same places in all.
    """
    positive, n_zero = _positive(lambdas)
    target = tol * np.stack([lane.null for lane in lanes]) / 2
    done: dict[int, Solutions] = {}
    spectral = engine.method == "spectral" and positive.size > 0
    size = lanes[0].cross.shape[1]
    for group in [] if spectral else _alike(lanes):
        some = [lanes[i] for i in group]
        # Without a column that varies there is no kink to go to.
        method = engine.method if some[0].cross.size else "batched"
        found = _METHODS[method](some, positive[group], penalty, target[group])
        done |= dict(zip(group, found, strict=True))

    def solve(i: int) -> LanePath:
        lane, grid = lanes[i], positive[i]
        solved = gram_ridge(lane, grid).solved if spectral else done[i]
        solved = _finish(lane, solved, grid, penalty, target[i])
        if n_zero:
            solved = _append(solved, *_least_squares(lane), n_zero)
        return restored(lane, solved)

    worthwhile = size >= _LARGE_GRAM if len(lanes) > 1 else size > _SMALL_GRAM and not spectral
    return run_each(solve, range(len(lanes)), worthwhile=worthwhile)


def _homotopy(
    lanes: list[Standard], lambdas: np.ndarray, penalty: PathPenalty, target: np.ndarray
) -> list[Solutions]:
    """Return exact lasso solutions of lanes of as many columns; of lanes that stray, others'."""
    walked = walk_grams(lanes, lambdas)
    worthwhile = lambdas.size * lanes[0].cross.shape[1] >= MANY_ENTRIES
    gaps = run_each(
        lambda i: _lasso_gram_gaps(lanes[i], walked[i], lambdas[i]), walked, worthwhile=worthwhile
    )
    done = {i: Solutions(walked[i], gap) for i, gap in zip(walked, gaps, strict=True)}
    left = [i for i in range(len(lanes)) if i not in done]
    if left:
        found = _batched([lanes[i] for i in left], lambdas[left], penalty, target[left])
        done |= dict(zip(left, found, strict=True))
    return [done[i] for i in range(len(lanes))]


def _active_set(
    lanes: list[Standard], lambdas: np.ndarray, penalty: PathPenalty, target: np.ndarray
) -> list[Solutions]:
    """Return solutions one after the other; of lanes that fall short, others'."""
    done = [
        _finish(lane, _nothing(lane, grid), grid, penalty, goal)
        for lane, grid, goal in zip(lanes, lambdas, target, strict=True)
    ]
    left = [i for i, one in enumerate(done) if (one.gap > target[i][:, None]).any()]
    if left:
        found = _batched([lanes[i] for i in left], lambdas[left], penalty, target[left])
        for i, one in zip(left, found, strict=True):
            done[i] = one
    return done


def _batched(
    lanes: list[Standard], lambdas: np.ndarray, penalty: PathPenalty, target: np.ndarray
) -> list[Solutions]:
    """Return solutions of lanes of as many columns, all lambdas together."""
    return [Solutions(*pair) for pair in gram_paths(lanes, lambdas, penalty.l1_ratio, target)]


_METHODS = {
    "homotopy": _homotopy,
    "active set": _active_set,
    "batched": _batched,
    # At lambda = 0 alone there is nothing to decompose.
    "spectral": _batched,
}


def solve_data(
    form: DataForm, lambdas: np.ndarray, penalty: PathPenalty, tol: float, engine: Engine
) -> list[LanePath]:
    """Return the paths of lanes that weigh the rows of one wide matrix.

    Args:
        lambdas: (n_lanes, m, n_lambdas), descending; zeros at the same places in all.
    """
    lanes, columns = form.lanes, form.columns
    positive, n_zero = _positive(lambdas)
    walked = walk_data(form, positive) if engine.method == "homotopy" else {}

    def solve(i: int) -> LanePath:
        lane, grid, response = lanes[i], positive[i], form.response[i].T
        target = tol * lane.null / 2
        b, gap = _nothing(lane, grid)
        if grid.size and engine.method == "spectral":
            tall = columns.X.shape[1] <= columns.X.shape[0]
            ridge = gram_ridge(with_gram(form, i), grid) if tall else dual_ridge(form, i, grid)
            b, gap = ridge.solved
        elif i in walked:
            b = walked[i]
            gap = np.stack([_lasso_data_gaps(form, i, k, b[k], grid[k]) for k in range(len(b))])
        for k in np.flatnonzero((gap > target[:, None]).any(axis=1)):
            working = ColumnSet(columns, i, response[k : k + 1])
            found = sequential_path(working, lane.response(k), penalty, grid[k], float(target[k]))
            b[k], gap[k] = found[0][0], found[1]
        solved = Solutions(b, gap)
        if n_zero:
            tall = columns.X.shape[1] <= columns.X.shape[0]
            free = _least_squares(with_gram(form, i)) if tall else _dual_least_squares(form, i)
            solved = _append(solved, *free, n_zero)
        return restored(lane, solved)

    small = penalty.l1_ratio > 0 and len(walked) < len(lanes)
    return run_each(solve, range(len(lanes)), worthwhile=small or len(lanes) > 1)


class RidgeSolutions(NamedTuple):
    """Ridge at positive lambdas (m, n_lambdas), and where the spectrum was not exact enough."""

    solved: Solutions
    spectrum: Spectrum
    resolved: np.ndarray


def gram_ridge(lane: Standard, lambdas: np.ndarray) -> RidgeSolutions:
    """Return ridge solutions at positive lambdas (m, n_lambdas) from the Gram matrix."""
    spectrum = gram_spectrum(lane.gram, lane.cross, lane.l2)
    b = spectrum.solutions(lambdas)
    z = lane.cross[:, None] - b @ lane.gram
    solved = Solutions(b, _gram_gaps(lane, b, lambdas, 0.0))
    which = _unresolved(lane, solved, z, lambdas)
    return RidgeSolutions(_resolve(lane, solved, lambdas, which), spectrum, which)


def _unresolved(
    lane: Standard, solved: Solutions, z: np.ndarray, lambdas: np.ndarray
) -> np.ndarray:
    """Return where (m, n_lambdas) a spectrum left more than rounding, at correlations `z`."""
    gradient = z - lambdas[:, :, None] * lane.l2 * solved.b
    size = np.abs(solved.b).sum(axis=2) + np.sqrt(lane.null)[:, None]
    off = np.abs(gradient).max(axis=2, initial=0.0) > _RESOLVED * size
    return off | (solved.gap > _RESOLVED * lane.null[:, None])


def _resolve(
    lane: Standard, solved: Solutions, lambdas: np.ndarray, which: np.ndarray
) -> Solutions:
    """Solve some ridge problems again, each lambda on its own."""
    b, gap = solved
    for lambda_ in np.unique(lambdas[which]):
        again = resolved(lane, lambda_)
        for k, j in np.argwhere(which & (lambdas == lambda_)):
            b[k, j], gap[k, j] = again.b[k], again.gap[k]
    return solved


def dual_ridge(form: DataForm, lane: int, lambdas: np.ndarray) -> RidgeSolutions:
    """Return ridge solutions of a wide matrix at positive lambdas (m, n_lambdas)."""
    one, columns, response = form.lanes[lane], form.columns, form.response[lane].T
    spectrum = kernel_spectrum(columns.kernel(lane, 1 / one.l2), response)
    dual = spectrum.solutions(lambdas)
    b, gap = np.empty((*lambdas.shape, len(one.l2))), np.empty(lambdas.shape)
    z = np.empty_like(b)
    for k in range(len(b)):
        b[k] = columns.correlations(lane, dual[k]) / one.l2
        z[k] = columns.correlations(lane, response[k] - columns.fitted(lane, b[k]))
        rows = path_rows(one, slice(k, k + 1), lambdas[k : k + 1], 0.0)
        gap[k] = duality_gaps(rows, b[k], z[k])
    solved = Solutions(b, gap)
    which = _unresolved(one, solved, z, lambdas) & (len(one.l2) <= _MANY_COLUMNS)
    if which.any():
        solved = _resolve(with_gram(form, lane), solved, lambdas, which)
    return RidgeSolutions(solved, spectrum, which)


def restored(lane: Standard, solved: Solutions) -> LanePath:
    """Return solutions in the units of the data, and their gaps relative to the null objective.

    The solutions given may be overwritten.
    """
    null = np.where(lane.null > 0, lane.null / 2, 1.0)
    gap = (solved.gap + lane.missed[:, None]) / null[:, None]
    return LanePath(*lane.scaling.restore(solved.b), gap)


def with_gram(form: DataForm, lane: int) -> Standard:
    """Return a lane of a matrix with its Gram matrix: smaller than a kernel if rows are more."""
    every = np.arange(form.columns.X.shape[1])
    return form.lanes[lane]._replace(gram=form.columns.products(lane, every, every))


def _positive(lambdas: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the positive lambdas, and how many zeros come after them."""
    n_zero = int(np.count_nonzero(lambdas[0, 0] == 0))
    return lambdas[:, :, : lambdas.shape[2] - n_zero], n_zero


def _alike(lanes: list[Standard]) -> list[list[int]]:
    """Return lanes in groups of as many columns: one may have lost a column that is constant."""
    groups: dict[int, list[int]] = {}
    for i, lane in enumerate(lanes):
        groups.setdefault(lane.cross.shape[1], []).append(i)
    return list(groups.values())


def _nothing(lane: Standard, lambdas: np.ndarray) -> Solutions:
    """Return zeros of which no gap is known."""
    return Solutions(
        np.zeros((*lambdas.shape, lane.cross.shape[1])), np.full(lambdas.shape, np.inf)
    )


def _least_squares(lane: Standard) -> tuple[np.ndarray, np.ndarray]:
    """Return the least-squares solution of least quadratic penalty (m, q), and its gap (m,).

    It is where ridge regression goes as lambda goes to 0. Without a penalty the gap is known:
    `z' gram^+ z / 2` at correlations z, and what the rounding of the Gram matrix makes of large
    coefficients. Where a direction that rounding took for dependent is not, up to the whole
    residual may be missed.
    """
    inverse, lost = spectral_inverse(lane.gram)
    b = np.zeros_like(lane.cross)
    if lost.shape[1]:
        root = 1 / np.sqrt(lane.l2)
        b = (lane.cross * root) @ spectral_inverse(lane.gram * root * root[:, None])[0] * root
    # What that missed: in units of the penalty, columns of small variance may be lost in rounding.
    for _ in range(2):
        b = b + (lane.cross - b @ lane.gram) @ inverse
    z = lane.cross - b @ lane.gram
    gap = np.abs(np.einsum("mq,qr,mr->m", z, inverse, z)) / 2 + rounding_of(b)
    torn = np.abs(lane.cross @ lost).max(axis=1, initial=0.0) > 1e-13 * np.sqrt(lane.scale)
    residual = lane.scale - np.einsum("mq,mq->m", b, lane.cross + z)
    return b, np.where(torn, np.maximum(residual, 0.0) / 2, gap)


def _dual_least_squares(form: DataForm, lane: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the same of a matrix with more columns than rows."""
    columns, response, l2 = form.columns, form.response[lane].T, form.lanes[lane].l2
    kernel = columns.kernel(lane, np.ones(len(l2)))
    inverse, lost = spectral_inverse(kernel)
    in_units = spectral_inverse(columns.kernel(lane, 1 / l2))[0]
    b = columns.correlations(lane, response @ in_units) / l2
    for _ in range(2):
        residual = response - columns.fitted(lane, b)
        b = b + columns.correlations(lane, residual @ inverse)
    residual = response - columns.fitted(lane, b)
    # What of it the columns could still reach: all but the directions in which they are 0.
    reach = np.abs(columns.correlations(lane, lost.T)).max(axis=1, initial=0.0)
    out_of_reach = lost[:, reach <= 1e-12 * np.sqrt(np.diag(kernel).sum())]
    open_part = residual - (residual @ out_of_reach) @ out_of_reach.T
    return b, np.einsum("mn,mn->m", open_part, open_part) / 2


def _append(solved: Solutions, free: np.ndarray, gap: np.ndarray, times: int) -> Solutions:
    """Return the solutions with those of lambda = 0, (m, q) and (m,), at the end."""
    return Solutions(
        np.concatenate([solved.b, np.repeat(free[:, None], times, axis=1)], axis=1),
        np.concatenate([solved.gap, np.repeat(gap[:, None], times, axis=1)], axis=1),
    )


# --- certificates ---


def _gram_gaps(lane: Standard, b: np.ndarray, lambdas: np.ndarray, l1_ratio: float) -> np.ndarray:
    rows = path_rows(lane, slice(None), lambdas, l1_ratio)
    flat = b.reshape(len(rows.l1), -1)
    return duality_gaps(rows, flat, rows.cross - flat @ lane.gram).reshape(lambdas.shape)


def _lasso_gram_gaps(lane: Standard, b: np.ndarray, lambdas: np.ndarray) -> np.ndarray:
    """Return the gaps of unbounded lasso solutions (m, n_lambdas, q)."""
    gap = np.empty(lambdas.shape)
    # One response after the other stays in the cache.
    for k, rows in enumerate(b):
        z = lane.cross[k] - rows @ lane.gram
        ry = lane.scale[k] - rows @ lane.cross[k]
        rr = np.maximum(ry - row_dots(rows, z), 0.0)
        np.abs(z, out=z)
        z /= lane.l1
        gap[k] = _lasso_gaps(lambdas[k], np.abs(rows) @ lane.l1, z.max(axis=1), ry, rr)
    return gap


def _lasso_data_gaps(
    form: DataForm, lane: int, target: int, b: np.ndarray, lambdas: np.ndarray
) -> np.ndarray:
    """Return the gaps of unbounded lasso solutions (n_lambdas, p) that use few columns."""
    one, response = form.lanes[lane], form.response[lane, :, target]
    active = np.flatnonzero(b.any(axis=0))
    residual = response - b[:, active] @ form.columns.many(lane, active).T
    steepest = form.columns.steepest(lane, residual, one.l1)
    norm = np.abs(b[:, active]) @ one.l1[active]
    return _lasso_gaps(lambdas, norm, steepest, residual @ response, row_dots(residual, residual))


def _lasso_gaps(
    lambdas: np.ndarray, norm: np.ndarray, steepest: np.ndarray, ry: np.ndarray, rr: np.ndarray
) -> np.ndarray:
    """Return gaps from norms of coefficients, largest correlations, and products of residuals."""
    shrink = lambdas / np.maximum(steepest, np.finfo(float).tiny)
    s = np.clip(ry / np.where(rr > 0, rr, 1.0), -shrink, shrink)
    return np.maximum(rr / 2 + lambdas * norm - s * ry + s * s * rr / 2, 0.0)


def _finish(
    lane: Standard, solved: Solutions, lambdas: np.ndarray, penalty: PathPenalty, target: np.ndarray
) -> Solutions:
    """Solve rows whose gap is still open by the active set, each from the lambdas before it."""
    b, gap = solved
    for k in np.flatnonzero((gap > target[:, None]).any(axis=1)):
        one = lane.response(k)
        for j in np.flatnonzero(gap[k] > target[k]):
            start = extrapolated(b[k, :j], lambdas[k, : j + 1], lane.lower, lane.upper)
            new = penalty.minimize(one, lambdas[k, j], start[None], target[k])
            z = one.cross - new @ lane.gram
            (new_gap,) = penalty.gaps(one, lambdas[k, j : j + 1], new[None], z[None])
            if new_gap < gap[k, j]:
                b[k, j], gap[k, j] = new[0], new_gap
    return solved
