"""Which leaves of a parameter tree are penalised, and a report of it.

A mask is a frozen object; `mask.resolve(params)` gives the boolean tree. Masks combine
with `&`, `|` and `~`:

    weights & ~embeddings               weights, but no embedding tables
    by_path("decoder/*") & by_ndim(2)   matrices of the decoder

A mask is deliberately not callable: libraries that tell a mask from a tree, or a
hyperparameter from a schedule, by whether it can be called get it wrong in silence.
Where a function is wanted, as in `optax.masked`, pass `mask.resolve`.

Paths are written with slashes, `layers/0/weight`. The default, `weights`, reads names the
way Flax, Equinox, Haiku and plain dicts write them: leaves of normalisation layers and
biases are left out, known weights are in, and the number of dimensions decides only for
names it does not know. So stacked layers and vmapped lanes, whose biases are matrices,
come out right.
"""

from __future__ import annotations

import abc
import dataclasses
import fnmatch
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from regjax._arrays import Tree
from regjax._names import Leaf, is_embedding, is_output_head, is_weight, tree_leaves


class Mask(abc.ABC):
    """A rule that says which leaves are penalised. See the module's text for how they combine."""

    @abc.abstractmethod
    def selects(self, leaves: list[Leaf]) -> list[bool]:
        """Return one boolean per leaf.

        Raises:
            ValueError: if the rule names something that no leaf has.
        """

    def resolve(self, params: Tree) -> Tree:
        """Return a tree like `params` of booleans, True where a leaf is penalised.

        Leaves that are no real floating-point arrays are never penalised.

        Raises:
            ValueError: if a pattern matches no leaf, or nothing is left to penalise.

        Example:
            >>> import jax.numpy as jnp
            >>> weights.resolve({"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)})
            {'bias': False, 'kernel': True}
        """
        return jax.tree.unflatten(jax.tree.structure(params), _flags(self, tree_leaves(params)))

    def report(self, params: Tree) -> MaskReport:
        """Return what the mask covers, leaf by leaf; print it to read it."""
        leaves = tree_leaves(params)
        flags = _flags(self, leaves)
        return MaskReport(
            tuple(
                MaskRow(leaf.path, tuple(np.shape(leaf.value)), flag)
                for leaf, flag in zip(leaves, flags, strict=True)
                if leaf.trainable
            )
        )

    def __and__(self, other: Mask) -> Mask:
        return _Combined(self, other, all)

    def __or__(self, other: Mask) -> Mask:
        return _Combined(self, other, any)

    def __invert__(self) -> Mask:
        return _Complement(self)


@dataclasses.dataclass(frozen=True)
class MaskRow:
    """One leaf of a `MaskReport`."""

    path: str
    shape: tuple[int, ...]
    penalized: bool

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class MaskReport:
    """What a mask covers. `str` gives a table with one line per leaf and the totals."""

    rows: tuple[MaskRow, ...]

    @property
    def n_penalized(self) -> int:
        return sum(row.size for row in self.rows if row.penalized)

    @property
    def n_parameters(self) -> int:
        return sum(row.size for row in self.rows)

    def __str__(self) -> str:
        width = max([len(row.path) for row in self.rows], default=0)
        lines = [
            f"{'penalised' if row.penalized else '-':<10} {row.path:<{width}}  {row.shape}"
            for row in self.rows
        ]
        leaves = sum(row.penalized for row in self.rows)
        lines.append(
            f"{leaves} of {len(self.rows)} leaves, "
            f"{self.n_penalized:,} of {self.n_parameters:,} parameters penalised"
        )
        return "\n".join(lines)


def resolve(mask: Mask | Tree, params: Tree) -> Tree:
    """Return the boolean tree of `mask` for `params`.

    Args:
        mask: a mask of this module, or a tree of booleans that is a prefix of `params`.
        params: the parameters.

    Raises:
        TypeError: if `mask` is a function or holds anything but booleans.
        ValueError: if the mask does not fit `params` or leaves nothing to penalise.

    Example:
        >>> import jax.numpy as jnp
        >>> params = {"encoder": [jnp.ones(2)], "head": jnp.ones(2)}
        >>> resolve({"encoder": True, "head": False}, params)
        {'encoder': [True], 'head': False}
    """
    if isinstance(mask, Mask):
        return mask.resolve(params)
    values = jax.tree.leaves(mask)
    if not all(isinstance(value, bool | np.bool_) for value in values):
        raise TypeError(
            "A mask is one of regjax.masks or a tree of booleans. For a rule of your own use "
            "masks.by_predicate(lambda path, leaf: ...)."
        )
    try:
        full = jax.tree.broadcast(mask, params)
    except ValueError as error:
        raise ValueError(
            f"The mask's structure {jax.tree.structure(mask)} is no prefix of the parameters' "
            f"{jax.tree.structure(params)}."
        ) from error
    flags = [bool(flag) for flag in jax.tree.leaves(full)]
    leaves = tree_leaves(params)
    kept = [flag and leaf.trainable for flag, leaf in zip(flags, leaves, strict=True)]
    _check_some(kept, leaves)
    return jax.tree.unflatten(jax.tree.structure(params), kept)


