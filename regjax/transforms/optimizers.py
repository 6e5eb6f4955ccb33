"""Ready-made optimizers: learning rate first, then the strength or the penalty.

| optimizer    | one step, with g the loss gradient and u Adam's direction of it       |
|--------------|-----------------------------------------------------------------------|
| `sgd_l2`     | `w - lr (g + lambda w)`                                               |
| `sgdw`       | `w - lr g - decay w`                                                  |
| `adam_l2`    | `w - lr u(g + lambda w)`                                              |
| `adamw`      | `w - lr u(g) - decay w`                                               |
| `adamc`      | `adamw`, with decay `lr^2 / peak lambda` on normalised layers         |
| `lionw`      | `w - lr sign(m) - decay w`                                            |
| `muonw`      | `w - lr orthogonalised(m) - decay w` on matrices, `adamw` elsewhere   |
| `prox_sgd`   | `prox(w - lr g)`, step lr: minimises loss + penalty                   |
| `prox_adam`  | `prox(w - lr u(g))`, step `lr / (sqrt(v_hat) + eps)` per coordinate:  |
|              | minimises loss + penalty                                              |
| `prox_adamw` | `prox(w - lr u(g))`, step lr: to a penalty what AdamW is to L2        |

`decay` is `lr lambda` unless `scaled_by` says otherwise, and the optimizers that end in w take
`cautious` and `target_norm` too (`regjax.transforms.decoupled`). All
take `mask` and leave biases and norms alone by default; strengths and learning rates may be
numbers, traced scalars or schedules. All work under `optax.inject_hyperparams`, which injects
numbers: of the proximal ones the learning rate, and the strength through a function,

    optax.inject_hyperparams(lambda learning_rate, lambda_: prox_adam(learning_rate, L1(lambda_)))

There name `ns_steps` in `static_args`, and `mask` if it is a tree that can be called; with
weights in bfloat16 put `with_master_weights` around it, because optax rounds `b2` to 1 there.
In float16 the default `eps` is 0: take 1e-4, or master weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optax

from regjax._arrays import Numeric, Tree
from regjax.masks import Mask, weights
from regjax.penalties import Penalty
from regjax.transforms._step import ScalarOrSchedule, keeping_dtypes
from regjax.transforms.coupled import coupled_l2
from regjax.transforms.decoupled import ScaledBy, decoupled_weight_decay
from regjax.transforms.muon import DimensionNumbers, muon_direction
from regjax.transforms.proximal import adam_direction, proximal

PenaltyOrSchedule = Penalty | Callable[[Numeric], Penalty]


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
        _sgd_direction(momentum, nesterov),
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


def prox_sgd(
    learning_rate: ScalarOrSchedule,
    penalty: PenaltyOrSchedule,
    *,
    mask: Mask | Tree = weights,
    momentum: Numeric | None = None,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Return SGD with a proximal step of size `learning_rate` after each of its own.

    Duchi and Singer (2009), "Efficient online and batch learning using forward backward
    splitting", equation 4. Without momentum its fixed points are those of `loss + penalty`.
    Momentum lengthens the steps on the loss by `1 / (1 - momentum)` in the long run and not
    the proximal ones, which weakens the penalty by that factor.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from regjax import L1
        >>> tx, w = prox_sgd(0.1, L1(3.0)), jnp.array([2.0, 0.2])
        >>> updates, _ = tx.update(jnp.zeros(2), tx.init(w), w)
        >>> print(optax.apply_updates(w, updates))
        [1.7 0. ]
    """
    direction = _sgd_direction(momentum, nesterov)
    return proximal(direction, learning_rate, penalty, mask=mask)


def prox_adam(
    learning_rate: ScalarOrSchedule,
    penalty: PenaltyOrSchedule,
    *,
    mask: Mask | Tree = weights,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Return Adam with a proximal step in its own metric: it minimises `loss + penalty`.

    Yun, Lozano and Yang (2021), algorithm 1. Further arguments are those of
    `adam_direction`: `b1`, `b2`, `eps`, ...

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from regjax import L1
        >>> tx, w = prox_adam(0.1, L1(1.0)), jnp.array([2.0, 0.1])
        >>> updates, _ = tx.update(jnp.array([1.0, 1.0]), tx.init(w), w)
        >>> print(optax.apply_updates(w, updates) == 0)
        [False  True]
    """
    direction = adam_direction(b1, b2, eps, eps_root, mu_dtype=mu_dtype, nesterov=nesterov)
    return proximal(direction, learning_rate, penalty, metric="adaptive", mask=mask)


def prox_adamw(
    learning_rate: ScalarOrSchedule,
    penalty: PenaltyOrSchedule,
    *,
    mask: Mask | Tree = weights,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Return Adam with a Euclidean proximal step beside it: it does NOT minimise loss + penalty.

    It is to any penalty what AdamW is to L2: the penalty acts with the same strength on
    every coordinate, whatever Adam's metric. With `L2` it is the decay
    `w <- (w - lr u) / (1 + lr lambda)` of Zhuang and others (2022), "Understanding AdamW
    through proximal methods". For the lasso take `prox_adam`. Further arguments are those
    of `optax.scale_by_adam`.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from regjax import L1
        >>> tx, w = prox_adamw(0.1, L1(1.0)), jnp.array([2.0, 0.1])
        >>> updates, _ = tx.update(jnp.array([1.0, 1.0]), tx.init(w), w)
        >>> print(optax.apply_updates(w, updates) == 0)
        [False  True]
    """
    return proximal(
        optax.scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        learning_rate,
        penalty,
        mask=mask,
    )


def _sgd_direction(momentum: Numeric | None, nesterov: bool) -> optax.GradientTransformation:
    return optax.identity() if momentum is None else optax.trace(momentum, nesterov)
