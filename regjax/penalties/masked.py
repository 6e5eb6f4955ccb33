"""A penalty restricted to some leaves of a tree, by a boolean tree already resolved."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import Tree, broadcast_prefix, is_scalar
from regjax._pytree import pytree_dataclass
from regjax.penalties._penalty import Penalty


@dataclasses.dataclass(frozen=True)
class Selection:
    """A boolean tree in hashable form, so that it can be the static part of a pytree."""

    flags: tuple[bool, ...]
    structure: Any


@pytree_dataclass
class Masked(Penalty):
    """A penalty on the selected leaves; the others are neither counted nor changed.

    Their gradient is 0, or None where a leaf is no number, as in `equinox.filter_grad`.
    Build it with `mask_penalty`. Prefix trees inside the penalty (strengths, groups) keep
    the structure of the whole tree.
    """

    penalty: Penalty
    selection: Selection = dataclasses.field(metadata={"static": True})

    @property
    def diagonal_prox(self) -> bool:
        return self.penalty.diagonal_prox

    def value(self, w: Tree) -> jax.Array:
        return self.penalty.value(self._keep(w))

    def gradient(self, w: Tree) -> Tree:
        return self._merge(
            self.penalty.gradient(self._keep(w)), [_zeros(x) for x in self._leaves(w)]
        )

    def prox(self, v: Tree, step_size: Tree = 1.0) -> Tree:
        # Only the step sizes of penalized leaves are checked, by the penalty.
        if not is_scalar(step_size):
            step_size = self._keep(broadcast_prefix(step_size, v, "step_size"))
        return self._merge(self.penalty.prox(self._keep(v), step_size), self._leaves(v))

    def lambda_max(self, gradient_at_zero: Tree) -> jax.Array:
        return self.penalty.lambda_max(self._keep(gradient_at_zero))

    @property
    def is_zero(self) -> bool:
        return self.penalty.is_zero

    def covers(self) -> tuple[bool, ...]:
        return self.selection.flags

    def _leaves(self, tree: Tree) -> list[Any]:
        leaves, structure = jax.tree.flatten(tree)
        if structure != self.selection.structure:
            raise ValueError(
                "The mask was resolved for a tree of another structure: "
                f"{self.selection.structure}, got {structure}. Resolve it again for this tree."
            )
        return leaves

    def _keep(self, tree: Tree) -> Tree:
        kept = zip(self._leaves(tree), self.selection.flags, strict=True)
        return self.selection.structure.unflatten([leaf if flag else None for leaf, flag in kept])

    def _merge(self, selected: Tree, rest: list[Any]) -> Tree:
        chosen = iter(jax.tree.leaves(selected))
        pairs = zip(rest, self.selection.flags, strict=True)
        return self.selection.structure.unflatten(
            [next(chosen) if flag else leaf for leaf, flag in pairs]
        )


def mask_penalty(penalty: Penalty, selected: Tree) -> Masked:
    """Return `penalty` restricted to the leaves where the boolean tree `selected` is True.

    `regjax.masks` makes such trees from names and shapes.

    Raises:
        TypeError: if a leaf of `selected` is not a Python or NumPy boolean.

    Example:
        >>> import jax.numpy as jnp
        >>> from regjax import L1
        >>> penalty = mask_penalty(L1(1.0), {"kernel": True, "bias": False})
        >>> print(penalty.value({"kernel": jnp.array([1.0, -2.0]), "bias": jnp.ones(3)}))
        3.0
    """
    flags, structure = jax.tree.flatten(selected)
    for flag in flags:
        if not isinstance(flag, bool | np.bool_):
            raise TypeError(
                f"A resolved mask holds True or False at every leaf, got {type(flag).__name__}. "
                "Masks of regjax.masks are resolved by mask.resolve(params)."
            )
    return Masked(penalty, Selection(tuple(bool(flag) for flag in flags), structure))


def _zeros(leaf: Any) -> Any:
    number = isinstance(leaf, jax.Array | np.ndarray | np.generic | int | float)
    is_key = number and jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key)
    return jnp.zeros_like(leaf) if number and not is_key else None
