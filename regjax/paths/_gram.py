"""All lambdas of a path from one Gram matrix, coarse to fine."""

from __future__ import annotations

import numpy as np

from regjax.paths._problem import Standard
from regjax.paths._rows import Rows, RowsSolution, solve_rows

_COARSE = 9
_MAX_ENTRIES = 2**21


def gram_path(
    lane: Standard, lambdas: np.ndarray, l1_ratio: float, target: np.ndarray
) -> RowsSolution:
    """Return coefficients (m, n_lambdas, q) and gaps (m, n_lambdas) at descending `lambdas`.

    Every ninth lambda is solved from zero, the others from the line between their neighbours: the
    path is piecewise linear, or nearly.

    Args:
        lane: the problem, with m responses.
        lambdas: (m, n_lambdas).
        l1_ratio: the mix.
        target: (m,) duality gaps to reach.
    """
    m, n_lambdas = lambdas.shape
    q = lane.cross.shape[1]
    if q == 0 or n_lambdas == 0:
        return RowsSolution(np.zeros((m, n_lambdas, q)), np.zeros((m, n_lambdas)))
    short = lane.gram.astype(np.float32)
    lipschitz = largest_eigenvalue(short)
    b, gap = np.empty((m, n_lambdas, q)), np.empty((m, n_lambdas))
    at_once = max(1, _MAX_ENTRIES // (q * n_lambdas))
    for first in range(0, m, at_once):
        part = slice(first, first + at_once)
        block, goal = lambdas[part], target[part]
        coarse = np.unique(np.r_[0 : n_lambdas - 1 : _COARSE, n_lambdas - 1])
        rows = path_rows(lane, part, block[:, coarse], l1_ratio)
        rough = solve_rows(
            rows, np.zeros(rows.l1.shape), np.repeat(100 * goal, len(coarse)), short, lipschitz
        )
        start = _between(rough.b.reshape(len(block), len(coarse), q), block, coarse)
        rows = path_rows(lane, part, block, l1_ratio)
        found = solve_rows(rows, start.reshape(-1, q), np.repeat(goal, n_lambdas), short, lipschitz)
        b[part], gap[part] = found.b.reshape(start.shape), found.gap.reshape(block.shape)
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


def largest_eigenvalue(gram: np.ndarray, steps: int = 20) -> float:
    """Return an estimate from above of the largest eigenvalue, by power iteration."""
    # A random start: any pattern may be orthogonal to the eigenvector of some Gram matrix.
    v = np.random.default_rng(0).normal(size=len(gram)).astype(gram.dtype)
    value = np.float32(1)
    for _ in range(steps):
        norm = np.linalg.norm(v)
        if norm == 0:
            break
        v = v / norm
        u = gram @ v
        value = max(value, np.linalg.norm(u))
        v = u
    # No eigenvalue exceeds the largest row sum.
    return float(min(1.1 * value, 1.001 * np.abs(gram).sum(axis=0).max()))
