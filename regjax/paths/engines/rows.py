"""Elastic-net problems that share a Gram matrix, solved together as the rows of one array.

Row `r` minimizes, over `lower <= b <= upper`,

    scale / 2 - cross b + b' gram b / 2 + sum_j l1[r, j] |b_j| + sum_j l2[r, j] b_j^2 / 2

An outer step computes residuals and duality gaps in float64 and freezes the rows that are done;
the correction between two of them is found in float32, at twice the speed: a few accelerated
proximal-gradient steps show the support, and conjugate gradients masked to it solve for the
values. Every iteration is one matrix product for all rows. Reference for the parts: Beck and
Teboulle (2009), section 4; the outer step is iterative refinement.

What is written for any array library takes its namespace as `xp`; the loops here are NumPy's,
those of traced code are in `traced/rows.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from regjax.paths.engines.grams import Grams

# What is not reached in so many steps is quicker left to the active set.
_MAX_OUTER, _MANY_COLUMNS = (5, 8), 300
_MAX_INNER = 80
_MAX_EFFORT = 32
SLOW = 0.25
NEGLIGIBLE = 1e-12


class Rows(NamedTuple):
    """What the rows share and where they differ.

    Attributes:
        gram: (p, p), of unit diagonal where a column is not constant; or `Grams`.
        cross: (n_rows, p).
        scale: (n_rows,) y'y.
        l1, l2: (n_rows, p), absolute and squared strengths of every coefficient.
        lower, upper: (p,) bounds about 0, infinite for none.
    """

    gram: Any
    cross: Any
    scale: Any
    l1: Any
    l2: Any
    lower: Any
    upper: Any

    def take(self, rows: np.ndarray) -> Rows:
        """Return the problem of some rows."""
        return self._replace(
            gram=self.gram.take(rows) if isinstance(self.gram, Grams) else self.gram,
            cross=self.cross[rows],
            scale=self.scale[rows],
            l1=self.l1[rows],
            l2=self.l2[rows],
        )


def duality_gaps(problem: Rows, b: Any, z: Any, xp: Any = np, bounded: bool | None = None) -> Any:
    """Return the duality gap of every row of `b`, given the correlations `z = cross - b gram`.

    Args:
        bounded: whether any bound may be finite; looked up unless given.
    """
    if bounded is None:
        bounded = bool(np.isfinite(problem.lower).any() or np.isfinite(problem.upper).any())
    fit = row_dots(b, problem.cross, xp)
    ry = problem.scale - fit
    # The residual's square needs no product of its own: b' gram b = b' (cross - z).
    rr = xp.maximum(ry - row_dots(b, z, xp), 0.0)
    primal = rr / 2 + row_dots(problem.l1, xp.abs(b), xp)
    primal += xp.einsum("rp,rp,rp->r", problem.l2, b, b) / 2
    shrink = _largest_scaling(problem, z, xp)
    # Without a quadratic term the best multiple of the residual is known; with one it is 1.
    plain = ~(problem.l2 > 0).any(axis=1)
    best = xp.where(plain, ry / xp.where(rr > 0, rr, 1.0), 1.0)
    s = xp.clip(best, -shrink, shrink)
    dual = s * ry - s * s * rr / 2 - _conjugates(problem, s[:, None] * z, xp)
    if bounded:
        # Bounds have a conjugate too, and then 1 may be better; any multiple is a bound.
        s = xp.minimum(shrink, 1.0)
        at_one = s * ry - s * s * rr / 2 - _conjugates(problem, s[:, None] * z, xp)
        dual = xp.maximum(dual, at_one)
    return xp.maximum(primal - dual, 0.0)


def row_dots(a: Any, b: Any, xp: Any = np) -> Any:
    """Return the inner product of every row of `a` with the same row of `b`."""
    return xp.einsum("rp,rp->r", a, b)


def _largest_scaling(problem: Rows, z: Any, xp: Any) -> Any:
    """Return the largest `s` for which the conjugate at `s z` is finite."""
    hard = problem.l2 == 0
    exceeds = xp.where(z > 0, xp.isinf(problem.upper), xp.isinf(problem.lower)) & hard & (z != 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = xp.where(exceeds, problem.l1 / xp.abs(z), xp.inf)
    return ratio.min(axis=1, initial=xp.inf)


def _conjugates(problem: Rows, z: Any, xp: Any) -> Any:
    """Return `sum_j max over lower <= b <= upper of z b - l1 |b| - l2 b^2 / 2` for every row."""
    excess = xp.abs(z) - problem.l1
    over = excess > max(1e-14, 2 * float(np.finfo(z.dtype).eps)) * xp.abs(z)
    # A short way out for arrays whose values can be looked at.
    if xp is np and not over.any():
        return np.zeros(len(z))
    bound = xp.where(z > 0, problem.upper, -problem.lower)
    with np.errstate(divide="ignore", invalid="ignore"):
        free = xp.where(problem.l2 > 0, excess / problem.l2, xp.inf)
        at = xp.where(over, xp.minimum(free, bound), 0.0)
        # Where the scaling stopped at the boundary, excess is rounding and the bound infinite.
        at = xp.where(xp.isinf(at), 0.0, at)
    return xp.sum(at * excess - problem.l2 * at * at / 2, axis=1, where=over)


class RowsSolution(NamedTuple):
    """Coefficients (n_rows, p) and duality gaps (n_rows,)."""

    b: np.ndarray
    gap: np.ndarray


def solve_rows(
    problem: Rows, start: np.ndarray, target: np.ndarray, short: Grams, lipschitz: np.ndarray
) -> RowsSolution:
    """Return every row's minimizer to within `target` of its objective, or the best found.

    Args:
        problem: the rows, with `Grams`.
        start: (n_rows, p) coefficients to start from.
        target: (n_rows,) duality gaps to reach.
        short: its Gram matrices in float32.
        lipschitz: (n_rows,) bounds of their largest eigenvalues.
    """
    b_all, gap_all = start.copy(), np.full(len(start), np.inf)
    open_rows = np.arange(len(start))
    current, local, b = problem, short, start.copy()
    effort = np.ones(len(start), dtype=int)
    for _ in range(_MAX_OUTER[start.shape[1] > _MANY_COLUMNS]):
        z = current.cross - b @ current.gram
        gap = duality_gaps(current, b, z)
        better = gap < gap_all[open_rows]
        slow = gap > SLOW * gap_all[open_rows]
        improved = open_rows[better]
        b_all[improved], gap_all[improved] = b[better], gap[better]
        effort = np.where(slow, np.minimum(2 * effort, _MAX_EFFORT), effort)
        keep = gap > target[open_rows]
        if not keep.any():
            break
        if not keep.all():
            open_rows, b, z, effort = open_rows[keep], b[keep], z[keep], effort[keep]
            current, local = problem.take(open_rows), short.take(open_rows)
        b = _correct(current, b, z, local, lipschitz[open_rows], int(effort.max()))
    return RowsSolution(b_all, gap_all)


def descents(effort: Any) -> Any:
    """Return how many proximal-gradient steps a correction takes, up to a limit."""
    return 4 * effort + 1


def conjugate_steps(effort: Any) -> Any:
    """Return how many conjugate-gradient steps it takes, up to a limit."""
    return 6 + 2 * effort


def _correct(
    problem: Rows, b: np.ndarray, z: np.ndarray, gram: Grams, lipschitz: np.ndarray, effort: int
) -> np.ndarray:
    """Return `b` moved towards the minimizer; all products are in float32."""
    local = Local.about(problem, b, z, lipschitz[:, None])
    bounded = bool(np.isfinite(local.lower).any() or np.isfinite(local.upper).any())
    state = Descent.start(local)
    product = np.zeros_like(local.base)
    for k in range(min(descents(effort), _MAX_INNER)):
        if k:
            product = state.ahead @ gram
        state = descend(local, state, product, bounded)

    moved = state.moved
    face = Face.around(local, moved, moved @ gram, bounded)
    e = _masked_cg(gram, local.l2, face, min(conjugate_steps(effort), _MAX_INNER))
    nearest, out = clipped(local, moved, face, e)
    if out.any():
        refuse = rises(local, face, nearest, nearest @ gram) & out.any(axis=1)
        if refuse.any():
            nearest = np.where(refuse[:, None], shortened(nearest, e, out), nearest)
    return landed(problem, b, local, moved, face, nearest, bounded)


def _masked_cg(gram: Grams, l2: np.ndarray, face: Face, steps: int) -> np.ndarray:
    """Return an approximate solution of `(gram + l2) e = slope` on the free entries of a row."""
    state = Conjugate.start(face)
    floor = NEGLIGIBLE * state.rho
    for _ in range(steps):
        state = conjugate_step(state, state.d @ gram, l2, face, floor)
        if not (state.rho > floor).any():
            break
    return state.e


class Local(NamedTuple):
    """The problem about an iterate `b`, in float32: what moves away from it bring.

    What pulls on them is formed in the longer precision: near the minimum it is the small
    difference of a correlation and its bound, which float32 would lose.

    Attributes:
        base: (n_rows, p) the iterate.
        side: the signs that `base` has, or would take first.
        pull: minus the slope of the objective on that side.
        l1, l2, lower, upper: as in `Rows`.
        step: (n_rows, p) steps of the descent.
        across: what `step` adds to a move that changes sides.
    """

    base: Any
    side: Any
    pull: Any
    l1: Any
    l2: Any
    lower: Any
    upper: Any
    step: Any
    across: Any

    @classmethod
    def about(cls, problem: Rows, b: Any, z: Any, lipschitz: Any, xp: Any = np) -> Local:
        """Return the problem about `b`, whose correlations are `z`."""
        f = np.float32
        sigma = xp.where(b != 0, xp.sign(b), xp.sign(z))
        pull = (z - problem.l1 * sigma - problem.l2 * b).astype(f)
        side = sigma.astype(f)
        l1, l2 = problem.l1.astype(f), problem.l2.astype(f)
        step = f(1) / (xp.asarray(lipschitz, f) + l2)
        lower, upper = problem.lower.astype(f), problem.upper.astype(f)
        return cls(b.astype(f), side, pull, l1, l2, lower, upper, step, 2 * step * l1 * side)


class Descent(NamedTuple):
    """Accelerated proximal gradient, row by row.

    Attributes:
        moved: (n_rows, p) the move so far.
        ahead: where the next gradient is taken.
        momentum: (n_rows, 1), the sequence t of Beck and Teboulle.
    """

    moved: Any
    ahead: Any
    momentum: Any

    @classmethod
    def start(cls, local: Local, xp: Any = np) -> Descent:
        """Return the state before the first step."""
        none = xp.zeros_like(local.base)
        return cls(none, none, xp.ones((len(none), 1), local.base.dtype))


def descend(local: Local, state: Descent, product: Any, bounded: bool, xp: Any = np) -> Descent:
    """Return the state after a step, given `product = ahead gram`; rows restart going uphill."""
    zero, one = np.float32(0), np.float32(1)
    base, side, ahead, momentum = local.base, local.side, state.ahead, state.momentum
    new = ahead + local.step * (local.pull - product - local.l2 * ahead)
    # The soft threshold: on the side of `b` the pull holds as it is, on the other it turns.
    stays = (base + new) * side > 0
    crosses = (base + new + local.across) * side < 0
    new = xp.where(stays, new, xp.where(crosses, new + local.across, -base))
    if bounded:
        new = xp.clip(new, local.lower - base, local.upper - base)
    change = new - state.moved
    uphill = row_dots(ahead - new, change, xp)[:, None] > 0
    following = (1 + xp.sqrt(1 + 4 * momentum * momentum)) / 2
    beta = xp.where(uphill, zero, (momentum - 1) / following)
    return Descent(new, new + beta * change, xp.where(uphill, one, following))


class Face(NamedTuple):
    """Where a move may go on without changing a sign or leaving a bound.

    Attributes:
        sign: (n_rows, p) signs after the move.
        free: the entries that are neither 0 nor at a bound.
        slope: minus the gradient on them, 0 elsewhere.
    """

    sign: Any
    free: Any
    slope: Any

    @classmethod
    def around(cls, local: Local, moved: Any, product: Any, bounded: bool, xp: Any = np) -> Face:
        """Return the face that `moved` lies on, given `product = moved gram`."""
        u = local.base + moved
        sign = xp.sign(u)
        free = u != 0
        if bounded:
            free &= (moved > local.lower - local.base) & (moved < local.upper - local.base)
        turned = xp.where(sign == local.side, np.float32(0), 2 * local.l1 * local.side)
        return cls(sign, free, (local.pull + turned - product - local.l2 * moved) * free)


class Conjugate(NamedTuple):
    """Conjugate gradients, row by row: solution, residual, direction and squared residual."""

    e: Any
    r: Any
    d: Any
    rho: Any

    @classmethod
    def start(cls, face: Face, xp: Any = np) -> Conjugate:
        """Return the state before the first step."""
        rhs = face.slope
        return cls(xp.zeros_like(rhs), rhs, rhs, row_dots(rhs, rhs, xp))


def conjugate_step(
    state: Conjugate, product: Any, l2: Any, face: Face, floor: Any, xp: Any = np
) -> Conjugate:
    """Return the state after a step, given `product = d gram`; rows below `floor` stand still."""
    e, r, d, rho = state
    q = (product + l2 * d) * face.free
    curvature = row_dots(d, q, xp)
    alpha = xp.where(
        (curvature > 0) & (rho > floor), rho / xp.where(curvature > 0, curvature, 1), 0
    )
    e = e + alpha[:, None] * d
    r = r - alpha[:, None] * q
    new = row_dots(r, r, xp)
    d = r + (new / xp.where(rho > 0, rho, 1))[:, None] * d
    return Conjugate(e, r, d, new)


def clipped(local: Local, moved: Any, face: Face, e: Any, xp: Any = np) -> tuple[Any, Any]:
    """Return `e` clipped so as to cross no zero and no bound, and where that changed it."""
    base, sign = local.base, face.sign
    below, above = local.lower - base, local.upper - base
    low = xp.where(sign > 0, xp.maximum(-base, below), below) - moved
    high = xp.where(sign < 0, xp.minimum(-base, above), above) - moved
    nearest = xp.where(face.free, xp.clip(e, low, high), 0)
    return nearest, face.free & (nearest != e)


def rises(local: Local, face: Face, e: Any, product: Any, xp: Any = np) -> Any:
    """Return the rows whose objective is higher after the move `e`, given `product = e gram`."""
    return row_dots(e, (product + local.l2 * e) / 2 - face.slope, xp) > 0


def shortened(nearest: Any, e: Any, out: Any, xp: Any = np) -> Any:
    """Return `e` up to the first zero or bound, and no further."""
    with np.errstate(divide="ignore", invalid="ignore"):
        room = xp.where(out, nearest / e, xp.inf)
    part = xp.min(room, axis=1, keepdims=True)
    return xp.where(room <= part, nearest, xp.minimum(part, 1) * e)


def landed(
    problem: Rows,
    b: Any,
    local: Local,
    moved: Any,
    face: Face,
    e: Any,
    bounded: bool,
    xp: Any = np,
) -> Any:
    """Return `b` after both parts of a move, in its own precision.

    Zeros and bounds are exact; other entries keep the digits of `b`.
    """
    base, total = local.base, moved + e
    result = b + total.astype(b.dtype)
    result = xp.where(
        (base + moved == 0) | (total == -base) | (result * face.sign < 0), 0.0, result
    )
    if bounded:
        result = xp.where(total <= local.lower - base, problem.lower, result)
        result = xp.where(total >= local.upper - base, problem.upper, result)
    return result
