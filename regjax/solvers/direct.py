"""Ridge in closed form, by the singular value decomposition."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from regjax._arrays import Numeric, check_finite, check_scalar_strength, float_array


def ridge_closed_form(X: jax.Array, y: jax.Array, lambda_: Numeric) -> jax.Array:
    """Return the ridge solution `(X'X + n lambda_ I)^-1 X'y`.

    It minimises `||y - Xw||^2 / (2n) + lambda_ / 2 * ||w||^2`.

    Computed as `V diag(s / (s^2 + n lambda_)) U'y`, which never squares the condition number
    and serves more columns than rows. At `lambda_ = 0` singular directions are left out:
    the minimum-norm least-squares solution. There is no intercept; centre X and y first for
    an unpenalised one.

    Args:
        X: (n_samples, n_features).
        y: (n_samples,) or (n_samples, n_targets).
        lambda_: strength >= 0; it traces and maps.

    Returns:
        Weights (n_features,) or (n_features, n_targets) in the dtype of X.

    Raises:
        ValueError: if shapes do not fit or `lambda_` is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> X = jnp.array([[1.0, 0.0], [0.0, 1.0]])
        >>> print(ridge_closed_form(X, jnp.array([2.0, 4.0]), 0.5))
        [1. 2.]
    """
    check_scalar_strength(lambda_)
    X, y = float_array(X), float_array(y)
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X must have shape (n_samples, n_features), got {X.shape}.")
    if y.ndim not in (1, 2) or y.shape[0] != X.shape[0]:
        raise ValueError(
            f"y must have shape (n_samples,) or (n_samples, n_targets) with "
            f"{X.shape[0]} samples, got {y.shape}."
        )
    check_finite(X, "X")
    check_finite(y, "y")
    U, s, Vt = jnp.linalg.svd(X, full_matrices=False)
    rank_tolerance = jnp.finfo(X.dtype).eps * max(X.shape) * s[0]
    shrunk = jnp.square(s) + X.shape[0] * lambda_
    factors = jnp.where(
        (s > rank_tolerance) | (lambda_ > 0), s / jnp.where(shrunk > 0, shrunk, 1), 0
    )
    rotated = U.T @ y
    scaled = rotated * (factors if y.ndim == 1 else factors[:, None])
    return (Vt.T @ scaled).astype(X.dtype)
