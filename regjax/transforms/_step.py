"""What every transformation here needs: parameters, the step count, scheduled strengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax

from regjax._arrays import Numeric, Tree, check_scalar_strength, is_known_zero
from regjax.masks import Mask, resolve
from regjax.penalties import Masked, Penalty, mask_penalty

ScalarOrSchedule = Numeric | Callable[[Numeric], Numeric]
"""A number, a traced scalar, or a function of the step count that returns one."""


def check_scalar(value: Any, name: str) -> None:
    """Raise unless `value` is a schedule or a single valid strength."""
    if not callable(value):
        check_scalar_strength(value, name)


def at_step(value: Any, count: jax.Array) -> Any:
    """Return `value(count)` for a schedule, else `value`."""
    return value(count) if callable(value) else value


def masked_at(penalty: Any, mask: Mask | Tree, params: Tree, count: jax.Array) -> Masked:
    """Return the penalty of this step, restricted to the leaves that the mask selects."""
    current = at_step(penalty, count)
    if not isinstance(current, Penalty):
        raise TypeError(f"Expected a penalty object such as L1(1e-4), got {current!r}.")
    # `check_mask` has looked for something to penalize.
    return mask_penalty(current, resolve(mask, params, required=False))


def check_mask(mask: Mask | Tree, params: Tree, strength: Any) -> None:
    """Raise unless `mask` fits `params` and leaves something to penalize.

    Nothing is required of a strength, or of a penalty whose strengths are, known to be 0.
    """
    is_zero = strength.is_zero if isinstance(strength, Penalty) else is_known_zero(strength)
    resolve(mask, params, required=not is_zero)


def is_placeholder(params: Tree) -> bool:
    """Return whether these are no parameters, but what `optax.tree.map_params` passes to `init`."""
    return type(params).__name__ == "_ParamsPlaceholder"


def require_params(params: Tree | None) -> Tree:
    """Return `params`, or raise if the caller of `update` left them out."""
    if params is None:
        raise ValueError(
            "Regularization needs the parameters: call update(gradients, state, params)."
        )
    return params


Parts = Callable[[], tuple[Tree, Tree]]
"""Returns what the loss and what the penalty contribute to a step, trees like the parameters."""


def show_parts(extra_args: dict[str, Any], parts: Parts) -> None:
    """Hand `parts` to whoever watches this step.

    `monitor` watches by the extra argument `watch` of `update`, a function that takes `parts`;
    where nobody does, nothing is computed.
    """
    watch = extra_args.get("watch")
    if watch is not None:
        watch(parts)


def keeping_dtypes(inner: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Return `inner` with a state whose dtypes never change.

    A hyperparameter that is an array, as under `vmap`, and gradients wider than the parameters
    promote the moments of optax's transformations; a loop's carry may not change so.
    """
    inner = optax.with_extra_args_support(inner)

    def update(
        updates: Tree, state: Any, params: Tree | None = None, **extra_args: Any
    ) -> tuple[Tree, Any]:
        updates, new = inner.update(updates, state, params, **extra_args)
        return updates, jax.tree.map(_as_before, new, state)

    return optax.GradientTransformationExtraArgs(inner.init, update)


def sgd_direction(momentum: Numeric | None, nesterov: bool) -> optax.GradientTransformation:
    """Return what SGD subtracts per unit of learning rate: the gradient, or its momentum."""
    return optax.identity() if momentum is None else optax.trace(momentum, nesterov)


def _as_before(new: Any, old: Any) -> Any:
    return new.astype(old.dtype) if hasattr(old, "dtype") and hasattr(new, "dtype") else new
