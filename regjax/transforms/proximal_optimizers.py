"""Ready-made optimizers with a proximal step: learning rate first, then the penalty.

The table of `regjax.transforms` has their rules, and how a strength inside a penalty is injected.

Averages of their iterates have no exact zeros: a weight that was nonzero once stays small in
`optax.contrib.schedule_free`, `optax.lookahead` and `optax.ema`, and no wrapped optimizer can see
that. One plain proximal step from the averaged weights brings the zeros back:

    step = prox_sgd(learning_rate, penalty)
    updates, _ = step.update(jax.grad(loss)(averaged), step.init(averaged), averaged)
    averaged = optax.apply_updates(averaged, updates)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optax

from regjax._arrays import Numeric, Tree
from regjax.masks import Mask, weights
from regjax.penalties import Penalty
from regjax.transforms._step import ScalarOrSchedule, sgd_direction
from regjax.transforms.proximal import adam_direction, proximal

PenaltyOrSchedule = Penalty | Callable[[Numeric], Penalty]


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
    direction = sgd_direction(momentum, nesterov)
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
