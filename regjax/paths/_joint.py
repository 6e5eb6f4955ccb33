"""Paths of lanes under any penalty: responses apart, or as one joint problem."""

from __future__ import annotations

import numpy as np

from regjax.paths._lanes import Lanes
from regjax.paths._penalties import ElasticNetPenalty, PathPenalty
from regjax.paths.engines.sequential import sequential_path
from regjax.paths.engines.solutions import LanePath


def solve_lanes(
    lanes: Lanes, lambdas: np.ndarray, penalty: PathPenalty, tol: float
) -> list[LanePath]:
    """Return the path of every lane at descending lambdas (n_lanes, n_problems, n_lambdas).

    Of a joint problem arrays have a leading axis, of the one problem that all responses are, and
    gaps are relative to their null objective.
    """
    if not penalty.joint:
        return lanes.solve(lambdas, penalty, tol)
    grid = lambdas[0, 0]
    n_joint = int(np.count_nonzero(grid)) if penalty.l1_ratio > 0 else 0
    m = len(lanes.standard[0].cross)
    # Without a norm in it the penalty is a sum over responses, and so is the problem.
    apart = np.broadcast_to(grid[n_joint:], (len(lanes.standard), m, len(grid) - n_joint))
    of_one = ElasticNetPenalty(penalty.l1_ratio)
    rest = lanes.solve(apart, of_one, tol) if apart.size else [None] * len(lanes.standard)
    found = []
    for i, (lane, tail) in enumerate(zip(lanes.standard, rest, strict=True)):
        total = float(lane.null.sum())
        unit = total / 2 if total > 0 else 1.0
        b, gap = _joint_path(lanes, i, grid[:n_joint], penalty, tol * total / 2)
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
    lanes: Lanes, i: int, lambdas: np.ndarray, penalty: PathPenalty, target: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients (m, n_lambdas, q) of a lane and gaps (n_lambdas,), at positive lambdas.

    Norms over responses do not see a rotation of these, so more responses than rows or columns are
    first rotated into as few as there are of these.
    """
    lane, responses = lanes.standard[i], lanes.responses(i)
    m, others = responses.shape
    if m <= others or not others:
        return sequential_path(lanes.working_set(i, responses), lane, penalty, lambdas, target)
    rotation = np.linalg.qr(responses)[0]
    working = lanes.working_set(i, rotation.T @ responses)
    rotated = lane._replace(cross=rotation.T @ lane.cross)
    b, gap = sequential_path(working, rotated, penalty, lambdas, target)
    return np.tensordot(rotation, b, axes=1), gap
