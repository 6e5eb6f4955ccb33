"""From data to certified paths of several lanes: which engine, and who steps in where it fails."""

from __future__ import annotations

import numpy as np

from regjax.paths._penalties import PathPenalty
from regjax.paths._threads import MANY_ENTRIES, run_each
from regjax.paths.data.standard_form import DataForm, Standard
from regjax.paths.engines.active_set import extrapolated
from regjax.paths.engines.batched import gram_paths
from regjax.paths.engines.factor import Factor
from regjax.paths.engines.homotopy_lanes import walk_data, walk_grams
from regjax.paths.engines.lasso_gaps import lasso_data_gaps, lasso_gram_gaps
from regjax.paths.engines.sequential import sequential_path
from regjax.paths.engines.solutions import LanePath, Solutions, restored
from regjax.paths.engines.spectral import (
    dual_least_squares,
    dual_ridge,
    gram_least_squares,
    gram_ridge,
    with_gram,
)
from regjax.paths.engines.working_set import ColumnSet, MomentSet
from regjax.paths.select import Engine

_SMALL_GRAM, _LARGE_GRAM = 64, 200
# With so many columns, and such a share of lambdas open, a working set pays.
_MANY_COLUMNS, _MANY_OPEN = 128, 0.3


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
            solved = _append(solved, *gram_least_squares(lane), n_zero)
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
        lambda i: lasso_gram_gaps(lanes[i], walked[i], lambdas[i]), walked, worthwhile=worthwhile
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
            gap = np.stack([lasso_data_gaps(form, i, k, b[k], grid[k]) for k in range(len(b))])
        for k in np.flatnonzero((gap > target[:, None]).any(axis=1)):
            working = ColumnSet(columns, i, response[k : k + 1])
            found = sequential_path(working, lane.response(k), penalty, grid[k], float(target[k]))
            b[k], gap[k] = found[0][0], found[1]
        solved = Solutions(b, gap)
        if n_zero:
            tall = columns.X.shape[1] <= columns.X.shape[0]
            free = gram_least_squares(with_gram(form, i)) if tall else dual_least_squares(form, i)
            solved = _append(solved, *free, n_zero)
        return restored(lane, solved)

    small = penalty.l1_ratio > 0 and len(walked) < len(lanes)
    return run_each(solve, range(len(lanes)), worthwhile=small or len(lanes) > 1)


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


def _append(solved: Solutions, free: np.ndarray, gap: np.ndarray, times: int) -> Solutions:
    """Return the solutions with those of lambda = 0, (m, q) and (m,), at the end."""
    return Solutions(
        np.concatenate([solved.b, np.repeat(free[:, None], times, axis=1)], axis=1),
        np.concatenate([solved.gap, np.repeat(gap[:, None], times, axis=1)], axis=1),
    )


def _finish(
    lane: Standard, solved: Solutions, lambdas: np.ndarray, penalty: PathPenalty, target: np.ndarray
) -> Solutions:
    """Solve what is open by the active set: one lambda, or all where many are."""
    b, gap = solved
    many = len(lane.l1) >= _MANY_COLUMNS
    for k in np.flatnonzero((gap > target[:, None]).any(axis=1)):
        one, factor = lane.response(k), Factor()
        if many and np.mean(gap[k] > target[k]) > _MANY_OPEN:
            working = MomentSet(lane.gram, one.cross)
            found = sequential_path(working, one, penalty, lambdas[k], float(target[k]))
            b[k], gap[k] = found[0][0], found[1]
        for j in np.flatnonzero(gap[k] > target[k]):
            start = extrapolated(b[k, :j], lambdas[k, : j + 1], lane.lower, lane.upper)
            new = penalty.minimize(one, lambdas[k, j], start[None], target[k], factor)
            z = one.cross - new @ lane.gram
            (new_gap,) = penalty.gaps(one, lambdas[k, j : j + 1], new[None], z[None])
            if new_gap < gap[k, j]:
                b[k, j], gap[k, j] = new[0], new_gap
    return solved
