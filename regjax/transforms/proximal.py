"""Proximal steps: a gradient step on the loss, then the penalty's proximal operator.

With direction `d_t`, one step is `w <- prox(w - learning_rate_t * d_t)`. The metric says in
which geometry:

    "euclidean"  threshold learning_rate_t * lambda_ for every coordinate
    "adaptive"   threshold learning_rate_t * lambda_ / (sqrt(v_hat) + eps) per coordinate

After Adam only the adaptive metric has the minimiser of `loss + penalty` as its fixed
point; the Euclidean threshold is to L1 what AdamW is to L2, and minimises something else.
Both reach exact zeros. A weight whose gradient has been 0 ever since the first step (the row
of an embedding that no batch has used) has the metric `eps`, and the adaptive threshold sets it
to zero at once: mask such tables, or raise `eps`.

Reference: Yun, Lozano and Yang (2021), "Adaptive proximal gradient methods for structured neural
networks", algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from regjax._arrays import Numeric, Tree
from regjax.masks import Mask, weights
from regjax.penalties import Penalty
from regjax.transforms._step import (
    ScalarOrSchedule,
    at_step,
    check_mask,
    check_scalar,
    is_placeholder,
    keeping_dtypes,
    masked_at,
    require_params,
    show_parts,
)

Metric = Literal["euclidean", "adaptive"]


class AdamDirectionState(NamedTuple):
    """Adam's moments, with the numbers that turn the second one into a metric."""

    adam: optax.ScaleByAdamState
    b2: jax.Array
    eps: jax.Array
    eps_root: jax.Array

    def metric(self) -> Tree:
        """Return `sqrt(v_hat + eps_root) + eps`, what Adam divides its step by."""
        v_hat = optax.tree.bias_correction(self.adam.nu, self.b2, self.adam.count)
        return jax.tree.map(
            # Of a complex leaf the second moment is real in a complex dtype.
            lambda v: (jnp.sqrt(jnp.real(v) + self.eps_root) + self.eps).astype(jnp.real(v).dtype),
            v_hat,
        )


def adam_direction(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    **kwargs: Any,
) -> optax.GradientTransformation:
    """Return `optax.scale_by_adam` with a state that tells its metric to `proximal`.

    Arguments are those of `optax.scale_by_adam`. May stand last in a chain, for instance after
    gradient clipping; a link after it that rescales the step would not be in the metric, and
    the fixed point would no longer be the minimiser.

    Example:
        >>> import jax.numpy as jnp
        >>> direction = adam_direction(eps=0.5)
        >>> w = jnp.array([2.0])
        >>> _, state = direction.update(jnp.array([3.0]), direction.init(w), w)
        >>> print(f"{state.metric()[0]:.2f}")
        3.50
    """
    adam = optax.scale_by_adam(b1, b2, eps, eps_root, **kwargs)

    def numbers() -> list[jax.Array]:
        # Of a definite dtype from the start, so that a compiled step is compiled once.
        return [
            jnp.asarray(x, jnp.result_type(float) if isinstance(x, int | float) else None)
            for x in (b2, eps, eps_root)
        ]

    def init(params: Tree) -> AdamDirectionState:
        return AdamDirectionState(adam.init(params), *numbers())

    def update(
        updates: Tree, state: AdamDirectionState, params: Tree | None = None
    ) -> tuple[Tree, AdamDirectionState]:
        updates, inner = adam.update(updates, state.adam, params)
        return updates, AdamDirectionState(inner, *numbers())

    return optax.GradientTransformation(init, update)


class ProximalState(NamedTuple):
    """Steps taken so far, and the state of the wrapped direction."""

    step: jax.Array
    direction: Any


