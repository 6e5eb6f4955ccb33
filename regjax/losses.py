"""Losses: means over samples, with value, gradient and curvature where a solver needs them.

The regression loss is `||y - Xw - b||^2 / (2 n)`: with the half, its gradient is
`X'(Xw + b - y) / n`, and with the mean, one strength means the same at every sample size.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax


def squared_loss(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Return `mean((predictions - targets)^2) / 2`, a scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> print(squared_loss(jnp.array([1.0, 3.0]), jnp.array([0.0, 1.0])))
        1.25
    """
    return jnp.mean(jnp.square(predictions - targets)) / 2


def softmax_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the mean cross-entropy in nats of `logits` (n, k) against integer `labels` (n,).

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{softmax_loss(jnp.zeros((3, 2)), jnp.array([0, 1, 0])):.4f}")
        0.6931
    """
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the share of rows whose largest logit is at the label.

    Example:
        >>> import jax.numpy as jnp
        >>> print(accuracy(jnp.array([[2.0, 1.0], [0.0, 1.0]]), jnp.array([0, 0])))
        0.5
    """
    return jnp.mean(jnp.argmax(logits, axis=-1) == labels)


SOFTMAX_CURVATURE = 0.5
"""Largest eigenvalue of one sample's cross-entropy Hessian in its logits (Boehning 1992)."""
