"""Log priors, and the strengths at which penalised fits are their posterior modes.

Maximising `log likelihood + log prior` (MAP) minimises `-log likelihood + penalty`: a
Gaussian prior of scale tau is `l2_penalty` with `lambda_ = 1 / tau^2`, a Laplace prior of
scale b is `l1_penalty` with `lambda_ = 1 / b`, each up to a constant. For a regression
loss `RSS / (2n)` with noise sigma these become `sigma^2 / (tau^2 n)` and `sigma^2 / (b n)`:
see `regjax.conventions`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from regjax._arrays import Tree, check_positive, float_tree, strengths, sum_leaves


def gaussian_log_prior(w: Tree, scale: Tree) -> jax.Array:
    """Return `sum(-w^2 / (2 scale^2) - log(scale sqrt(2 pi)))`, a normalised log density.

    Args:
        w: array of any shape, or a tree of arrays.
        scale: standard deviation > 0; a scalar, or a tree prefix of `w`.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{gaussian_log_prior(jnp.zeros(2), 1.0):.4f}")
        -1.8379
    """
    check_positive(scale, "scale")
    w = float_tree(w)
    return sum_leaves(
        lambda x, s: jnp.sum(-jnp.square(x / s) / 2 - jnp.log(s) - jnp.log(2 * jnp.pi) / 2),
        w,
        strengths(scale, w, "scale"),
    )


def laplace_log_prior(w: Tree, scale: Tree) -> jax.Array:
    """Return `sum(-|w| / scale - log(2 scale))`, a normalised log density.

    Args:
        w: array of any shape, or a tree of arrays.
        scale: scale b > 0 (mean of |w|); a scalar, or a tree prefix of `w`.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{laplace_log_prior(jnp.zeros(2), 1.0):.4f}")
        -1.3863
    """
    check_positive(scale, "scale")
    w = float_tree(w)
    return sum_leaves(
        lambda x, s: jnp.sum(-(x * jnp.sign(x)) / s - jnp.log(2 * s)),
        w,
        strengths(scale, w, "scale"),
    )