def proximal(
    direction: optax.GradientTransformation,
    learning_rate: ScalarOrSchedule,
    penalty: Penalty | Callable[[Numeric], Penalty],
    *,
    metric: Metric = "euclidean",
    mask: Mask | Tree = weights,
) -> optax.GradientTransformationExtraArgs:
    """Step along `direction`, then take the proximal step of `penalty` on the penalized leaves.

    Updates are emitted as `prox(w - learning_rate * d) - w`, so that `apply_updates` gives
    the zeros of the proximal operator exactly, in every dtype; other values, bounds among
    them, up to a rounding of the weight before the step.

    Args:
        direction: a transformation whose output is subtracted, times the learning rate, as
            in `decoupled_weight_decay`. With `metric="adaptive"` it must be
            `adam_direction`, alone or in a chain.
        learning_rate: step size, or a schedule of it.
        penalty: any penalty object or constraint, or a function of the step count that
            returns one.
        metric: the geometry of the proximal step; see the module's text.
        mask: which leaves are penalized; biases and norms are left out by default.

    Raises:
        ValueError: for an unknown metric, an adaptive one without `adam_direction` or with a
            penalty that has no proximal operator in a diagonal metric; at `init`, if the mask
            leaves nothing to penalize.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from regjax import L1
        >>> ista = proximal(optax.identity(), 0.5, L1(1.0))
        >>> w = jnp.array([2.0, 0.25])
        >>> updates, _ = ista.update(jnp.zeros(2), ista.init(w), w)
        >>> print(optax.apply_updates(w, updates))
        [1.5 0. ]
    """
    check_scalar(learning_rate, "learning_rate")
    if metric not in ("euclidean", "adaptive"):
        raise ValueError(f"metric must be 'euclidean' or 'adaptive', got {metric!r}.")
    if isinstance(penalty, type) or not (isinstance(penalty, Penalty) or callable(penalty)):
        raise TypeError(
            f"Expected a penalty object such as L1(1e-4), or a function of the step count that "
            f"returns one, got {penalty!r}."
        )
    direction = keeping_dtypes(direction)

    def init(params: Tree) -> ProximalState:
        inner = direction.init(params)
        check_mask(mask, params, penalty)
        current = masked_at(penalty, mask, params, jnp.zeros([], jnp.int32))
        if not is_placeholder(params):
            # Nothing is computed; strengths and shapes are checked.
            jax.eval_shape(current.prox, params)
        if metric == "adaptive":
            _adaptive_state(inner)
            if not current.diagonal_prox:
                raise ValueError(
                    f"{type(current.penalty).__name__} has no proximal operator with one step per "
                    "coordinate; use metric='euclidean'."
                )
        return ProximalState(jnp.zeros([], jnp.int32), inner)

    def update(
        updates: Tree, state: ProximalState, params: Tree | None = None, **extra_args: Any
    ) -> tuple[Tree, ProximalState]:
        params = require_params(params)
        rate = at_step(learning_rate, state.step)
        steps, inner = direction.update(updates, state.direction, params, **extra_args)
        if metric == "adaptive":
            step_size = jax.tree.map(lambda m: rate / m, _adaptive_state(inner).metric())
        else:
            step_size = rate
        moved = jax.tree.map(lambda p, d: (p - rate * d).astype(p.dtype), params, steps)
        current = masked_at(penalty, mask, params, state.step)
        shrunk = current.prox(moved, step_size)
        updates = jax.tree.map(jnp.subtract, shrunk, params)
        show_parts(
            extra_args,
            lambda: (
                jax.tree.map(jnp.subtract, params, moved),
                jax.tree.map(jnp.subtract, moved, shrunk),
            ),
        )
        return updates, ProximalState(optax.safe_increment(state.step), inner)

    return optax.GradientTransformationExtraArgs(init, update)


def _adaptive_state(state: Any) -> AdamDirectionState:
    found = [
        node
        for node in jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, AdamDirectionState))
        if isinstance(node, AdamDirectionState)
    ]
    if len(found) != 1:
        raise ValueError(
            "metric='adaptive' needs the second moment of exactly one "
            f"regjax.transforms.adam_direction in the direction, found {len(found)}; "
            "use it in place of optax.scale_by_adam."
        )
    return found[0]
