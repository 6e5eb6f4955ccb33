"""Objective = loss + penalty: a loss on a parameter tree with the penalty added.

`penalized_loss` penalizes parameters, through a mask; the activation penalties act on a
hidden representation instead, as in a sparse autoencoder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from regjax._arrays import Numeric, Tree, float_array, widen
from regjax.masks import Mask, resolve, weights
from regjax.penalties import Penalty, l1_penalty, l2_penalty, mask_penalty


def penalized_loss(
    loss_fn: Callable[..., Any],
    penalty: Penalty,
    mask: Mask | Tree = weights,
    *,
    has_aux: bool = False,
) -> Callable[..., Any]:
    """Return the function `loss_fn(params, ...) + penalty.value(masked params)`.

    Args:
        loss_fn: its first argument is the parameter tree; it returns a scalar, or a pair
            `(scalar, aux)` with `has_aux=True`.
        penalty: any penalty object, or a sum of several.
        mask: which leaves are penalized; biases and norms are left out by default.

    Returns:
        A function of the arguments of `loss_fn` that returns the scalar, or the pair.

    Raises:
        TypeError: if `penalty` is no penalty object.
        ValueError: from the returned function, if the mask leaves nothing to penalize and the
            strength is not 0, or if the loss is no scalar.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from regjax import L2
        >>> params = {"kernel": jnp.array([[3.0]]), "bias": jnp.array([5.0])}
        >>> def loss_fn(params, x):
        ...     return jnp.sum(x @ params["kernel"] + params["bias"])
        >>> objective = penalized_loss(loss_fn, L2(2.0))
        >>> print(objective(params, jnp.ones((1, 1))))
        17.0
        >>> print(jax.grad(objective)(params, jnp.ones((1, 1)))["bias"])
        [1.]
    """

    if not isinstance(penalty, Penalty):
        raise TypeError(f"Expected a penalty object such as L2(1e-4), got {penalty!r}.")

    def objective(params: Tree, *args: Any, **kwargs: Any) -> Any:
        selected = resolve(mask, params, required=not penalty.is_zero)
        added = mask_penalty(penalty, selected).value(params)
        out = loss_fn(params, *args, **kwargs)
        loss, aux = out if has_aux else (out, None)
        if isinstance(loss, tuple | list) or jnp.ndim(loss) != 0:
            raise ValueError(
                "loss_fn must return a scalar, or with has_aux=True a pair of a scalar and "
                "anything; take the mean over samples."
            )
        return (loss + added, aux) if has_aux else loss + added

    return objective


def activation_l1(activations: jax.Array, lambda_: Numeric) -> jax.Array:
    """Return `lambda_ * mean over the batch of sum |h|`, a scalar.

    Args:
        activations: hidden representation h (batch, ...); the first axis is averaged.
        lambda_: strength >= 0.

    Example:
        >>> import jax.numpy as jnp
        >>> print(activation_l1(jnp.array([[1.0, -2.0], [0.0, 1.0]]), 0.5))
        1.0
    """
    activations = float_array(activations)
    value = l1_penalty(widen(activations), lambda_) / _batch(activations)
    return value.astype(activations.dtype)


def activation_l2(activations: jax.Array, lambda_: Numeric) -> jax.Array:
    """Return `lambda_ / 2 * mean over the batch of sum h^2`, a scalar.

    Args:
        activations: hidden representation h (batch, ...); the first axis is averaged.
        lambda_: strength >= 0.

    Example:
        >>> import jax.numpy as jnp
        >>> print(activation_l2(jnp.array([[1.0, -2.0], [0.0, 1.0]]), 1.0))
        1.5
    """
    activations = float_array(activations)
    value = l2_penalty(widen(activations), lambda_) / _batch(activations)
    return value.astype(activations.dtype)


def _batch(activations: jax.Array) -> int:
    if activations.ndim < 2 or activations.shape[0] == 0:
        raise ValueError(
            f"activations must have shape (batch, ...) with a batch, got {activations.shape}; "
            "for a single sample use activations[None]."
        )
    return activations.shape[0]