def _flags(mask: Mask, leaves: list[Leaf]) -> list[bool]:
    flags = [
        flag and leaf.trainable for flag, leaf in zip(mask.selects(leaves), leaves, strict=True)
    ]
    _check_some(flags, leaves)
    return flags


def _check_some(flags: list[bool], leaves: list[Leaf]) -> None:
    if leaves and not any(flags):
        raise ValueError(
            "The mask leaves nothing to penalise among these leaves:\n  "
            + _listing(leaves)
            + "\nUse masks.everything, or masks.by_path with a pattern that matches one."
        )


def _listing(leaves: list[Leaf], most: int = 20) -> str:
    lines = [f"{leaf.path or '(the array itself)'} {np.shape(leaf.value)}" for leaf in leaves]
    if len(lines) > most:
        lines = [*lines[:most], f"... and {len(lines) - most} more"]
    return "\n  ".join(lines)


@dataclasses.dataclass(frozen=True)
class _Combined(Mask):
    left: Mask
    right: Mask
    rule: Callable[[tuple[bool, bool]], bool]

    def selects(self, leaves: list[Leaf]) -> list[bool]:
        pairs = zip(self.left.selects(leaves), self.right.selects(leaves), strict=True)
        return [self.rule(pair) for pair in pairs]


@dataclasses.dataclass(frozen=True)
class _Complement(Mask):
    mask: Mask

    def selects(self, leaves: list[Leaf]) -> list[bool]:
        return [not flag for flag in self.mask.selects(leaves)]


@dataclasses.dataclass(frozen=True)
class _Predicate(Mask):
    predicate: Callable[[str, Any], bool]

    def selects(self, leaves: list[Leaf]) -> list[bool]:
        return [bool(self.predicate(leaf.path, leaf.value)) for leaf in leaves]


@dataclasses.dataclass(frozen=True)
class _Path(Mask):
    patterns: tuple[str, ...]

    def selects(self, leaves: list[Leaf]) -> list[bool]:
        hits = [
            [fnmatch.fnmatchcase(leaf.path, pattern) for leaf in leaves]
            for pattern in self.patterns
        ]
        for pattern, hit in zip(self.patterns, hits, strict=True):
            if not any(hit):
                raise ValueError(
                    f"The pattern {pattern!r} matches none of these paths:\n  {_listing(leaves)}"
                )
        return [any(column) for column in zip(*hits, strict=True)]


@dataclasses.dataclass(frozen=True)
class _Named(Mask):
    what: str
    rule: Callable[[Leaf], bool]
    required: bool = True

    def selects(self, leaves: list[Leaf]) -> list[bool]:
        flags = [self.rule(leaf) for leaf in leaves]
        if self.required and not any(flags):
            raise ValueError(
                f"No leaf looks like {self.what} among:\n  {_listing(leaves)}\n"
                "Name it with masks.by_path."
            )
        return flags


def by_path(*patterns: str) -> Mask:
    """Return the mask of leaves whose path matches any of the shell-style `patterns`.

    `*` stands for any characters, slashes included; `?` for one; matching is case
    sensitive. Each pattern must match some leaf, so that a renamed layer raises.

    Example:
        >>> import jax.numpy as jnp
        >>> params = {"encoder": {"kernel": jnp.ones((2, 2))}, "head": {"kernel": jnp.ones((2, 2))}}
        >>> by_path("encoder/*").resolve(params)
        {'encoder': {'kernel': True}, 'head': {'kernel': False}}
    """
    if not patterns:
        raise ValueError("by_path needs at least one pattern, such as by_path('*/kernel').")
    return _Path(patterns)


def by_ndim(smallest: int) -> Mask:
    """Return the mask of leaves with at least `smallest` dimensions.

    Example:
        >>> import jax.numpy as jnp
        >>> by_ndim(2).resolve([jnp.ones((2, 2)), jnp.ones(2)])
        [True, False]
    """
    return _Predicate(lambda path, leaf: np.ndim(leaf) >= smallest)


def by_predicate(predicate: Callable[[str, Any], bool]) -> Mask:
    """Return the mask of leaves where `predicate(path, leaf)` is true.

    Example:
        >>> import jax.numpy as jnp
        >>> by_predicate(lambda path, leaf: leaf.size > 2).resolve([jnp.ones(2), jnp.ones(3)])
        [False, True]
    """
    return _Predicate(predicate)


weights: Mask = _Named("a weight", is_weight, required=False)
"""The default: weights, without biases and the parameters of normalisation layers."""

everything: Mask = _Named("a parameter", lambda leaf: True, required=False)
"""Every real floating-point leaf, biases and norms included, as optax does."""

embeddings: Mask = _Named("an embedding", is_embedding)
"""Embedding tables, by name or class. Leave them out with `weights & ~embeddings`."""

output_head: Mask = _Named("an output head", is_output_head)
"""Leaves of the output head, by name. Leave them out with `weights & ~output_head`."""
