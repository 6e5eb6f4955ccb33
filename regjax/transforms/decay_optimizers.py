"""Ready-made optimizers with L2 in the gradient or decay beside the step.

The table of `regjax.transforms` has their rules. The learning rate comes first, then the
strength; the optimizers that end in w are `decoupled_weight_decay` around a direction, and take
its `scaled_by`, `cautious` and `target_norm`.
"""

from __future__ import annotations

from typing import Any

import optax

from regjax._arrays import Numeric, Tree
from regjax.masks import Mask, weights
from regjax.transforms._step import ScalarOrSchedule, keeping_dtypes, sgd_direction
from regjax.transforms.coupled import coupled_l2
from regjax.transforms.decoupled import ScaledBy, decoupled_weight_decay
from regjax.transforms.muon import DimensionNumbers, muon_direction


def sgd_l2(
    learning_rate: ScalarOrSchedule,
    lambda_: ScalarOrSchedule,
    *,
    mask: Mask | Tree = weights,
    momentum: Numeric | None = None,
    nesterov: bool = False,
) -> optax.GradientTransformation:
    """Return SGD on `loss + lambda_ / 2 * sum w^2`: what torch calls SGD with weight_decay.

    Loshchilov and Hutter (2019), algorithm 1, SGD with L2 regularization. Without momentum
    it is `sgdw` (their proposition 1).

    Example:
        >>> import jax.numpy as jnp, optax
        >>> tx, w = sgd_l2(0.1, 0.5), jnp.array([2.0])
        >>> updates, _ = tx.update(jnp.array([1.0]), tx.init(w), w)
        >>> print(optax.apply_updates(w, updates))
        [1.8]
    """
    sgd = optax.sgd(learning_rate, momentum, nesterov)
    return optax.chain(coupled_l2(lambda_, mask), keeping_dtypes(sgd))


