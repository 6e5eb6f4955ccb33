"""Elastic-net problems that share a Gram matrix, solved together as the rows of one array.

Row `r` minimises, over `lower <= b <= upper`,

    scale / 2 - cross b + b' gram b / 2 + sum_j l1[r, j] |b_j| + sum_j l2[r, j] b_j^2 / 2

An outer step computes residuals and duality gaps in float64 and freezes the rows that are done;
the correction between two of them is found in float32, at twice the speed: a few accelerated
proximal-gradient steps show the support, and conjugate gradients masked to it solve for the
values. Every iteration is one matrix product for all rows. Reference for the parts: Beck and
Teboulle (2009), section 4; the outer step is iterative refinement.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_MAX_OUTER = 60
_MAX_INNER = 80


class Rows(NamedTuple):
    """What the rows share and where they differ.

    Attributes:
        gram: (p, p), of unit diagonal where a column is not constant.
        cross: (n_rows, p).
        scale: (n_rows,) y'y.
        l1, l2: (n_rows, p), absolute and squared strengths of every coefficient.
        lower, upper: (p,) bounds about 0, infinite for none.
    """

    gram: np.ndarray
    cross: np.ndarray
    scale: np.ndarray
    l1: np.ndarray
    l2: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    def take(self, rows: np.ndarray) -> Rows:
        """Return the problem of some rows."""
        return self._replace(
            cross=self.cross[rows], scale=self.scale[rows], l1=self.l1[rows], l2=self.l2[rows]
        )


def duality_gaps(problem: Rows, b: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the duality gap of every row of `b`, given the correlations `z = cross - b gram`."""
    fit = np.einsum("rp,rp->r", b, problem.cross)
    ry = problem.scale - fit
    # The residual's square needs no product of its own: b' gram b = b' (cross - z).
    rr = np.maximum(ry - np.einsum("rp,rp->r", b, z), 0.0)
    primal = rr / 2 + np.einsum("rp,rp->r", problem.l1, np.abs(b))
    primal += np.einsum("rp,rp,rp->r", problem.l2, b, b) / 2
    shrink = _largest_scaling(problem, z)
    # Without a quadratic term the best multiple of the residual is known; with one it is 1.
    plain = ~(problem.l2 > 0).any(axis=1)
    best = np.where(plain, ry / np.where(rr > 0, rr, 1.0), 1.0)
    s = np.clip(best, -shrink, shrink)
    dual = s * ry - s * s * rr / 2 - _conjugates(problem, s[:, None] * z)
    return np.maximum(primal - dual, 0.0)


