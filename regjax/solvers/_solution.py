"""What a solver returns."""

from __future__ import annotations

from typing import NamedTuple

import jax

from regjax._arrays import Tree

CONVERGED = 0
MAX_STEPS = 1
DIVERGED = 2

STATUS_TEXT = {
    CONVERGED: "converged",
    MAX_STEPS: "stopped at the step limit",
    DIVERGED: "diverged",
}


class Solution(NamedTuple):
    """The answer of an iterative solver; every field gains leading axes under `vmap`.

    Attributes:
        value: the solution, a tree like the start.
        status: int32; 0 converged, 1 stopped at the step limit, 2 diverged.
        kkt_residual: largest entry of `(w - prox(w - s g(w), s)) / s`, the distance from
            optimality in units of the gradient.
        n_steps: int32, steps taken.
        history: objective before the first step and after each one, shape (max_steps + 1,);
            NaN beyond `n_steps`. Empty where it was not recorded.
    """

    value: Tree
    status: jax.Array
    kkt_residual: jax.Array
    n_steps: jax.Array
    history: jax.Array
