"""Decoupled weight decay: weights shrink beside the optimizer's step, not through it.

With direction `d_t` (what the optimizer would subtract per unit of learning rate), one
step is `w <- w - learning_rate_t * d_t - decay_t * w`, where `decay_t` is

    scaled_by                 decay_t                                    as in
    "learning_rate"           learning_rate_t * lambda_                  torch, optax, Keras
    "schedule"                learning_rate_t / peak * lambda_           the AdamW paper
    "squared_learning_rate"   learning_rate_t^2 / peak * lambda_         AdamC, timm

Reference: Loshchilov and Hutter (2019), "Decoupled weight decay regularization",
algorithm 2; Defazio (2025), "Why gradients rapidly increase near the end of training".

In bfloat16 a decay below about 0.002 per step is lost to rounding: `1 - decay` is 1 there.
Keep master weights in float32.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from regjax._arrays import (
    Numeric,
    Tree,
    check_positive,
    check_scalar_strength,
    float_tree,
    map_leaves,
)
from regjax.masks import Mask, resolve, weights
from regjax.transforms._step import ScalarOrSchedule, at_step, check_scalar, require_params

ScaledBy = Literal["learning_rate", "schedule", "squared_learning_rate"]


class DecoupledState(NamedTuple):
    """Steps taken so far, and the state of the wrapped direction."""

    step: jax.Array
    direction: Any


def decoupled_weight_decay(
    direction: optax.GradientTransformation,
    learning_rate: ScalarOrSchedule,
    lambda_: ScalarOrSchedule,
    *,
    scaled_by: ScaledBy = "learning_rate",
    peak_learning_rate: Numeric | None = None,
    mask: Mask | Tree = weights,
) -> optax.GradientTransformationExtraArgs:
    """Step along `direction` and shrink the penalised weights beside it.

    Args:
        direction: a transformation whose output is subtracted, times the learning rate:
            `optax.scale_by_adam()`, `optax.scale_by_lion()`, `optax.identity()` for SGD.
            It must not contain a learning rate itself.
        learning_rate: step size, or a schedule of it.
        lambda_: decay strength >= 0, or a schedule of it; see the module's table.
        scaled_by: what the decay is proportional to; see the module's table.
        peak_learning_rate: the `peak` of the table. The last two forms need it unless
            `learning_rate` is a Python number, which then is its own peak; under
            `optax.inject_hyperparams` it never is. The first form has none.
        mask: which leaves decay; biases and norms are left out by default.

    Raises:
        ValueError: for a negative strength, an unknown `scaled_by` or a missing peak.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> adamw = decoupled_weight_decay(optax.scale_by_adam(), 0.1, 0.5)
        >>> w = jnp.array([2.0])
        >>> updates, _ = adamw.update(jnp.array([1.0]), adamw.init(w), w)
        >>> print(f"{optax.apply_updates(w, updates)[0]:.3f}")
        1.800
    """
    check_scalar(learning_rate, "learning_rate")
    check_scalar(lambda_, "lambda_")
    if scaled_by not in ("learning_rate", "schedule", "squared_learning_rate"):
        raise ValueError(
            "scaled_by must be 'learning_rate', 'schedule' or 'squared_learning_rate', "
            f"got {scaled_by!r}."
        )
    peak = peak_learning_rate
    if scaled_by != "learning_rate" and peak is None:
        if not isinstance(learning_rate, int | float):
            raise ValueError(
                f"scaled_by={scaled_by!r} divides by the peak of the learning rate, which a "
                "schedule or an array does not tell: pass peak_learning_rate."
            )
        peak = learning_rate
    if peak is not None:
        check_positive(peak, "peak_learning_rate")
    direction = optax.with_extra_args_support(direction)

    def init(params: Tree) -> DecoupledState:
        resolve(mask, params)
        return DecoupledState(jnp.zeros([], jnp.int32), direction.init(params))

    def update(
        updates: Tree, state: DecoupledState, params: Tree | None = None, **extra_args: Any
    ) -> tuple[Tree, DecoupledState]:
        params = require_params(params)
        rate = at_step(learning_rate, state.step)
        decay = at_step(lambda_, state.step)
        if scaled_by == "schedule":
            decay = decay / peak
        elif scaled_by == "squared_learning_rate":
            decay = decay * rate / peak
        steps, inner = direction.update(updates, state.direction, params, **extra_args)

        def combine(d: jax.Array, p: jax.Array, decayed: bool) -> jax.Array:
            step = -rate * (d + decay * p) if decayed else -rate * d
            return step.astype(d.dtype)

        updates = jax.tree.map(combine, steps, params, resolve(mask, params))
        return updates, DecoupledState(optax.safe_increment(state.step), inner)

    return optax.GradientTransformationExtraArgs(init, update)


def sgd_with_weight_decay(w: Tree, gradient: Tree, lr: Numeric, lambda_: Numeric) -> Tree:
    """Return `w - lr * gradient - lr * lambda_ * w`, one step of plain SGD with decay.

    The same step as SGD on `loss + l2_penalty(w, lambda_)`. Every leaf decays.

    Args:
        w: array, or tree of arrays.
        gradient: gradient of the loss at `w`, without the penalty.
        lr: learning rate >= 0.
        lambda_: decay strength >= 0.

    Example:
        >>> import jax.numpy as jnp
        >>> print(sgd_with_weight_decay(jnp.array([1.0]), jnp.array([2.0]), 0.1, 0.5))
        [0.75]
    """
    check_scalar_strength(lr, "lr")
    check_scalar_strength(lambda_)
    return map_leaves(lambda x, g: x - lr * g - lr * lambda_ * x, float_tree(w), gradient)