def _largest_scaling(problem: Rows, z: np.ndarray) -> np.ndarray:
    """Return the largest `s` for which the conjugate at `s z` is finite."""
    hard = problem.l2 == 0
    exceeds = np.where(z > 0, np.isinf(problem.upper), np.isinf(problem.lower)) & hard & (z != 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(exceeds, problem.l1 / np.abs(z), np.inf)
    return ratio.min(axis=1, initial=np.inf)


def _conjugates(problem: Rows, z: np.ndarray) -> np.ndarray:
    """Return `sum_j max over lower <= b <= upper of z b - l1 |b| - l2 b^2 / 2` for every row."""
    excess = np.abs(z) - problem.l1
    over = excess > 1e-14 * np.abs(z)
    if not over.any():
        return np.zeros(len(z))
    bound = np.where(z > 0, problem.upper, -problem.lower)
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.where(problem.l2 > 0, excess / problem.l2, np.inf)
        at = np.where(over, np.minimum(free, bound), 0.0)
        # Where the scaling stopped at the boundary, excess is rounding and the bound infinite.
        at = np.where(np.isinf(at), 0.0, at)
    return np.sum(at * excess - problem.l2 * at * at / 2, axis=1, where=over)


class RowsSolution(NamedTuple):
    """Coefficients (n_rows, p) and duality gaps (n_rows,)."""

    b: np.ndarray
    gap: np.ndarray


def solve_rows(
    problem: Rows, start: np.ndarray, target: np.ndarray, short: np.ndarray, lipschitz: float
) -> RowsSolution:
    """Return every row's minimiser to within `target` of its objective, or the best found.

    Args:
        problem: the rows.
        start: (n_rows, p) coefficients to start from.
        target: (n_rows,) duality gaps to reach.
        short: the Gram matrix in float32.
        lipschitz: a bound of its largest eigenvalue.
    """
    b_all, gap_all = start.copy(), np.full(len(start), np.inf)
    open_rows = np.arange(len(start))
    current, b = problem, start.copy()
    effort = np.ones(len(start), dtype=int)
    for _ in range(_MAX_OUTER):
        z = current.cross - b @ current.gram
        gap = duality_gaps(current, b, z)
        better = gap < gap_all[open_rows]
        slow = gap > 0.25 * gap_all[open_rows]
        improved = open_rows[better]
        b_all[improved], gap_all[improved] = b[better], gap[better]
        effort = np.where(slow, np.minimum(2 * effort, 32), effort)
        keep = gap > target[open_rows]
        if not keep.any():
            break
        if not keep.all():
            open_rows, b, z, effort = open_rows[keep], b[keep], z[keep], effort[keep]
            current = problem.take(open_rows)
        b = _correct(current, b, z, short, lipschitz, int(effort.max()))
    return RowsSolution(b_all, gap_all)


def _correct(
    problem: Rows, b: np.ndarray, z: np.ndarray, gram: np.ndarray, lipschitz: float, effort: int
) -> np.ndarray:
    """Return `b` moved towards the minimiser; all products are in float32.

    Moves are counted from `b`, and what pulls on them is formed in float64: near the minimum it is
    the small difference of a correlation and its bound, which float32 would lose.
    """
    f = np.float32
    sigma = np.where(b != 0, np.sign(b), np.sign(z))
    pull = (z - problem.l1 * sigma - problem.l2 * b).astype(f)
    base, side = b.astype(f), sigma.astype(f)
    l1, l2 = problem.l1.astype(f), problem.l2.astype(f)
    lower, upper = problem.lower.astype(f), problem.upper.astype(f)
    bounded = bool(np.isfinite(lower).any() or np.isfinite(upper).any())
    step = f(1) / (f(lipschitz) + l2)
    across = 2 * step * l1 * side

    moved = np.zeros_like(base)
    ahead, product = moved, np.zeros_like(base)
    momentum = np.ones((len(b), 1), f)
    for k in range(min(4 * effort + 1, _MAX_INNER)):
        if k:
            product = ahead @ gram
        new = ahead + step * (pull - product - l2 * ahead)
        # The soft threshold: on the side of `b` the pull holds as it is, on the other it turns.
        stays = (base + new) * side > 0
        crosses = (base + new + across) * side < 0
        new = np.where(stays, new, np.where(crosses, new + across, -base))
        if bounded:
            new = np.clip(new, lower - base, upper - base)
        change = new - moved
        uphill = np.einsum("rp,rp->r", ahead - new, change)[:, None] > 0
        following = (1 + np.sqrt(1 + 4 * momentum * momentum)) / 2
        beta = np.where(uphill, f(0), (momentum - 1) / following)
        momentum = np.where(uphill, f(1), following)
        ahead, moved = new + beta * change, new

    u = base + moved
    sign = np.sign(u)
    free = u != 0
    if bounded:
        free &= (moved > lower - base) & (moved < upper - base)
    turned = np.where(sign == side, f(0), 2 * l1 * side)
    slope = (pull + turned - moved @ gram - l2 * moved) * free
    e = _masked_cg(gram, l2, free, slope, min(6 + 2 * effort, _MAX_INNER))

    # Where the step ends if it may not cross zero or a bound.
    low = np.where(sign > 0, np.maximum(-base, lower - base), lower - base) - moved
    high = np.where(sign < 0, np.minimum(-base, upper - base), upper - base) - moved
    nearest = np.where(free, np.clip(e, low, high), 0)
    out = free & (nearest != e)
    if out.any():
        rise = np.einsum("rp,rp->r", nearest, (nearest @ gram + l2 * nearest) / 2 - slope)
        refuse = out.any(axis=1) & (rise > 0)
        if refuse.any():
            # Up to the first zero or bound, and no further.
            with np.errstate(divide="ignore", invalid="ignore"):
                room = np.where(out, nearest / e, np.inf)
            part = np.min(room, axis=1, keepdims=True)
            partial = np.where(room <= part, nearest, np.minimum(part, 1) * e)
            nearest = np.where(refuse[:, None], partial, nearest)
    total = moved + nearest
    # Zeros and bounds are exact; other entries keep the digits of the float64 iterate.
    result = b + total.astype(np.float64)
    result = np.where((u == 0) | (total == -base) | (result * sign < 0), 0.0, result)
    if bounded:
        result = np.where(total <= lower - base, problem.lower, result)
        result = np.where(total >= upper - base, problem.upper, result)
    return result


def _masked_cg(
    gram: np.ndarray, l2: np.ndarray, free: np.ndarray, rhs: np.ndarray, steps: int
) -> np.ndarray:
    """Return an approximate solution of `(gram + l2) e = rhs` on the free entries of every row."""
    e = np.zeros_like(rhs)
    r, d = rhs, rhs
    rho = np.einsum("rp,rp->r", r, r)
    floor = 1e-12 * rho
    for _ in range(steps):
        q = (d @ gram + l2 * d) * free
        curvature = np.einsum("rp,rp->r", d, q)
        alpha = np.where(
            (curvature > 0) & (rho > floor), rho / np.where(curvature > 0, curvature, 1), 0
        )
        e = e + alpha[:, None] * d
        r = r - alpha[:, None] * q
        new = np.einsum("rp,rp->r", r, r)
        d = r + (new / np.where(rho > 0, rho, 1))[:, None] * d
        rho = new
        if not (rho > floor).any():
            break
    return e
