"""All lambdas of many lanes and responses from their Gram matrices, coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from regjax.paths._threads import blocks, cores, run_each
from regjax.paths.data.standard_form import Standard
from regjax.paths.engines.grams import Grams
from regjax.paths.engines.rows import Rows, RowsSolution, solve_rows

_COARSE = 9
# The share of open problems among these beyond which the others are left to another method.
_HARD = 0.3
# Entries of the arrays of a block of lanes and responses: as many as caches hold.
_BLOCK_ENTRIES = 2**18
# From so many coefficients on, threads are worth their start.
_MANY_ENTRIES = 2**13


def gram_paths(
    lanes: Sequence[Standard], lambdas: np.ndarray, l1_ratio: float, target: np.ndarray
) -> list[RowsSolution]:
    """Return by lane coefficients (m, n_lambdas, q) and gaps (m, n_lambdas), infinite if unknown.

    Every ninth lambda is solved from zero, the others from the line between their neighbors: the
    path is piecewise linear, or nearly.

    Args:
        lanes: problems of as many columns and responses each.
        lambdas: (n_lanes, m, n_lambdas), descending.
        l1_ratio: the mix.
        target: (n_lanes, m) duality gaps to reach.
    """
    n_lanes, m, n_lambdas = lambdas.shape
    q = lanes[0].cross.shape[1]
    b, gap = np.zeros((n_lanes, m, n_lambdas, q)), np.zeros((n_lanes, m, n_lambdas))
    if q and n_lambdas:
        at_once = max(1, _BLOCK_ENTRIES // (q * n_lambdas))
        together = not any(lane.bounded for lane in lanes)
        parts = list(blocks(n_lanes, m, at_once, together=together))

        def solve(i: int) -> None:
            some, targets = parts[i]
            found = _solve_block(
                [lanes[k] for k in some],
                targets,
                lambdas[some, targets],
                l1_ratio,
                target[some, targets],
            )
            b[some, targets], gap[some, targets] = found

        if len(parts) > 1:
            run_each(solve, range(len(parts)), worthwhile=b.size >= _MANY_ENTRIES)
        else:
            solve(0)
    return [RowsSolution(*pair) for pair in zip(b, gap, strict=True)]


def _solve_block(
    lanes: list[Standard],
    targets: slice,
    lambdas: np.ndarray,
    l1_ratio: float,
    goal: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients and gaps of some lanes at lambdas (n_lanes, m, n_lambdas)."""
    n_lambdas, q = lambdas.shape[2], lanes[0].cross.shape[1]
    shorts = np.stack([lane.gram.astype(np.float32) for lane in lanes])
    largest = largest_eigenvalues(shorts)
    coarse = np.unique(np.r_[0 : n_lambdas - 1 : _COARSE, n_lambdas - 1])

    def solve(grid: np.ndarray, start: np.ndarray, goal: np.ndarray) -> RowsSolution:
        parts = [
            path_rows(lane, targets, of_lane, l1_ratio)
            for lane, of_lane in zip(lanes, grid, strict=True)
        ]
        lane = np.repeat(np.arange(len(lanes)), grid[0].size)
        rows = Rows(
            gram=Grams([part.gram for part in parts], lane),
            cross=np.concatenate([part.cross for part in parts]),
            scale=np.concatenate([part.scale for part in parts]),
            l1=np.concatenate([part.l1 for part in parts]),
            l2=np.concatenate([part.l2 for part in parts]),
            lower=parts[0].lower,
            upper=parts[0].upper,
        )
        return _on_threads(
            rows, start, np.repeat(goal, grid.shape[2]), Grams(list(shorts), lane), largest[lane]
        )

    rough_grid = lambdas[:, :, coarse]
    rough = solve(rough_grid, np.zeros((rough_grid.size, q)), 100 * goal)
    start = _between(rough.b.reshape(-1, len(coarse), q), lambdas.reshape(-1, n_lambdas), coarse)
    if np.mean(rough.gap > 100 * np.repeat(goal, len(coarse))) > _HARD:
        return start.reshape(*lambdas.shape, q), np.full(lambdas.shape, np.inf)
    found = solve(lambdas, start.reshape(-1, q), goal)
    return found.b.reshape(*lambdas.shape, q), found.gap.reshape(lambdas.shape)


def _on_threads(
    rows: Rows, start: np.ndarray, goal: np.ndarray, short: Grams, lipschitz: np.ndarray
) -> RowsSolution:
    """Return what `solve_rows` does, each thread with its share of the rows."""
    n_parts = cores() if start.size >= _MANY_ENTRIES else 1
    parts = [np.arange(i, len(start), n_parts) for i in range(n_parts)]

    def solve(i: int) -> RowsSolution:
        part = parts[i]
        return solve_rows(
            rows.take(part), start[part], goal[part], short.take(part), lipschitz[part]
        )

    b, gap = np.empty_like(start), np.empty(len(start))
    for part, found in zip(
        parts, run_each(solve, range(n_parts), worthwhile=n_parts > 1), strict=True
    ):
        b[part], gap[part] = found
    return RowsSolution(b, gap)


def path_rows(lane: Standard, targets: slice, lambdas: np.ndarray, l1_ratio: float) -> Rows:
    """Return the rows of `targets` at their lambdas (m, n_lambdas), responses outermost."""
    n = lambdas.shape[1]
    flat = lambdas.reshape(-1, 1)
    return Rows(
        gram=lane.gram,
        cross=np.repeat(lane.cross[targets], n, axis=0),
        scale=np.repeat(lane.scale[targets], n),
        l1=flat * l1_ratio * lane.l1,
        l2=flat * (1 - l1_ratio) * lane.l2,
        lower=lane.lower,
        upper=lane.upper,
    )


def _between(b: np.ndarray, lambdas: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Return the coefficients at all lambdas on the lines between the coarse ones."""
    every = np.arange(lambdas.shape[1])
    left = np.clip(np.searchsorted(coarse, every, side="right") - 1, 0, max(len(coarse) - 2, 0))
    right = np.minimum(left + 1, len(coarse) - 1)
    high, low = lambdas[:, coarse[left]], lambdas[:, coarse[right]]
    share = ((high - lambdas) / np.where(high > low, high - low, 1.0))[:, :, None]
    return (1 - share) * b[:, left] + share * b[:, right]


def largest_eigenvalues(grams: np.ndarray, steps: int = 20) -> np.ndarray:
    """Return estimates from above of the largest eigenvalues of (k, q, q), by power iteration."""
    # A random start: any pattern may be orthogonal to the eigenvector of some Gram matrix.
    start = np.asarray(np.random.default_rng(0).normal(size=grams.shape[1]), grams.dtype)
    u = np.broadcast_to(start, grams.shape[:2])
    value = np.ones(len(grams), dtype=grams.dtype)
    for _ in range(steps):
        norm = np.linalg.norm(u, axis=1, keepdims=True)
        u = np.matmul(grams, (u / np.where(norm > 0, norm, 1))[:, :, None])[:, :, 0]
        np.maximum(value, np.linalg.norm(u, axis=1), out=value)
    # No eigenvalue exceeds the largest row sum.
    row_sums = np.abs(grams).sum(axis=1).max(axis=1)
    return np.minimum(1.1 * value, 1.001 * row_sums, dtype=np.float64)
