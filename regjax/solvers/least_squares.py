"""The least-squares loss as a smooth function of the weights, with the steps it allows."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from regjax._arrays import Numeric, Tree
from regjax.solvers.proximal_gradient import Smooth


class LeastSquares(NamedTuple):
    """`||y - Xw||^2 / (2n) + ridge / 2 ||w||^2` for centred X and y.

    With at least as many rows as columns it lives in the Gram matrix, whose size does not
    depend on the number of rows; otherwise in the data.

    Attributes:
        X: (n_samples, n_features) divided by sqrt(n), or None in Gram form.
        y: (n_samples,) divided by sqrt(n), or None in Gram form.
        gram: (n_features, n_features) X'X / n, or None in data form.
        cross: (n_features,) X'y / n.
        scale: scalar y'y / n.
        diagonal: (n_features,) diagonal of the Gram matrix.
    """

    X: jax.Array | None
    y: jax.Array | None
    gram: jax.Array | None
    cross: jax.Array
    scale: jax.Array
    diagonal: jax.Array

    def smooth(self, ridge: Numeric = 0.0) -> Smooth:
        """Return value and gradient, with `ridge / 2 ||w||^2` added."""

        def function(w: Tree) -> tuple[jax.Array, Tree]:
            if self.gram is not None:
                product = self.gram @ w
                value = (w @ product) / 2 - self.cross @ w + self.scale / 2
                gradient = product - self.cross
            else:
                assert self.X is not None
                assert self.y is not None
                residual = self.X @ w - self.y
                value = residual @ residual / 2
                gradient = self.X.T @ residual
            return value + ridge / 2 * (w @ w), gradient + ridge * w

        return function

    def curvature(self, weights: jax.Array | float = 1.0) -> jax.Array:
        """Return the largest eigenvalue of `D X'X D / n` with `D = diag(weights)`."""
        if self.gram is not None:
            scaled = self.gram * weights * jnp.reshape(weights, (-1, 1))
        else:
            assert self.X is not None
            rows = self.X * weights
            scaled = rows @ rows.T
        return jnp.linalg.eigvalsh(scaled)[-1]

    def largest_step(self, ridge: Numeric = 0.0) -> jax.Array:
        """Return `1 / L`, the safe step of accelerated descent; plain descent allows twice it."""
        return 1 / jnp.maximum(self.curvature() + ridge, jnp.finfo(self.cross.dtype).tiny)

    def diagonal_steps(self, ridge: Numeric = 0.0) -> jax.Array:
        """Return one safe step per coordinate, (n_features,): `1 / (d_j L_d)`.

        In coordinates scaled by the square root of `d = diag(X'X / n) + ridge` every column
        has curvature 1 and `L_d` is the largest eigenvalue. Rescaling a feature does not
        change the path of the descent, however large the factor.
        """
        d = self.diagonal + ridge
        d = jnp.where(d > 0, d, 1)
        root = 1 / jnp.sqrt(d)
        # The ridge part of the scaled Hessian is ridge / d <= 1, bounded by its largest entry.
        bound = self.curvature(root) + jnp.max(ridge / d)
        return 1 / (d * jnp.where(bound > 0, bound, 1))


def least_squares(X: jax.Array, y: jax.Array) -> LeastSquares:
    """Return the loss of centred X (n_samples, n_features) and y (n_samples,).

    Example:
        >>> import jax.numpy as jnp
        >>> loss = least_squares(jnp.array([[1.0], [-1.0]]), jnp.array([2.0, -2.0]))
        >>> value, gradient = loss.smooth()(jnp.array([1.0]))
        >>> print(value.round(3), gradient.round(3))
        0.5 [-1.]
    """
    n_samples, n_features = X.shape
    root = jnp.sqrt(jnp.asarray(n_samples, X.dtype))
    X, y = X / root, y / root
    gram = X.T @ X if n_features <= n_samples else None
    return LeastSquares(
        X=X if gram is None else None,
        y=y if gram is None else None,
        gram=gram,
        cross=X.T @ y,
        scale=y @ y,
        diagonal=jnp.sum(jnp.square(X), axis=0),
    )
