"""Whole paths of the multi-task elastic net, from a Gram matrix or from the columns of a wide one.

One lambda after the other starts from the line through the last two, on the columns that are active
or that the sequential strong rule lets in, with norms over responses in the place of absolute
values. The duality gap is that of all columns: where it is too large, those that break their
bound join.
"""

from __future__ import annotations

import numpy as np

from regjax.paths._grouped import Groups, group_gap, norms, solve_groups
from regjax.paths._samples import DataLanes, Lanes
from regjax.paths._solve import LanePath
from regjax.paths._working_set import ColumnSet, MomentSet, WorkingSet

_MAX_ROUNDS = 30
_LEAST_STRETCH = 0.6
_ROUGH = 1e3
_FEWEST_NEW = 30


def solve_grouped(lanes: Lanes, lambdas: np.ndarray, l1_ratio: float, tol: float) -> list[LanePath]:
    """Return the path of every lane at descending lambdas (n_lambdas,).

    Arrays have a leading axis, of the one problem that all responses are. Gaps are relative to
    their null objective.
    """
    n_joint = int(np.count_nonzero(lambdas)) if l1_ratio > 0 else 0
    m = len(lanes.standard[0].cross)
    # Without a norm in it the penalty is a sum over responses, and so is the problem.
    apart = np.broadcast_to(lambdas[n_joint:], (len(lanes.standard), m, len(lambdas) - n_joint))
    rest = lanes.solve(apart, l1_ratio, tol) if apart.size else [None] * len(lanes.standard)
    found = []
    for i, (lane, tail) in enumerate(zip(lanes.standard, rest, strict=True)):
        total = float(lane.null.sum())
        unit = total / 2 if total > 0 else 1.0
        b, gap = _joint_path(lanes, i, lambdas[:n_joint], l1_ratio, tol * total / 2)
        coef, intercept = lane.scaling.restore(b)
        gap = (gap + float(lane.missed.sum())) / unit
        if tail is not None:
            own = np.where(lane.null > 0, lane.null / 2, 1.0)
            coef = np.concatenate([coef, tail.coef], axis=1)
            intercept = np.concatenate([intercept, tail.intercept], axis=1)
            gap = np.concatenate([gap, own @ tail.gap / unit])
        found.append(LanePath(coef[None], intercept[None], gap[None]))
    return found


def _joint_path(
    lanes: Lanes, i: int, lambdas: np.ndarray, l1_ratio: float, target: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients (m, n_lambdas, q) of a lane and gaps (n_lambdas,), at positive lambdas.

    Norms of rows do not see a rotation of the responses, so more responses than rows or columns are
    first rotated into as few as there are of these.
    """
    lane = lanes.standard[i]
    if isinstance(lanes, DataLanes):
        response = lanes.form.response[i]
        rotation = _rotation(response.T)
        working: WorkingSet = ColumnSet(lanes.form.columns, i, (response @ rotation).T)
    else:
        rotation = _rotation(lane.cross)
        working = MomentSet(lane.gram, rotation.T @ lane.cross)
    whole = Groups(lane.gram, lane.cross.T @ rotation, float(lane.scale.sum()), lane.l1, lane.l2)
    b, gap = _path(working, whole, lambdas, l1_ratio, target)
    return np.tensordot(rotation, b, axes=1) if len(rotation) > len(b) else b, gap


def _rotation(responses: np.ndarray) -> np.ndarray:
    """Return (m, r) orthonormal columns that span those of `responses` (m, anything)."""
    m, others = responses.shape
    return np.linalg.qr(responses)[0] if m > others > 0 else np.eye(m)


def _path(
    working: WorkingSet, unit: Groups, lambdas: np.ndarray, l1_ratio: float, target: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients (m, n_lambdas, q) and gaps (n_lambdas,) of all columns.

    Args:
        unit: the problem of all columns at a strength of 1; its Gram matrix is not used.
    """
    q, m = unit.cross.shape
    paths, gaps = np.zeros((m, len(lambdas), q)), np.zeros(len(lambdas))
    if paths.size == 0:
        return paths, gaps
    z, here = unit.cross, float(np.max(norms(unit.cross) / unit.l1)) / l1_ratio
    last, before, earlier = np.zeros((q, m)), np.zeros((q, m)), here
    for lambda_, place in _stepwise(here, lambdas):
        problem = unit._replace(
            l1=lambda_ * l1_ratio * unit.l1, l2=lambda_ * (1 - l1_ratio) * unit.l2
        )
        start = last.copy()
        both = last.any(axis=1) & before.any(axis=1)
        if earlier > here:
            start[both] += (last - before)[both] * (here - lambda_) / (earlier - here)
        strong = max(2 * lambda_ - here, _LEAST_STRETCH * lambda_)
        pull = norms(z) / (l1_ratio * unit.l1)
        wanted = _with_largest(norms(last) > 0, np.where(pull >= strong, pull, 0.0))
        goal = target if place >= 0 else _ROUGH * target
        before, earlier = last, here
        last, z, gap = _solve_screened(working, problem, start, wanted, goal)
        here = min(here, lambda_)
        if place >= 0:
            paths[:, place], gaps[place] = last.T, gap
    return paths, gaps


def _stepwise(entry: float, lambdas: np.ndarray) -> list[tuple[float, int]]:
    """Return lambdas with their places, and between distant ones others, of place -1."""
    steps, here = [], entry
    for place, lambda_ in enumerate(lambdas.tolist()):
        if lambda_ < here:
            n = int(np.ceil(np.log(here / lambda_) / -np.log(_LEAST_STRETCH)))
            steps += [(float(between), -1) for between in np.geomspace(here, lambda_, n + 1)[1:-1]]
            here = lambda_
        steps.append((lambda_, place))
    return steps


def _solve_screened(
    working: WorkingSet, problem: Groups, start: np.ndarray, wanted: np.ndarray, target: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the solution (q, m), its correlations and gap, from the columns `wanted` on."""
    goal = 0.3 * target
    for _ in range(_MAX_ROUNDS):
        working.choose(wanted)
        index = working.index
        part = Groups(
            working.gram,
            problem.cross[index],
            problem.scale,
            problem.l1[index],
            problem.l2[index],
        )
        B = solve_groups(part, start[index], goal)
        z = working.correlations(B.T).T
        whole = np.zeros_like(start)
        whole[index] = B
        gap = group_gap(problem, whole, z)
        if gap <= target:
            break
        enlarged = _with_largest(wanted, norms(z) / problem.l1 - 1)
        if (enlarged != wanted).any():
            wanted = enlarged
        elif goal > 1e-3 * target:
            goal /= 10
        else:
            break
        start = whole
    return whole, z, gap


def _with_largest(wanted: np.ndarray, excess: np.ndarray) -> np.ndarray:
    """Return `wanted` with the columns of largest positive excess, half as many at most."""
    outside = np.flatnonzero(~wanted & (excess > 0))
    most = max(_FEWEST_NEW, np.count_nonzero(wanted) // 2)
    joined = wanted.copy()
    joined[outside[np.argsort(excess[outside])[::-1][:most]]] = True
    return joined
