"""Float32 weights beside short ones, so that small steps are not lost to rounding."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from regjax._arrays import Tree
from regjax.transforms._step import require_params


class MasterWeightsState(NamedTuple):
    """The weights in the master dtype, None where they are that wide, and the inner state."""

    master: Tree
    optimizer: Any


def with_master_weights(
    optimizer: optax.GradientTransformation, dtype: Any = jnp.float32
) -> optax.GradientTransformationExtraArgs:
    """Run `optimizer` on weights of `dtype` and hand the rounded ones to the model.

    A bfloat16 weight of 1 takes no step below 0.002: a decay of `1e-4` per step never happens.
    Here the optimizer sees and moves the master weights, in whose dtype its moments are kept
    too. Updates come in `dtype`, so that `optax.apply_updates` gives the master weights rounded
    once; exact zeros stay exact. Weights changed from outside, by pruning or by loading, are
    taken over. Leaves at least as wide as `dtype` are left as they are: the state holds None for
    them, so that `optax.tree.map_params` with further trees takes `is_leaf=lambda x: x is None`.
    The reference is Micikevicius and others (2018), "Mixed precision training".

    Args:
        optimizer: any optax transformation.
        dtype: a floating-point dtype.

    Raises:
        ValueError: if `dtype` is no floating-point one.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from regjax.transforms import sgdw
        >>> w = jnp.ones(1, jnp.bfloat16)
        >>> for tx in (sgdw(1e-3, 0.1), with_master_weights(sgdw(1e-3, 0.1))):
        ...     p, state = w, tx.init(w)
        ...     for _ in range(100):
        ...         updates, state = tx.update(jnp.zeros_like(p), state, p)
        ...         p = optax.apply_updates(p, updates)
        ...     print(p.astype(float))
        [1.]
        [0.98828125]
    """
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"dtype must be a floating-point one, got {dtype}.")
    optimizer = optax.with_extra_args_support(optimizer)

    def widened(leaf: Any) -> jax.Array | None:
        own = getattr(leaf, "dtype", None)
        if own is None or not jnp.issubdtype(own, jnp.floating):
            return None
        return None if jnp.promote_types(own, dtype) == own else jnp.asarray(leaf, dtype)

    def current(params: Tree, master: Tree) -> Tree:
        def choose(p: Any, m: jax.Array | None) -> Any:
            return p if m is None else jnp.where(m.astype(p.dtype) == p, m, p.astype(m.dtype))

        return jax.tree.map(choose, params, master)

    def rounded(new: jax.Array, p: jax.Array) -> jax.Array:
        # Rounded here, because a step across zero, added to `p`, would be rounded a second time.
        return new.astype(p.dtype).astype(new.dtype)

    def init(params: Tree) -> MasterWeightsState:
        master = jax.tree.map(widened, params)
        return MasterWeightsState(master, optimizer.init(current(params, master)))

    def update(
        updates: Tree, state: MasterWeightsState, params: Tree | None = None, **extra_args: Any
    ) -> tuple[Tree, MasterWeightsState]:
        params = require_params(params)
        before = current(params, state.master)
        gradients = jax.tree.map(
            lambda g, m: g if m is None else g.astype(m.dtype), updates, state.master
        )
        steps, inner = optimizer.update(gradients, state.optimizer, before, **extra_args)
        after = optax.apply_updates(before, steps)
        emitted = jax.tree.map(
            lambda step, new, p, m: step if m is None else rounded(new, p) - p.astype(new.dtype),
            steps,
            after,
            params,
            state.master,
        )
        master = jax.tree.map(lambda new, m: None if m is None else new, after, state.master)
        return emitted, MasterWeightsState(master, inner)

    return optax.GradientTransformationExtraArgs(init, update)
