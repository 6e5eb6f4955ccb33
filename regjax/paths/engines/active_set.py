"""One elastic-net problem with a given Gram matrix, by Newton steps on its active set.

Each step solves the optimality conditions of the free coefficients exactly and lets in every
variable that breaks its bound. Where signs flip the flipped variables are set to 0, if the
objective agrees, or else the step ends at the first of them; so the objective falls at every step
and no active set comes twice. Reference: Hintermueller, Ito and Kunisch (2002), "The primal-dual
active set strategy as a semismooth Newton method", with the line search that finite steps need.
"""

from __future__ import annotations

import numpy as np

from regjax.paths.engines.factor import Factor, Principal
from regjax.paths.engines.grams import block

_MAX_STEPS = 200
_TINY = 1e-13
# Unknowns from which a factor that is kept beats elimination.
_MANY_UNKNOWNS = 300


def solve_active(
    gram: np.ndarray,
    cross: np.ndarray,
    l1: np.ndarray,
    l2: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    b: np.ndarray,
    factor: Factor | None = None,
) -> np.ndarray:
    """Return the minimizer of `b' gram b / 2 - cross b + l1 |b| + l2 b^2 / 2` in the bounds.

    Args:
        b: coefficients to start from, within the bounds.
        factor: of columns of the same Gram matrix, from problems near this one.
    """
    factor = Factor() if factor is None else factor
    slack = 1e-10 * np.max(np.abs(cross), initial=0.0)
    b = b.copy()
    one_by_one = False
    for _ in range(_MAX_STEPS):
        z = cross - b @ gram - l2 * b
        toward = np.where(b != 0, z - l1 * np.sign(b), np.sign(z) * np.maximum(np.abs(z) - l1, 0))
        toward[((b >= upper) & (toward > 0)) | ((b <= lower) & (toward < 0))] = 0.0
        if np.max(np.abs(toward), initial=0.0) <= slack:
            break
        free = ((b != 0) & (b > lower) & (b < upper)) | (np.abs(toward) > slack)
        if one_by_one:
            resting = (b == 0) | (b <= lower) | (b >= upper)
            most = np.argmax(np.where(resting, np.abs(toward), 0.0))
            free &= ~resting
            free[most] |= toward[most] != 0
        moved, fell = _step(gram, b, z, l1, l2, lower, upper, np.flatnonzero(free), slack, factor)
        # Many at once may be dependent, or push each other back: then one after the other.
        one_by_one = not fell
        b = moved
    return b


def _step(
    gram: np.ndarray,
    b: np.ndarray,
    z: np.ndarray,
    l1: np.ndarray,
    l2: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    free: np.ndarray,
    slack: float,
    factor: Factor,
) -> tuple[np.ndarray, bool]:
    """Return `b` after a Newton step on the coefficients `free`, and whether the objective fell."""
    signs = np.where(b != 0, np.sign(b), np.sign(z))
    while True:
        sign, old = signs[free], b[free]
        slope = z[free] - l1[free] * sign
        # The last term keeps dependent columns solvable; the next step mends what it costs.
        diagonal = l2[free] + _TINY * gram[free, free]
        local: np.ndarray | Principal
        if len(free) >= _MANY_UNKNOWNS:
            local = Principal(gram, free, diagonal)
            d = factor.solve(local, slope, slack / 2)
        else:
            local = block(gram, free)
            local[np.arange(len(free)), np.arange(len(free))] += diagonal
            d = np.linalg.solve(local, slope)
        # Of those that come in together, or leave a bound, some are pushed back by the others.
        wrong = (old == 0) & (d * sign <= 0)
        wrong |= ((old >= upper[free]) & (d > 0)) | ((old <= lower[free]) & (d < 0))
        if not wrong.any():
            break
        free = free[~wrong]
    new = old + d
    nearest = np.clip(np.where(new * sign < 0, 0.0, new), lower[free], upper[free])
    step = nearest - old
    if step @ (local @ step) / 2 > slope @ step:
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(nearest != new, step / d, np.inf)
        part = room.min(initial=1.0)
        nearest = np.where(room <= part, nearest, old + part * d)
        step = nearest - old
    moved = b.copy()
    moved[free] = nearest
    return moved, bool(step @ (local @ step) / 2 < slope @ step)


def extrapolated(
    path: np.ndarray, lambdas: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """Return where the line of the last two solutions leads, up to where a coefficient ends.

    Args:
        path: (k, p), or (k, m, p), solutions at the first k lambdas; zeros come before them.
        lambdas: (k + 1,) descending.
    """
    if len(path) == 0:
        return np.zeros(path.shape[1:])
    last = path[-1]
    ahead = last
    if len(path) > 1 and lambdas[-3] > lambdas[-2]:
        share = (lambdas[-2] - lambdas[-1]) / (lambdas[-3] - lambdas[-2])
        ahead = last + share * (last - path[-2])
    same_side = np.sum(np.atleast_2d(ahead * last), axis=0) > 0
    return np.clip(np.where(same_side, ahead, 0.0), lower, upper)
