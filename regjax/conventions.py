"""One lambda, and every other library's.

regjax writes `objective = loss + penalty` with

    loss = ||y - Xw - b||^2 / (2 n)
    penalty = lambda_ * (l1_ratio * sum |w| + (1 - l1_ratio) / 2 * sum w^2)

so `lambda_` means the same at every sample size. The functions below turn the strengths of
other libraries and texts into `lambda_` (`from_...`) and back (`to_...`); where the other
side has two numbers they return the pair `(lambda_, l1_ratio)`. Strengths that are equal on
both sides need no function: scikit-learn's Lasso and ElasticNet `alpha` (and `l1_ratio`),
torch's and optax's `weight_decay` in SGD and Adam.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import (
    Numeric,
    Tree,
    check_positive,
    check_scalar_strength,
    check_strength,
    float_tree,
    sum_leaves,
)


def _positive(value: Numeric, name: str) -> Numeric:
    check_positive(value, name)
    return value


def from_sklearn_ridge(alpha: Numeric, n_samples: Numeric) -> Numeric:
    """Return `alpha / n`, for scikit-learn's Ridge: `RSS + alpha * sum w^2`.

    With sample weights, `n_samples` is their sum.

    Example:
        >>> from_sklearn_ridge(5.0, n_samples=50)
        0.1
    """
    check_strength(alpha, "alpha")
    return alpha / _positive(n_samples, "n_samples")


def to_sklearn_ridge(lambda_: Numeric, n_samples: Numeric) -> Numeric:
    """Return scikit-learn's Ridge `alpha = lambda_ * n`.

    Example:
        >>> to_sklearn_ridge(0.1, n_samples=50)
        5.0
    """
    check_strength(lambda_)
    return lambda_ * _positive(n_samples, "n_samples")


def from_closed_form(ridge: Numeric, n_samples: Numeric) -> Numeric:
    """Return `L / n`, for the textbook's `(X'X + L I)^-1 X'y`.

    Example:
        >>> from_closed_form(5.0, n_samples=50)
        0.1
    """
    return from_sklearn_ridge(ridge, n_samples)


def to_closed_form(lambda_: Numeric, n_samples: Numeric) -> Numeric:
    """Return the textbook's `L = lambda_ * n` in `(X'X + L I)^-1 X'y`.

    Example:
        >>> to_closed_form(0.1, n_samples=50)
        5.0
    """
    return to_sklearn_ridge(lambda_, n_samples)


def from_sklearn_logistic(C: Numeric, n_samples: Numeric) -> Numeric:
    """Return `1 / (C n)`, for scikit-learn's LogisticRegression: `sum of losses + penalty / C`.

    Example:
        >>> from_sklearn_logistic(0.2, n_samples=50)
        0.1
    """
    return 1 / (_positive(C, "C") * _positive(n_samples, "n_samples"))


def to_sklearn_logistic(lambda_: Numeric, n_samples: Numeric) -> Numeric:
    """Return scikit-learn's `C = 1 / (lambda_ n)`.

    Example:
        >>> to_sklearn_logistic(0.1, n_samples=50)
        0.2
    """
    return 1 / (_positive(lambda_, "lambda_") * _positive(n_samples, "n_samples"))


def from_glmnet(
    lambda_: Numeric, alpha: Numeric, y_scale: Numeric = 1.0
) -> tuple[Numeric, Numeric]:
    """Return `(lambda_, l1_ratio)` for glmnet's gaussian family with `standardize=FALSE`.

    glmnet scales y to standard deviation 1 inside and reports lambda on the original
    scale, so that what it minimises there is
    `RSS / (2n) + lambda (alpha sum |w| + (1 - alpha) / (2 y_scale) sum w^2)`.

    Args:
        lambda_: glmnet's lambda.
        alpha: glmnet's mixing weight in [0, 1]; 1 is the lasso.
        y_scale: standard deviation of y with divisor n (weighted, if samples are). For the
            lasso it does not matter.

    Example:
        >>> lambda_, l1_ratio = from_glmnet(0.3, alpha=0.5, y_scale=2.0)
        >>> print(f"{lambda_:.3f} {l1_ratio:.3f}")
        0.225 0.667
    """
    check_strength(lambda_)
    check_strength(alpha, "alpha", largest=1.0)
    total = alpha + (1 - alpha) / _positive(y_scale, "y_scale")
    return lambda_ * total, alpha / total


def to_glmnet(
    lambda_: Numeric, l1_ratio: Numeric, y_scale: Numeric = 1.0
) -> tuple[Numeric, Numeric]:
    """Return glmnet's `(lambda, alpha)`, the inverse of `from_glmnet`.

    Example:
        >>> lambda_, alpha = to_glmnet(0.225, 2 / 3, y_scale=2.0)
        >>> print(f"{lambda_:.3f} {alpha:.3f}")
        0.300 0.500
    """
    check_strength(lambda_)
    check_strength(l1_ratio, "l1_ratio", largest=1.0)
    total = l1_ratio + (1 - l1_ratio) * _positive(y_scale, "y_scale")
    return lambda_ * total, l1_ratio / total


def from_two_strengths(l1: Numeric, l2: Numeric) -> tuple[Numeric, Numeric]:
    """Return `(lambda_, l1_ratio)` for `l1 * sum |w| + l2 * sum w^2`, without the half.

    This is how Keras's `L1L2` and many tutorials write the elastic net.

    Raises:
        ValueError: if both are 0, where no ratio is defined, or one is negative.

    Example:
        >>> from_two_strengths(0.1, 0.05)
        (0.2, 0.5)
    """
    check_strength((l1, l2), "l1 and l2")
    total = l1 + 2 * l2
    if isinstance(total, int | float | np.number) and total == 0:
        raise ValueError("l1 and l2 are both 0, which leaves l1_ratio undefined; use lambda_=0.")
    return total, l1 / total


def to_two_strengths(lambda_: Numeric, l1_ratio: Numeric) -> tuple[Numeric, Numeric]:
    """Return `(l1, l2)` such that the penalty is `l1 * sum |w| + l2 * sum w^2`.

    Example:
        >>> to_two_strengths(0.2, 0.5)
        (0.1, 0.05)
    """
    check_strength(lambda_)
    check_strength(l1_ratio, "l1_ratio", largest=1.0)
    return lambda_ * l1_ratio, lambda_ * (1 - l1_ratio) / 2


def from_l2_without_half(strength: Numeric) -> Numeric:
    """Return `2 * strength`, for `strength * sum w^2`: Keras's `L2` and many tutorials.

    Example:
        >>> from_l2_without_half(0.05)
        0.1
    """
    check_strength(strength, "strength")
    return 2 * strength


def to_l2_without_half(lambda_: Numeric) -> Numeric:
    """Return `lambda_ / 2`, the strength in `strength * sum w^2`.

    Example:
        >>> to_l2_without_half(0.1)
        0.05
    """
    check_strength(lambda_)
    return lambda_ / 2


def from_mix_without_half(strength: Numeric, a: Numeric) -> tuple[Numeric, Numeric]:
    """Return `(lambda_, l1_ratio)` for `strength * (a sum |w| + (1 - a) sum w^2)`.

    Example:
        >>> lambda_, l1_ratio = from_mix_without_half(1.0, 0.5)
        >>> print(f"{lambda_:.3f} {l1_ratio:.3f}")
        1.500 0.333
    """
    check_strength(strength, "strength")
    check_strength(a, "a", largest=1.0)
    return strength * (2 - a), a / (2 - a)


def to_mix_without_half(lambda_: Numeric, l1_ratio: Numeric) -> tuple[Numeric, Numeric]:
    """Return `(strength, a)`, the inverse of `from_mix_without_half`.

    Example:
        >>> strength, a = to_mix_without_half(1.5, 1 / 3)
        >>> print(f"{strength:.3f} {a:.3f}")
        1.000 0.500
    """
    check_strength(lambda_)
    check_strength(l1_ratio, "l1_ratio", largest=1.0)
    return lambda_ * (1 + l1_ratio) / 2, 2 * l1_ratio / (1 + l1_ratio)


def from_paper_adamw(decay: Numeric, peak_learning_rate: Numeric) -> Numeric:
    """Return the `weight_decay` of torch and optax for the AdamW paper's `decay`.

    The paper decays by `eta_t * decay` per step, `eta_t` being the schedule alone with peak
    1; torch and optax decay by `learning_rate_t * weight_decay`.

    Example:
        >>> from_paper_adamw(0.0005, peak_learning_rate=0.001)
        0.5
    """
    check_strength(decay, "decay")
    return decay / _positive(peak_learning_rate, "peak_learning_rate")


def to_paper_adamw(weight_decay: Numeric, peak_learning_rate: Numeric) -> Numeric:
    """Return the AdamW paper's per-step decay for a torch or optax `weight_decay`.

    Example:
        >>> to_paper_adamw(0.5, peak_learning_rate=0.001)
        0.0005
    """
    check_strength(weight_decay, "weight_decay")
    return weight_decay * _positive(peak_learning_rate, "peak_learning_rate")


def from_normalized_decay(
    normalized: Numeric, batch_size: Numeric, n_samples: Numeric, n_epochs: Numeric
) -> Numeric:
    """Return the per-step decay `normalized * sqrt(b / (B T))` of Loshchilov and Hutter.

    Reference: "Decoupled weight decay regularization" (2019), appendix B.1.

    Example:
        >>> round(from_normalized_decay(0.1, batch_size=100, n_samples=10_000, n_epochs=1), 6)
        0.01
    """
    check_strength(normalized, "normalized")
    ratio = _positive(batch_size, "batch_size") / (
        _positive(n_samples, "n_samples") * _positive(n_epochs, "n_epochs")
    )
    return normalized * ratio**0.5


def to_normalized_decay(
    decay: Numeric, batch_size: Numeric, n_samples: Numeric, n_epochs: Numeric
) -> Numeric:
    """Return Loshchilov and Hutter's normalised decay of a per-step `decay`.

    Example:
        >>> round(to_normalized_decay(0.01, batch_size=100, n_samples=10_000, n_epochs=1), 6)
        0.1
    """
    check_strength(decay, "decay")
    return decay / from_normalized_decay(1.0, batch_size, n_samples, n_epochs)


def from_gaussian_prior(scale: Numeric, noise: Numeric, n_samples: Numeric) -> Numeric:
    """Return `noise^2 / (scale^2 n)`: L2 as the prior N(0, scale^2) on every weight.

    The posterior mode under Gaussian noise of standard deviation `noise` is then the ridge
    solution.

    Example:
        >>> from_gaussian_prior(scale=1.0, noise=2.0, n_samples=40)
        0.1
    """
    return _positive(noise, "noise") ** 2 / (
        _positive(scale, "scale") ** 2 * _positive(n_samples, "n_samples")
    )


def to_gaussian_prior(lambda_: Numeric, noise: Numeric, n_samples: Numeric) -> Numeric:
    """Return the scale of the Gaussian prior that `lambda_` stands for.

    Example:
        >>> to_gaussian_prior(0.1, noise=2.0, n_samples=40)
        1.0
    """
    n_samples = _positive(n_samples, "n_samples")
    return _positive(noise, "noise") / (_positive(lambda_, "lambda_") * n_samples) ** 0.5


def from_laplace_prior(scale: Numeric, noise: Numeric, n_samples: Numeric) -> Numeric:
    """Return `noise^2 / (scale n)`: L1 as the prior Laplace(0, scale) on every weight.

    Example:
        >>> from_laplace_prior(scale=1.0, noise=2.0, n_samples=40)
        0.1
    """
    return _positive(noise, "noise") ** 2 / (
        _positive(scale, "scale") * _positive(n_samples, "n_samples")
    )


def to_laplace_prior(lambda_: Numeric, noise: Numeric, n_samples: Numeric) -> Numeric:
    """Return the scale of the Laplace prior that `lambda_` stands for.

    Example:
        >>> to_laplace_prior(0.1, noise=2.0, n_samples=40)
        1.0
    """
    return _positive(noise, "noise") ** 2 / (
        _positive(lambda_, "lambda_") * _positive(n_samples, "n_samples")
    )


def regularization_loss(weights: Tree, reg_type: str, lambda_reg: Numeric) -> jax.Array:
    """Return the tutorial form without the half: `lambda_reg * sum |w|` or `lambda_reg * sum w^2`.

    Its L2 form equals `l2_penalty(weights, 2 * lambda_reg)`.

    Args:
        weights: array, or tree of arrays; every leaf counts.
        reg_type: "l1" or "l2".
        lambda_reg: strength >= 0.

    Raises:
        ValueError: if `reg_type` is neither.

    Example:
        >>> import jax.numpy as jnp
        >>> print(regularization_loss([jnp.array([1.0, -2.0])], "l2", 0.5))
        2.5
    """
    check_scalar_strength(lambda_reg, "lambda_reg")
    if reg_type not in ("l1", "l2"):
        raise ValueError(f"reg_type must be 'l1' or 'l2', got {reg_type!r}.")
    term = jnp.square if reg_type == "l2" else lambda x: x * jnp.sign(x)
    return sum_leaves(lambda x: lambda_reg * jnp.sum(term(x)), float_tree(weights))
