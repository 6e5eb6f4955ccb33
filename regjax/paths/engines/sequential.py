"""One lambda after the other, on a working set: where few of many columns have a coefficient.

Chunks of neighboring lambdas share a working set: the active columns, and those whose correlation,
or its line through the last two lambdas, comes near the bound at the chunk's end. It is a guess,
tighter than the strong rules. One product of the chunk's residuals with all columns gives the
duality gaps of the whole problem; where one is too large, the columns that break their bound join
and the chunk is solved again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from regjax.paths._grid import LEAST_L1_RATIO
from regjax.paths._penalties import PathPenalty
from regjax.paths.data.standard_form import Standard
from regjax.paths.engines.active_set import extrapolated
from regjax.paths.engines.working_set import WorkingSet

# Residuals that share a pass over the columns.
_AT_ONCE = 5
# Measured: with the factor 0.98 no second round was needed, and 0.8 took twice as long.
_NEAR = 0.98
_MAX_ROUNDS = 30
_FEWEST_NEW = 30
# Lambdas further apart have others between them, solved roughly.
_LEAST_STEP = 0.6
_ROUGH = 1e3


def sequential_path(
    working: WorkingSet,
    problem: Standard,
    penalty: PathPenalty,
    lambdas: np.ndarray,
    target: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients (m, n_lambdas, q) and gaps (n_lambdas,) of one problem.

    Args:
        working: an empty working set of its columns.
        problem: of which the Gram matrix is not used.
        penalty: one under which all responses are one problem.
        lambdas: (n_lambdas,) positive, descending.
        target: duality gap to reach.
    """
    (m, q), n_lambdas = problem.cross.shape, len(lambdas)
    paths, gaps = np.zeros((m, n_lambdas, q)), np.zeros(n_lambdas)
    if not paths.size:
        return paths, gaps
    least = max(penalty.l1_ratio, LEAST_L1_RATIO)
    z, slope = problem.cross, np.zeros((m, q))
    entry = float(penalty.entries(problem, z).max()) / least
    here = max(entry, float(lambdas[0]))
    # The last two solutions, and where.
    past, past_lambdas = np.zeros((1, m, q)), np.array([here])
    known_from = here if penalty.l1_ratio > 0 else np.inf
    for chunk, place in _chunks(known_from, lambdas, max(1, _AT_ONCE // m)):
        end = float(chunk[-1])
        ahead = np.stack([z, z + slope * (here - end)])
        near = penalty.entries(problem, ahead).max(axis=(0, 1)) >= _NEAR * end * least
        working.choose(past[-1].any(axis=0) | near)
        goal = target if place is not None else _ROUGH * target
        b, found, gap = _solve_chunk(working, problem, penalty, chunk, past, past_lambdas, goal)
        if place is not None:
            paths[:, place : place + len(chunk)] = b.swapaxes(0, 1)
            gaps[place : place + len(chunk)] = gap
        earlier, before = (chunk[-2], found[-2]) if len(chunk) > 1 else (here, z)
        slope = (found[-1] - before) / (earlier - end) if earlier > end else np.zeros((m, q))
        past = np.concatenate([past[-1:], b[-2:]])[-2:]
        past_lambdas = np.concatenate([past_lambdas[-1:], chunk[-2:]])[-2:]
        z, here = found[-1], end
    return paths, gaps


def _chunks(
    here: float, lambdas: np.ndarray, at_once: int
) -> Iterator[tuple[np.ndarray, int | None]]:
    """Yield neighboring lambdas with the place of the first; others, between, have no place.

    Args:
        here: where the path is known to be 0, or infinity if no others are wanted.
    """
    place = 0
    while place < len(lambdas):
        first = float(lambdas[place])
        if _LEAST_STEP * here > first and np.isfinite(here):
            n_steps = int(np.ceil(np.log(here / first) / -np.log(_LEAST_STEP)))
            for step in range(n_steps - 1, 0, -1):
                yield np.array([first * (here / first) ** (step / n_steps)]), None
        some = lambdas[place : place + at_once]
        some = some[some >= _LEAST_STEP * first]
        yield some, place
        place += len(some)
        here = min(here, float(some[-1]))


def _solve_chunk(
    working: WorkingSet,
    problem: Standard,
    penalty: PathPenalty,
    lambdas: np.ndarray,
    past: np.ndarray,
    past_lambdas: np.ndarray,
    target: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return coefficients and correlations (k, m, q), and gaps (k,), at neighboring lambdas.

    Args:
        past: (1 or 2, m, q) the solutions before them, at `past_lambdas`.
    """
    k, (m, q) = len(lambdas), problem.cross.shape
    seen = np.concatenate([past_lambdas, lambdas])
    b = np.zeros((k, m, len(working.index)))
    goal = 0.1 * target
    for attempt in range(_MAX_ROUNDS):
        part = problem.restricted(working.index, working.gram)
        known = np.concatenate([past[:, :, working.index], b])
        start = b.copy()
        for j, lambda_ in enumerate(lambdas):
            if not attempt:
                n_known = len(past) + j
                start[j] = extrapolated(
                    known[:n_known], seen[: n_known + 1], part.lower, part.upper
                )
            b[j] = known[len(past) + j] = penalty.minimize(
                part, lambda_, start[j], goal, working.factor
            )
        whole = np.zeros((k, m, q))
        whole[:, :, working.index] = b
        z = working.correlations(b)
        gap = penalty.gaps(problem, lambdas, whole, z)
        if (gap <= target).all():
            break
        entries = penalty.entries(problem, z)[:, 0]
        excess = (entries / lambdas[:, None]).max(axis=0) - penalty.l1_ratio
        excess[working.index] = 0.0
        outside = np.flatnonzero(excess > 0)
        if len(outside):
            most = max(_FEWEST_NEW, len(working.index) // 2)
            new = outside[np.argsort(excess[outside])[::-1][:most]]
            working.add(new)
            b = np.concatenate([b, np.zeros((k, m, len(new)))], axis=2)
        elif goal <= 1e-3 * target or (b == start).all():
            break
        else:
            goal /= 10
    return whole, z, gap