def sgdw(
    learning_rate: ScalarOrSchedule,
    lambda_: ScalarOrSchedule,
    *,
    scaled_by: ScaledBy = "learning_rate",
    peak_learning_rate: Numeric | None = None,
    mask: Mask | Tree = weights,
    target_norm: Tree | None = None,
    cautious: bool = False,
    momentum: Numeric | None = None,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Return SGD with decoupled decay: SGDW of Loshchilov and Hutter (2019), algorithm 1.

    The learning rate multiplies the momentum and not the gradient that enters it, which is
    the same for a constant rate.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> tx, w = sgdw(0.1, 0.5, momentum=0.9), jnp.array([2.0])
        >>> updates, _ = tx.update(jnp.array([1.0]), tx.init(w), w)
        >>> print(optax.apply_updates(w, updates))
        [1.8]
    """
    return decoupled_weight_decay(
        sgd_direction(momentum, nesterov),
        learning_rate,
        lambda_,
        scaled_by=scaled_by,
        peak_learning_rate=peak_learning_rate,
        mask=mask,
        target_norm=target_norm,
        cautious=cautious,
    )


def adam_l2(
    learning_rate: ScalarOrSchedule,
    lambda_: ScalarOrSchedule,
    *,
    mask: Mask | Tree = weights,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    nesterov: bool = False,
) -> optax.GradientTransformation:
    """Return Adam with L2 in the gradient: what torch calls Adam with weight_decay.

    Loshchilov and Hutter (2019), algorithm 2, Adam with L2 regularization; Kingma and Ba
    (2015), algorithm 1, for Adam itself. It minimises the loss plus L2. Further arguments are
    those of `optax.adam`: `b1`, `b2`, `eps`, ...

    Example:
        >>> import jax.numpy as jnp
        >>> tx, w = adam_l2(0.1, 0.5, b1=0.8), jnp.array([2.0])
        >>> updates, _ = tx.update(jnp.array([1.0]), tx.init(w), w)
        >>> print(f"{updates[0]:.3f}")
        -0.100
    """
    adam = optax.adam(learning_rate, b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov)
    return optax.chain(coupled_l2(lambda_, mask), keeping_dtypes(adam))


def adamw(
    learning_rate: ScalarOrSchedule,
    lambda_: ScalarOrSchedule,
    *,
    scaled_by: ScaledBy = "learning_rate",
    peak_learning_rate: Numeric | None = None,
    mask: Mask | Tree = weights,
    target_norm: Tree | None = None,
    cautious: bool = False,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Return Adam with decoupled decay (Loshchilov and Hutter 2019, algorithm 2, AdamW).

    Equal to `optax.adamw` with `mask=masks.everything`. Further arguments are those of
    `optax.scale_by_adam`: `b1`, `b2`, `eps`, ...

    Example:
        >>> import jax.numpy as jnp
        >>> tx, w = adamw(0.1, 0.5), jnp.array([2.0])
        >>> updates, _ = tx.update(jnp.array([1.0]), tx.init(w), w)
        >>> print(f"{updates[0]:.3f}")
        -0.200
    """
    return decoupled_weight_decay(
        optax.scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        learning_rate,
        lambda_,
        scaled_by=scaled_by,
        peak_learning_rate=peak_learning_rate,
        mask=mask,
        target_norm=target_norm,
        cautious=cautious,
    )


def adamc(
    learning_rate: ScalarOrSchedule,
    lambda_: ScalarOrSchedule,
    *,
    normalized: Mask | Tree,
    peak_learning_rate: Numeric | None = None,
    mask: Mask | Tree = weights,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Return AdamW with the corrected decay of AdamC on layers followed by a normalisation.

    There the ratio of gradient to weight norms settles at `sqrt(2 lambda / lr)` under AdamW,
    and so grows as the learning rate falls; a decay of `lr^2 / peak lambda` keeps it level.
    Other leaves decay by `lr lambda`. Defazio (2025), "Why gradients rapidly increase near the
    end of training", algorithm 1, which takes all linear layers but the last as normalised:
    `normalized=~masks.output_head`.

    Args:
        normalized: the leaves of layers that a normalisation follows.
        peak_learning_rate: the largest learning rate of the schedule; needed unless
            `learning_rate` is a Python number.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from regjax import masks
        >>> schedule = optax.cosine_decay_schedule(1e-3, 1000)
        >>> tx = adamc(schedule, 0.1, normalized=~masks.output_head, peak_learning_rate=1e-3)
        >>> state = tx.init({"body": {"kernel": jnp.ones(2)}, "head": {"kernel": jnp.ones(2)}})
    """
    return adamw(
        learning_rate,
        lambda_,
        scaled_by={"squared_learning_rate": normalized},
        peak_learning_rate=peak_learning_rate,
        mask=mask,
        b1=b1,
        b2=b2,
        eps=eps,
        eps_root=eps_root,
        mu_dtype=mu_dtype,
        nesterov=nesterov,
    )


def lionw(
    learning_rate: ScalarOrSchedule,
    lambda_: ScalarOrSchedule,
    *,
    scaled_by: ScaledBy = "learning_rate",
    peak_learning_rate: Numeric | None = None,
    mask: Mask | Tree = weights,
    target_norm: Tree | None = None,
    cautious: bool = False,
    b1: Numeric = 0.9,
    b2: Numeric = 0.99,
    mu_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Return Lion with decoupled decay.

    Chen and others (2023), "Symbolic discovery of optimization algorithms", algorithm 2.

    Further arguments are those of `optax.scale_by_lion`: `b1`, `b2`, `mu_dtype`.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, w = lionw(0.1, 0.5), jnp.array([2.0])
        >>> updates, _ = tx.update(jnp.array([1.0]), tx.init(w), w)
        >>> print(f"{updates[0]:.3f}")
        -0.200
    """
    return decoupled_weight_decay(
        optax.scale_by_lion(b1, b2, mu_dtype),
        learning_rate,
        lambda_,
        scaled_by=scaled_by,
        peak_learning_rate=peak_learning_rate,
        mask=mask,
        target_norm=target_norm,
        cautious=cautious,
    )


def muonw(
    learning_rate: ScalarOrSchedule,
    lambda_: ScalarOrSchedule,
    *,
    scaled_by: ScaledBy = "learning_rate",
    peak_learning_rate: Numeric | None = None,
    mask: Mask | Tree = weights,
    target_norm: Tree | None = None,
    cautious: bool = False,
    beta: Numeric = 0.95,
    nesterov: bool = True,
    ns_steps: int = 5,
    eps: Numeric = 1e-8,
    consistent_rms: Numeric | None = None,
    weight_dimension_numbers: DimensionNumbers | None = None,
    adam_b1: Numeric = 0.9,
    adam_b2: Numeric = 0.999,
    adam_scale: Numeric = 1.0,
) -> optax.GradientTransformationExtraArgs:
    """Return Muon on matrices and Adam on the rest, with decoupled decay beside both.

    Jordan (2024), "Muon: an optimizer for hidden layers in neural networks", on the direction
    of `optax.contrib.muon`, which gives `nesterov` to Adam too.

    A decay of `lr lambda` bounds the spectral norm of a matrix by the largest singular value
    of Muon's direction (about 1.2, times `sqrt(max(1, outputs / inputs))`) over `lambda_`
    (Chen, Li and Liu 2025, "Muon optimizes under spectral norm constraints"). Further
    arguments are those of `muon_direction`.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, w = muonw(0.1, 0.5), jnp.eye(2)
        >>> updates, _ = tx.update(jnp.zeros((2, 2)), tx.init(w), w)
        >>> print(updates)
        [[-0.05 -0.  ]
         [-0.   -0.05]]
    """
    direction = muon_direction(
        beta,
        nesterov=nesterov,
        ns_steps=ns_steps,
        eps=eps,
        consistent_rms=consistent_rms,
        weight_dimension_numbers=weight_dimension_numbers,
        adam_b1=adam_b1,
        adam_b2=adam_b2,
        adam_scale=adam_scale,
    )
    return decoupled_weight_decay(
        direction,
        learning_rate,
        lambda_,
        scaled_by=scaled_by,
        peak_learning_rate=peak_learning_rate,
        mask=mask,
        target_norm=target_norm,
        cautious=cautious,
    )
