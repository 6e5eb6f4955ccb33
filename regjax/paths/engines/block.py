"""One multi-task elastic net with a given Gram matrix: which rows of `B` are active, and where.

The problem is to minimize over B (q, m), of rows B_j,

    scale / 2 - <cross, B> + <B, gram B> / 2 + sum_j l1_j ||B_j|| + sum_j l2_j ||B_j||^2 / 2

Accelerated proximal-gradient steps show the active rows (Beck and Teboulle 2009, section 4, with
the restart of O'Donoghue and Candes 2015). On these the objective is smooth, and Newton's method
ends what they began. Its matrix of order q m need not be formed: for `u_j = B_j / ||B_j||` and
`d_j = l1_j / ||B_j||` it takes E to

    (gram + diag(l2 + d)) E - d_j u_j (u_j . E_j)  in row j

a matrix of order q that all columns of E share, less a term of rank q. So a step costs an inverse
and a solution of order q, however many responses there are (the identity of Woodbury).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from regjax.paths.engines.batched import largest_eigenvalues

_MAX_ROUNDS = 60
_PATIENCE = 6
_FEWEST_STEPS, _MOST_STEPS = 10, 640
_NEWTON_STEPS = 3
_TINY = 1e-13
_SMALL_NORM = 1e-6


class Groups(NamedTuple):
    """A problem whose coefficients are the rows of a matrix.

    Attributes:
        gram: (q, q), of unit diagonal where a column is not constant.
        cross: (q, m).
        scale: squares of all responses.
        l1, l2: (q,) strengths > 0 of a row's norm, and >= 0 of its square.
    """

    gram: np.ndarray
    cross: np.ndarray
    scale: float
    l1: np.ndarray
    l2: np.ndarray


def norms(B: np.ndarray) -> np.ndarray:
    """Return the Euclidean norms of the rows."""
    return np.sqrt(np.einsum("jm,jm->j", B, B))


def group_gap(problem: Groups, B: np.ndarray, z: np.ndarray) -> float:
    """Return the duality gap of `B`, given the correlations `z = cross - gram B`."""
    size, pull = norms(B), norms(z)
    ry = problem.scale - np.vdot(B, problem.cross)
    # The residual's square needs no product of its own: <B, gram B> = <B, cross - z>.
    rr = max(ry - np.vdot(B, z), 0.0)
    primal = rr / 2 + problem.l1 @ size + problem.l2 @ (size * size) / 2
    with np.errstate(divide="ignore"):
        room = np.min(problem.l1 / pull, initial=np.inf)
    # Any multiple of the residual bounds the minimum: this one meets every bound of the lasso.
    s = min(ry / rr if rr > 0 else 1.0, room)
    dual = s * ry - s * s * rr / 2
    if (problem.l2 > 0).all():
        over = np.maximum(pull - problem.l1, 0.0)
        dual = max(dual, ry - rr / 2 - np.sum(over * over / problem.l2) / 2)
    return max(float(primal - dual), 0.0)


def solve_groups(problem: Groups, start: np.ndarray, target: float) -> np.ndarray:
    """Return the minimizer to within `target` of its objective, or the best found.

    Args:
        start: (q, m) coefficients to start from.
        target: duality gap to reach.
    """
    best, least = start, np.inf
    lipschitz, steps, failures, settled = 0.0, _FEWEST_STEPS, 0, True
    B = start
    for _ in range(_MAX_ROUNDS):
        z = problem.cross - problem.gram @ B
        gap = group_gap(problem, B, z)
        slow = gap > 0.25 * least
        failures = failures + 1 if slow else 0
        if gap < least:
            best, least = B, gap
        if gap <= target or failures > _PATIENCE:
            break
        if slow:
            steps = min(2 * steps, _MOST_STEPS)
        outside = (norms(z) > problem.l1 * (1 + _TINY)) & ~B.any(axis=1)
        if slow or not settled or outside.any():
            lipschitz = lipschitz or float(largest_eigenvalues(problem.gram[None])[0])
            B = _accelerated(problem, B, lipschitz, steps)
            z = problem.cross - problem.gram @ B
        B, settled = _newton(problem, B, z)
    return best


def _accelerated(problem: Groups, B: np.ndarray, lipschitz: float, steps: int) -> np.ndarray:
    """Return `B` after some accelerated proximal-gradient steps."""
    step = 1 / (lipschitz + problem.l2)
    threshold = step * problem.l1
    # One product for gradient and step: ahead - step (gram ahead + l2 ahead - cross).
    advance = -step[:, None] * problem.gram
    advance[np.diag_indices(len(B))] += 1 - step * problem.l2
    constant = step[:, None] * problem.cross
    ahead, momentum = B, 1.0
    for _ in range(steps):
        moved = advance @ ahead + constant
        size = np.maximum(norms(moved), np.finfo(np.float64).tiny)
        new = moved * np.maximum(1 - threshold / size, 0.0)[:, None]
        change = new - B
        following = (1 + np.sqrt(1 + 4 * momentum * momentum)) / 2
        beta = (momentum - 1) / following
        if np.vdot(ahead - new, change) > 0:
            beta, following = 0.0, 1.0
        ahead, B, momentum = new + beta * change, new, following
    return B


def _newton(problem: Groups, B: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return `B` after Newton steps on its active rows, and whether the last one was whole.

    Rows whose norm would fall below 0 are cut off. The objective falls at every step: where it
    would not, the step is halved.
    """
    whole = False
    for _ in range(_NEWTON_STEPS):
        active = np.flatnonzero(B.any(axis=1))
        if not len(active):
            return B, True
        old, size = B[active], norms(B[active])
        toward = old / size[:, None]
        l1, l2 = problem.l1[active], problem.l2[active]
        slope = z[active] - l2[:, None] * old - l1[:, None] * toward
        local = problem.gram[np.ix_(active, active)]
        move = _direction(local, l1, l2, toward, size, slope)
        part, fell = 1.0, False
        while not fell and part > 1e-5:
            crosses = size + part * np.einsum("jm,jm->j", move, toward) <= 0
            change = np.where(crosses[:, None], -old, part * move)
            pushed = problem.gram[:, active] @ change
            new = np.where(crosses[:, None], 0.0, old + change)
            curvature = pushed[active] + l2[:, None] * change
            rise = l1 @ (norms(new) - size) - np.vdot(z[active] - l2[:, None] * old, change)
            fell = bool(rise + np.vdot(change, curvature) / 2 < 0)
            part /= 2
        if not fell:
            return B, whole
        B = B.copy()
        B[active], z = new, z - pushed
        whole = part == 0.5 and not crosses.any()
        if whole:
            break
    return B, whole


def _direction(
    gram: np.ndarray,
    l1: np.ndarray,
    l2: np.ndarray,
    toward: np.ndarray,
    size: np.ndarray,
    slope: np.ndarray,
) -> np.ndarray:
    """Return the Newton step of active rows of norms `size` and directions `toward`."""
    # A row far smaller than the others would take the digits of the small system below.
    d = l1 / np.maximum(size, _SMALL_NORM * size.max())
    diagonal = np.diag_indices(len(gram))
    shared = gram.copy()
    shared[diagonal] += l2 + d + _TINY * gram[diagonal]
    inverse = np.linalg.inv(shared)
    root = np.sqrt(d)
    small = -root[:, None] * inverse * (toward @ toward.T) * root
    # What is added keeps dependent columns solvable; the next step mends what it costs.
    small[diagonal] += 1 + _TINY
    first = inverse @ slope
    along = np.linalg.solve(small, root * np.einsum("jm,jm->j", toward, first))
    return first + inverse @ (toward * (root * along)[:, None])
