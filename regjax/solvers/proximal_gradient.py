"""Proximal gradient descent, plain or accelerated: the one in the library.

Minimises `f(w) + penalty(w)` for smooth f: `w <- prox(z - s grad f(z), s)` with `z = w`
(plain) or Nesterov's extrapolation, restarted whenever it points uphill. The step size may
be one per coordinate, which is descent in a diagonal metric and takes badly scaled features
in its stride. References: Beck and Teboulle (2009), "A fast iterative shrinkage-thresholding
algorithm", equations 4.1 to 4.3; O'Donoghue and Candes (2015), "Adaptive restart for
accelerated gradient schemes", the gradient scheme.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from regjax._arrays import Numeric, Tree, max_leaves, step_sizes, sum_leaves
from regjax.penalties import Penalty
from regjax.solvers._solution import CONVERGED, DIVERGED, MAX_STEPS, Solution

Smooth = Callable[[Tree], tuple[jax.Array, Tree]]
"""A function of the weights that returns value and gradient, as `jax.value_and_grad` makes."""


def proximal_gradient(
    smooth: Smooth,
    penalty: Penalty | None,
    start: Tree,
    *,
    step_size: Tree,
    max_steps: int,
    tol: Numeric = 0.0,
    accelerate: bool = True,
    record: bool = False,
) -> Solution:
    """Return the minimiser of `smooth + penalty`, with its optimality residual.

    Traces, maps and keeps the dtype of `start`. A lane that has converged or diverged
    stands still while others go on.

    Args:
        smooth: value and gradient of the smooth part.
        penalty: the part handled by its proximal operator; None for plain gradient descent.
        start: initial weights, an array or a tree.
        step_size: at most 1 / L for a gradient of Lipschitz constant L (below 2 / L without
            acceleration); a scalar, or arrays like `start` for a diagonal metric.
        max_steps: step limit, a static integer.
        tol: stops once the `kkt_residual` of the extrapolated point is at most this; 0
            takes every step, short of an exact fixed point.
        accelerate: Nesterov's momentum with restarts, or plain steps.
        record: whether the history of the objective is kept, which costs one evaluation of
            both parts per step.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from regjax import L1
        >>> smooth = jax.value_and_grad(lambda w: jnp.sum((w - jnp.array([3.0, 0.5])) ** 2) / 2)
        >>> solution = proximal_gradient(smooth, L1(1.0), jnp.zeros(2), step_size=1.0, max_steps=10)
        >>> print(solution.value)
        [2. 0.]
    """
    full_step = step_sizes(step_size, start)

    def prox(v: Tree) -> Tree:
        return v if penalty is None else penalty.prox(v, step_size)

    def descend(z: Tree) -> Tree:
        _, gradient = smooth(z)
        return prox(jax.tree.map(lambda x, g, s: x - s * g, z, gradient, full_step))

    def residual(z: Tree, w: Tree) -> jax.Array:
        return max_leaves(lambda x, y, s: jnp.max(jnp.abs(x - y) / s, initial=0.0), z, w, full_step)

    def objective(w: Tree) -> jax.Array:
        value, _ = smooth(w)
        return value if penalty is None else value + penalty.value(w)

    def go_on(carry: tuple) -> jax.Array:
        _, _, _, gap, k, _ = carry
        # Before the first step the residual is not measured yet.
        return (k < max_steps) & ((k == 0) | ((gap > tol) & jnp.isfinite(gap)))

    def step(carry: tuple) -> tuple:
        w, z, t, _, k, history = carry
        new = descend(z)
        gap = residual(z, new)
        if accelerate:
            uphill = sum_leaves(
                lambda a, b, c, s: jnp.sum((a - b) * (b - c) / s), z, new, w, full_step
            )
            t_next = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
            momentum = jnp.where(uphill > 0, 0, (t - 1) / t_next)
            t = jnp.where(uphill > 0, 1, t_next).astype(t.dtype)
            z = jax.tree.map(lambda a, b: a + momentum.astype(a.dtype) * (a - b), new, w)
        else:
            z = new
        if record:
            history = history.at[k + 1].set(objective(new))
        return new, z, t, gap, k + 1, history

    first = objective(start)
    history = jnp.full(max_steps + 1 if record else 0, jnp.nan, first.dtype)
    if record:
        history = history.at[0].set(first)
    one = jnp.ones_like(first)
    unmeasured = jnp.full_like(one, jnp.inf)
    init = (start, start, one, unmeasured, jnp.int32(0), history)
    w, _, _, gap, n_steps, history = jax.lax.while_loop(go_on, step, init)
    kkt_residual = residual(w, descend(w))
    reached = jnp.where((gap <= tol) | (kkt_residual <= tol), CONVERGED, MAX_STEPS)
    status = jnp.where(jnp.isfinite(kkt_residual), reached, DIVERGED).astype(jnp.int32)
    return Solution(w, status, kkt_residual, n_steps, history)
