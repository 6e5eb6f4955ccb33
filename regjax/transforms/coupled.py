"""Coupled penalties: their gradient is added to the loss gradient before the optimizer.

What the optimizer then minimizes is loss + penalty; an adaptive optimizer rescales the
penalty's gradient with everything else, which is what Adam+L2 is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from regjax._arrays import Tree
from regjax.masks import Mask, weights
from regjax.penalties import L1, L2, Penalty
from regjax.transforms._step import (
    ScalarOrSchedule,
    at_step,
    check_mask,
    check_scalar,
    masked_at,
    require_params,
    show_parts,
)


class CoupledState(NamedTuple):
    """Steps taken so far, an int32 scalar."""

    step: jax.Array


def coupled_l2(
    lambda_: ScalarOrSchedule, mask: Mask | Tree = weights
) -> optax.GradientTransformationExtraArgs:
    """Add `lambda_ * w` to the gradient of every penalized leaf, complex ones included.

    A link of a chain, placed before the optimizer: `g <- g + lambda_ w`. Followed by plain
    SGD it equals a decoupled decay of `learning_rate * lambda_` per step; followed by Adam
    it does not (Loshchilov and Hutter 2019, propositions 1 and 2).

    Args:
        lambda_: strength >= 0, or a schedule of it.
        mask: which leaves are penalized; biases and norms are left out by default.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> adam_with_l2 = optax.chain(coupled_l2(1e-2), optax.adam(1e-3))
        >>> params = {"kernel": jnp.ones((1, 1)), "bias": jnp.ones(1)}
        >>> link = coupled_l2(0.5)
        >>> updates, _ = link.update(params, link.init(params), params)
        >>> print(updates["kernel"], updates["bias"])
        [[1.5]] [1.]
    """
    return _coupled(L2, lambda_, mask)


def coupled_l1(
    lambda_: ScalarOrSchedule, mask: Mask | Tree = weights
) -> optax.GradientTransformationExtraArgs:
    """Add the subgradient `lambda_ * sign(w)` to the gradient of every penalized leaf.

    Subgradient steps hover about zero and do not reach it; `proximal` with `L1` does (Yun,
    Lozano and Yang 2021, "Adaptive proximal gradient methods for structured neural networks").
    Arguments are those of `coupled_l2`.

    Example:
        >>> import jax.numpy as jnp
        >>> link = coupled_l1(0.5)
        >>> w = jnp.array([2.0, -2.0, 0.0])
        >>> print(link.update(jnp.zeros(3), link.init(w), w)[0])
        [ 0.5 -0.5  0. ]
    """
    return _coupled(L1, lambda_, mask)


def _coupled(
    kind: Callable[[Tree], Penalty], lambda_: ScalarOrSchedule, mask: Mask | Tree
) -> optax.GradientTransformationExtraArgs:
    check_scalar(lambda_, "lambda_")

    def init(params: Tree) -> CoupledState:
        check_mask(mask, params, lambda_)
        return CoupledState(jnp.zeros([], jnp.int32))

    def update(
        updates: Tree, state: CoupledState, params: Tree | None = None, **extra_args: Any
    ) -> tuple[Tree, CoupledState]:
        params = require_params(params)
        penalty = masked_at(kind(at_step(lambda_, state.step)), mask, params, state.step)
        gradient = penalty.gradient(params)
        show_parts(extra_args, lambda: (updates, gradient))
        total = jax.tree.map(lambda g, p: (g + p).astype(g.dtype), updates, gradient)
        return total, CoupledState(optax.safe_increment(state.step))

    return optax.GradientTransformationExtraArgs(init, update)
