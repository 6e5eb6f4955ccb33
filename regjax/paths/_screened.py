"""The path of one lane with more columns than a Gram matrix can hold: few columns at a time.

Chunks of neighbouring lambdas share a working set: the active columns, and those whose
correlation, or its line through the last two lambdas, comes near the bound at the chunk's end. It
is a guess, much tighter than the strong rules. One product of the chunk's residuals with all
columns gives the duality gaps of the whole problem; where one is too large, the columns that break
their bound join and the chunk is solved again.
"""

from __future__ import annotations

import numpy as np

from regjax.paths._active import extrapolated, solve_active
from regjax.paths._data import Columns
from regjax.paths._problem import Standard
from regjax.paths._rows import Rows, RowsSolution, duality_gaps
from regjax.paths._working_set import ColumnSet

_CHUNK = 5
# Measured: with the factor 0.95 no second round was needed, and 0.6 took twice as long.
_NEAR = 0.95
_MAX_ROUNDS = 12


def screened_path(
    columns: Columns,
    lane: int,
    problem: Standard,
    response: np.ndarray,
    lambdas: np.ndarray,
    l1_ratio: float,
    target: float,
) -> RowsSolution:
    """Return coefficients (n_lambdas, p) and gaps (n_lambdas,) at descending `lambdas`.

    Args:
        columns: the data, of which `lane` is solved.
        problem: the lane's vectors, of one response; its Gram matrix is not used.
        response: (n,) centred, times the root of the weights.
        target: duality gap to reach.
    """
    p = problem.cross.shape[1]
    cross, scale = problem.cross[0], problem.scale
    paths, gaps = np.zeros((len(lambdas), p)), np.zeros(len(lambdas))
    working = ColumnSet(columns, lane, response)
    bound = max(l1_ratio, 1e-3) * problem.l1
    z, slope = cross, np.zeros(p)
    here = max(lambdas[0], float(np.max(np.abs(cross) / bound)))
    last = np.zeros(p)

    def rows(chunk: np.ndarray, index: np.ndarray | slice, gram: np.ndarray) -> Rows:
        n = len(chunk)
        return Rows(
            gram=gram,
            cross=np.broadcast_to(cross[index], (n, len(cross[index]))),
            scale=np.broadcast_to(scale[0], n),
            l1=chunk[:, None] * l1_ratio * problem.l1[index],
            l2=chunk[:, None] * (1 - l1_ratio) * problem.l2[index],
            lower=problem.lower[index],
            upper=problem.upper[index],
        )

    for first in range(0, len(lambdas), _CHUNK):
        chunk = lambdas[first : first + _CHUNK]
        end = chunk[-1]
        ahead = np.maximum(np.abs(z), np.abs(z + slope * (here - end)))
        wanted = (last != 0) | (ahead >= _NEAR * end * bound)
        working.choose(wanted)
        b = np.zeros((len(chunk), len(working.index)))
        for attempt in range(_MAX_ROUNDS):
            local = rows(chunk, working.index, working.gram)
            before = paths[max(first - 2, 0) : first, working.index]
            for k in range(len(chunk)):
                start = b[k]
                if not attempt:
                    seen = lambdas[first - len(before) : first + k + 1]
                    known = np.concatenate([before, b[:k]])
                    start = extrapolated(known, seen, local.lower, local.upper)
                b[k] = solve_active(
                    local.gram,
                    local.cross[k],
                    local.l1[k],
                    local.l2[k],
                    local.lower,
                    local.upper,
                    start,
                )
            whole = np.zeros((len(chunk), p))
            whole[:, working.index] = b
            found = working.correlations(b)
            everything = rows(chunk, slice(None), working.gram)
            gap = duality_gaps(everything, whole, found)
            open_side = np.where(found > 0, problem.upper > 0, problem.lower < 0)
            excess = np.max(np.where(open_side, np.abs(found) - everything.l1, -np.inf), axis=0)
            excess[working.index] = -np.inf
            outside = np.flatnonzero(excess > 0)
            if (gap <= target).all() or not len(outside):
                break
            most = max(20, len(working.index) // 2)
            new = outside[np.argsort(excess[outside])[::-1][:most]]
            working.add(new)
            b = np.hstack([b, np.zeros((len(chunk), len(new)))])
        paths[first : first + _CHUNK], gaps[first : first + _CHUNK] = whole, gap
        before = found[-2] if len(chunk) > 1 else z
        step = chunk[-2] - end if len(chunk) > 1 else here - end
        slope = (found[-1] - before) / step if step > 0 else np.zeros(p)
        z, here, last = found[-1], end, whole[-1]
    return RowsSolution(paths, gaps)
