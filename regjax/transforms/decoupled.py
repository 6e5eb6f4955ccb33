"""Decoupled weight decay: weights shrink beside the optimizer's step, not through it.

With direction `d_t` (what the optimizer would subtract per unit of learning rate), one
step is `w <- w - learning_rate_t * d_t - decay_t * w`, where `decay_t` is

    scaled_by                 decay_t                                    as in
    "learning_rate"           learning_rate_t * lambda_                  torch, optax, Keras
    "schedule"                learning_rate_t / peak * lambda_           the AdamW paper
    "squared_learning_rate"   learning_rate_t^2 / peak * lambda_         AdamC, timm

Two variants change where to and on what the weights shrink:

    target_norm=r             decay_t (1 - r / ||w||) w, leaf by leaf    AdamWN
    cautious=True             only entries with d_t * w >= 0             cautious decay

References: Loshchilov and Hutter (2019), "Decoupled weight decay regularization",
algorithm 2; Defazio (2025), "Why gradients rapidly increase near the end of training", AdamC;
Loshchilov (2023), "Weight norm control", AdamWN; Chen and others (2025), "Cautious weight
decay".

In bfloat16 a decay below about 0.002 per step is lost to rounding: `1 - decay` is 1 there.
`with_master_weights` keeps float32 weights beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

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
    norms,
    strengths,
)
from regjax.masks import Mask, resolve, weights
from regjax.transforms._step import (
    ScalarOrSchedule,
    at_step,
    check_mask,
    check_scalar,
    is_placeholder,
    keeping_dtypes,
    require_params,
    show_parts,
)

Scaling = Literal["learning_rate", "schedule", "squared_learning_rate"]
ScaledBy = Scaling | Mapping[Scaling, Mask | Tree]
"""One scaling for all leaves, or masks by scaling; leaves in no mask take "learning_rate"."""


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
    target_norm: Tree | None = None,
    cautious: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Step along `direction` and shrink the penalised weights beside it.

    Args:
        direction: a transformation whose output is subtracted, times the learning rate:
            `optax.scale_by_adam()`, `optax.scale_by_lion()`, `optax.identity()` for SGD.
            It must not contain a learning rate itself.
        learning_rate: step size, or a schedule of it.
        lambda_: decay strength >= 0, or a schedule of it; see the module's table.
        scaled_by: what the decay is proportional to; see the module's table. A mapping such
            as `{"squared_learning_rate": mask}` scales the leaves of that mask so and the
            others by the learning rate.
        peak_learning_rate: the `peak` of the table. The last two forms need it unless
            `learning_rate` is a Python number, which then is its own peak; under
            `optax.inject_hyperparams` it never is. The first form has none.
        mask: which leaves decay; biases and norms are left out by default.
        target_norm: the norm >= 0 that a leaf shrinks or grows to, for each leaf: a number,
            or a tree prefix of numbers. 0 is plain decay, and a zero leaf stays.
        cautious: whether only entries decay that the direction moves the same way, or leaves
            alone; of complex numbers the real part of `conj(d) w` decides. Stationary points
            are then those of the loss itself.

    Raises:
        ValueError: for a negative strength, an unknown `scaled_by`, a leaf with two scalings or
            a missing peak; at `init`, if a mask leaves nothing and `lambda_` is not 0.

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
    peak = _peak(scaled_by, learning_rate, peak_learning_rate)
    direction = keeping_dtypes(direction)

    def init(params: Tree) -> DecoupledState:
        check_mask(mask, params, lambda_)
        if isinstance(scaled_by, Mapping):
            for scaling in scaled_by.values():
                check_mask(scaling, params, lambda_)
        if not is_placeholder(params):
            _scalings(scaled_by, params)
            _targets(target_norm, params)
        return DecoupledState(jnp.zeros([], jnp.int32), direction.init(params))

    def update(
        updates: Tree, state: DecoupledState, params: Tree | None = None, **extra_args: Any
    ) -> tuple[Tree, DecoupledState]:
        params = require_params(params)
        rate = at_step(learning_rate, state.step)
        strength = at_step(lambda_, state.step)
        decays = {
            "learning_rate": strength,
            "schedule": None if peak is None else strength / peak,
            "squared_learning_rate": None if peak is None else strength * rate / peak,
        }
        steps, inner = direction.update(updates, state.direction, params, **extra_args)

        def pull(d: Any, p: Any, decayed: bool, scaling: Scaling, target: Any) -> Any:
            """Return what is decayed per unit of learning rate."""
            if not decayed:
                return 0.0
            pulled = decays[scaling] * p
            if target is not None:
                norm = norms(jnp.abs(p), None)
                pulled *= 1 - jnp.where(norm == 0, 0, target / jnp.where(norm == 0, 1, norm))
            if not cautious:
                return pulled
            # Signs, because a product of small numbers underflows; those of complex numbers turn.
            agreement = jnp.real(jnp.conj(jnp.sign(d)) * jnp.sign(pulled))
            return jnp.where(agreement >= 0, pulled, 0)

        decayed = resolve(mask, params, required=False)
        pulls = jax.tree.map(
            pull,
            steps,
            params,
            decayed,
            _scalings(scaled_by, params),
            _targets(target_norm, params),
        )
        updates = jax.tree.map(
            lambda d, q, on: (-rate * (d + q) if on else -rate * d).astype(d.dtype),
            steps,
            pulls,
            decayed,
        )
        show_parts(extra_args, lambda: (_scaled(rate, steps), _scaled(rate, pulls)))
        return updates, DecoupledState(optax.safe_increment(state.step), inner)

    return optax.GradientTransformationExtraArgs(init, update)


def _scaled(rate: Numeric, tree: Tree) -> Tree:
    return jax.tree.map(lambda x: rate * x, tree)


def _peak(
    scaled_by: ScaledBy, learning_rate: ScalarOrSchedule, peak: Numeric | None
) -> Numeric | None:
    names = list(scaled_by) if isinstance(scaled_by, Mapping) else [scaled_by]
    for name in names:
        if name not in get_args(Scaling):
            raise ValueError(
                "scaled_by must be 'learning_rate', 'schedule' or 'squared_learning_rate', or a "
                f"mapping from these to masks, got {name!r}."
            )
    needs_peak = [name for name in names if name != "learning_rate"]
    if peak is None and needs_peak:
        if not isinstance(learning_rate, int | float):
            raise ValueError(
                f"scaled_by={needs_peak[0]!r} divides by the peak of the learning rate, which "
                "only a Python number tells: pass peak_learning_rate."
            )
        peak = learning_rate
    if peak is not None:
        check_positive(peak, "peak_learning_rate")
    return peak


def _scalings(scaled_by: ScaledBy, params: Tree) -> Tree:
    """Return the name of the scaling of every leaf."""
    if not isinstance(scaled_by, Mapping):
        return jax.tree.map(lambda _: scaled_by, params)
    masks = [resolve(mask, params, required=False) for mask in scaled_by.values()]

    def choose(*flags: bool) -> Scaling:
        if sum(flags) > 1:
            raise ValueError(
                f"The masks of scaled_by overlap on some leaf: {list(scaled_by)}. Make them "
                "disjoint, for example with & ~other."
            )
        return next(
            (name for name, on in zip(scaled_by, flags, strict=True) if on), "learning_rate"
        )

    return jax.tree.map(lambda _, *flags: choose(*flags), params, *masks)


def _targets(target_norm: Tree | None, params: Tree) -> Tree:
    if target_norm is None:
        return jax.tree.map(lambda _: None, params)
    return strengths(target_norm, params, "target_norm")


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
