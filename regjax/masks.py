"""Which leaves of a parameter tree are penalized, and a report of it.

A mask is a frozen object; `mask.resolve(params)` gives the boolean tree. Masks combine
with `&`, `|` and `~`:

    weights & ~embeddings               weights, but no embedding tables
    weights | position_embeddings       weights, and position embeddings too
    by_path("decoder/*") & by_ndim(2)   matrices of the decoder

All of `regjax` takes masks as they are. For optax pass the function: `optax.adamw(1e-3,
mask=masks.weights.resolve)`. A mask itself is neither callable nor a truth value:
`optax.inject_hyperparams` takes whatever can be called for a schedule, the default `mask=weights`
of an optimizer among it.

Paths are written with slashes, `layers/0/weight`; keys that hold dots, `layers.0.weight`, stay as
they are. The default, `weights`, reads names the way Flax, Equinox, Haiku, PyTorch and plain
dictionaries write them. The number of dimensions decides only for names it does not know, so
that stacked layers and vmapped models, whose biases are matrices, come out right. Left out are

- biases, intercepts, and the parameters of normalization layers: by the name or class of the
  layer, or a `weight` of the shape of its `bias`;
- class, mask, distillation and register tokens, and position parameters (`pos_embed`), as timm
  and DeiT do. Tables that are looked up (`wpe/weight`, `token_embed/embedding`) are weights;
- slopes of PReLU, parameters on a logarithmic scale (`A_log`, `log_step`), the `D` beside an
  `A_log`, running statistics.

Coefficients of linear models (`coef`, and `alpha`, `beta`, `theta` of more than one entry) are
weights even as vectors; other vectors under unknown names are not. Names can mislead: print
`weights.report(params)` once.
"""

from __future__ import annotations

import abc
import dataclasses
import fnmatch
import math
import operator
from collections.abc import Callable
from typing import Any, Literal, NoReturn

import jax
import numpy as np

from regjax._arrays import Tree
from regjax._names import (
    Leaf,
    is_class_token,
    is_embedding,
    is_output_head,
    is_part_of_a_tree,
    is_position_embedding,
    is_weight,
    tree_leaves,
)


class Mask(abc.ABC):
    """A rule that says which leaves are penalized. See the module's text for how they combine."""

    @abc.abstractmethod
    def selects(self, leaves: list[Leaf]) -> list[bool]:
        """Return one boolean per leaf."""

    def complaint(self, leaves: list[Leaf]) -> str | None:
        """Return an error message if the rule names something that none of `leaves` has."""
        return None

    def resolve(self, params: Tree) -> Tree:
        """Return a tree like `params` of booleans, True where a leaf is penalized.

        Leaves that are no floating-point arrays, real or complex, are never penalized. Where
        optax hides some leaves (`optax.masked`, `optax.partition`, `optax.multi_transform`),
        nothing need be found among the others.

        Args:
            params: the parameters.

        Returns:
            A tree of Python booleans with the structure of `params`.

        Raises:
            ValueError: if a pattern matches no leaf, or nothing is left to penalize.

        Example:
            >>> import jax.numpy as jnp
            >>> weights.resolve({"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)})
            {'bias': False, 'kernel': True}
        """
        return resolve(self, params)

    def report(self, params: Tree) -> MaskReport:
        """Return what the mask covers, leaf by leaf; print it to read it."""
        leaves = tree_leaves(params)
        flags = jax.tree.leaves(self.resolve(params))
        return MaskReport(
            tuple(
                MaskRow(leaf.path, tuple(np.shape(leaf.value)), flag)
                for leaf, flag in zip(leaves, flags, strict=True)
                if leaf.trainable
            )
        )

    def __and__(self, other: Mask) -> Mask:
        return _Combined(self, other, "&") if isinstance(other, Mask) else NotImplemented

    def __or__(self, other: Mask) -> Mask:
        return _Combined(self, other, "|") if isinstance(other, Mask) else NotImplemented

    def __invert__(self) -> Mask:
        return _Not(self)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"A mask is not a truth value. Combine masks with &, | and ~; where a function or a "
            f"tree of booleans is expected, as by optax, pass {_grouped(self)}.resolve or "
            f"{_grouped(self)}.resolve(params)."
        )


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
            f"{'penalized' if row.penalized else '-':<10} {row.path:<{width}}  {row.shape}"
            for row in self.rows
        ]
        leaves = sum(row.penalized for row in self.rows)
        lines.append(
            f"{leaves} of {len(self.rows)} leaves, "
            f"{self.n_penalized:,} of {self.n_parameters:,} parameters penalized"
        )
        return "\n".join(lines)


def resolve(mask: Mask | Tree, params: Tree, *, required: bool = True) -> Tree:
    """Return the boolean tree of `mask` for `params`.

    Args:
        mask: a mask of this module, or a tree of booleans that is a prefix of `params`.
        params: the parameters.
        required: whether it is an error that nothing is left to penalize. It never is where optax
            hides some leaves.

    Returns:
        A tree of Python booleans with the structure of `params`.

    Raises:
        TypeError: if `mask` is a function or holds anything but booleans.
        ValueError: if the mask does not fit `params` or leaves nothing to penalize.

    Example:
        >>> import jax.numpy as jnp
        >>> params = {"encoder": [jnp.ones(2)], "head": jnp.ones(2)}
        >>> resolve({"encoder": True, "head": False}, params)
        {'encoder': [True], 'head': False}
    """
    leaves = tree_leaves(params)
    is_part = is_part_of_a_tree(params)
    if isinstance(mask, Mask):
        if not is_part and (complaint := mask.complaint(leaves)):
            raise ValueError(complaint)
        selected = mask.selects(leaves)
    else:
        selected = _broadcast(mask, params) if leaves else []
    flags = [flag and leaf.trainable for flag, leaf in zip(selected, leaves, strict=True)]
    if required and not is_part and not any(flags):
        raise ValueError(
            "The mask leaves nothing to penalize among these leaves:\n  "
            + _listing(leaves)
            + "\nUse masks.everything, or masks.by_path with a pattern that matches one. If "
            "nothing is to be penalized, use a strength of 0."
        )
    return jax.tree.unflatten(jax.tree.structure(params), flags)


def _broadcast(mask: Tree, params: Tree) -> list[bool]:
    """Return a tree of booleans, a prefix of `params`, as one boolean per leaf."""
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
    return [bool(flag) for flag in jax.tree.leaves(full)]


def _listing(leaves: list[Leaf], most: int = 20) -> str:
    lines = [f"{leaf.path or '(the array itself)'} {np.shape(leaf.value)}" for leaf in leaves]
    if len(lines) > most:
        lines = [*lines[:most], f"... and {len(lines) - most} more"]
    return "\n  ".join(lines)


def _grouped(mask: Mask) -> str:
    return f"({mask!r})" if isinstance(mask, _Combined) else repr(mask)


@dataclasses.dataclass(frozen=True, repr=False)
class _Combined(Mask):
    left: Mask
    right: Mask
    symbol: Literal["&", "|"]

    def selects(self, leaves: list[Leaf]) -> list[bool]:
        combine = operator.and_ if self.symbol == "&" else operator.or_
        return list(map(combine, self.left.selects(leaves), self.right.selects(leaves)))

    def complaint(self, leaves: list[Leaf]) -> str | None:
        return self.left.complaint(leaves) or self.right.complaint(leaves)

    def __repr__(self) -> str:
        return f"{_grouped(self.left)} {self.symbol} {_grouped(self.right)}"


@dataclasses.dataclass(frozen=True, repr=False)
class _Not(Mask):
    mask: Mask

    def selects(self, leaves: list[Leaf]) -> list[bool]:
        return [not flag for flag in self.mask.selects(leaves)]

    def complaint(self, leaves: list[Leaf]) -> str | None:
        return self.mask.complaint(leaves)

    def __repr__(self) -> str:
        return f"~{_grouped(self.mask)}"


@dataclasses.dataclass(frozen=True, repr=False)
class _Predicate(Mask):
    predicate: Callable[[str, Any], bool]

    def selects(self, leaves: list[Leaf]) -> list[bool]:
        return [bool(self.predicate(leaf.path, leaf.value)) for leaf in leaves]

    def __repr__(self) -> str:
        name = getattr(self.predicate, "__qualname__", repr(self.predicate))
        return f"masks.by_predicate({name})"


@dataclasses.dataclass(frozen=True, repr=False)
class _Ndim(Mask):
    smallest: int

    def selects(self, leaves: list[Leaf]) -> list[bool]:
        return [np.ndim(leaf.value) >= self.smallest for leaf in leaves]

    def __repr__(self) -> str:
        return f"masks.by_ndim({self.smallest})"


@dataclasses.dataclass(frozen=True, repr=False)
class _Path(Mask):
    patterns: tuple[str, ...]
    missing_ok: bool

    def selects(self, leaves: list[Leaf]) -> list[bool]:
        return [any(_matches(leaf, pattern) for pattern in self.patterns) for leaf in leaves]

    def complaint(self, leaves: list[Leaf]) -> str | None:
        for pattern in () if self.missing_ok else self.patterns:
            if not any(_matches(leaf, pattern) for leaf in leaves):
                return (
                    f"The pattern {pattern!r} matches none of these paths:\n  {_listing(leaves)}\n"
                    "If it need not match, pass missing_ok=True."
                )
        return None

    def __repr__(self) -> str:
        arguments = [*map(repr, self.patterns), *["missing_ok=True"] * self.missing_ok]
        return f"masks.by_path({', '.join(arguments)})"


@dataclasses.dataclass(frozen=True, repr=False)
class _Named(Mask):
    name: str
    what: str | None
    rule: Callable[[Leaf], bool]

    def selects(self, leaves: list[Leaf]) -> list[bool]:
        return [self.rule(leaf) for leaf in leaves]

    def complaint(self, leaves: list[Leaf]) -> str | None:
        if self.what is None or any(self.selects(leaves)):
            return None
        return (
            f"No leaf looks like {self.what} among:\n  {_listing(leaves)}\n"
            "Name it with masks.by_path."
        )

    def __repr__(self) -> str:
        return f"masks.{self.name}"


def _matches(leaf: Leaf, pattern: str) -> bool:
    return fnmatch.fnmatchcase(leaf.path, pattern)


def _is_any(leaf: Leaf) -> bool:
    return True


def by_path(*patterns: str, missing_ok: bool = False) -> Mask:
    """Return the mask of leaves whose path matches any of the shell-style `patterns`.

    Args:
        patterns: `*` stands for any characters, slashes included; `?` for one; matching is case
            sensitive.
        missing_ok: whether a pattern may match no leaf. By default that raises, so that a renamed
            layer is noticed.

    Raises:
        ValueError: if there is no pattern; on resolving, if one matches no leaf.

    Example:
        >>> import jax.numpy as jnp
        >>> params = {"encoder": {"kernel": jnp.ones((2, 2))}, "head": {"kernel": jnp.ones((2, 2))}}
        >>> by_path("encoder/*").resolve(params)
        {'encoder': {'kernel': True}, 'head': {'kernel': False}}
    """
    if not patterns:
        raise ValueError("by_path needs at least one pattern, such as by_path('*/kernel').")
    return _Path(patterns, missing_ok)


def by_ndim(smallest: int) -> Mask:
    """Return the mask of leaves with at least `smallest` dimensions.

    Example:
        >>> import jax.numpy as jnp
        >>> by_ndim(2).resolve([jnp.ones((2, 2)), jnp.ones(2)])
        [True, False]
    """
    return _Ndim(smallest)


def by_predicate(predicate: Callable[[str, Any], bool]) -> Mask:
    """Return the mask of leaves where `predicate(path, leaf)` is true.

    The mask can be pickled if `predicate` can: a function at the top of a module, and no lambda.

    Example:
        >>> import jax.numpy as jnp
        >>> by_predicate(lambda path, leaf: leaf.size > 2).resolve([jnp.ones(2), jnp.ones(3)])
        [False, True]
    """
    return _Predicate(predicate)


weights: Mask = _Named("weights", None, is_weight)
"""The default: weights, without biases, norms and the rest that the module's text names."""

everything: Mask = _Named("everything", None, _is_any)
"""Every floating-point leaf, biases and norms included, as optax does."""

embeddings: Mask = _Named("embeddings", "an embedding", is_embedding)
"""Embedding tables, by name or class. Leave them out with `weights & ~embeddings`."""

position_embeddings: Mask = _Named(
    "position_embeddings", "a position embedding", is_position_embedding
)
"""Position parameters (`pos_embed`) and tables (`wpe`), by name.

`weights` holds the tables alone: `weights | position_embeddings` adds the others, `weights &
~position_embeddings` leaves out both.
"""

class_tokens: Mask = _Named("class_tokens", "a class token", is_class_token)
"""Class, mask, distillation and register tokens (`cls_token`), by name.

`weights` leaves them out; `weights | class_tokens` adds them.
"""

output_head: Mask = _Named("output_head", "an output head", is_output_head)
"""Leaves of the output head, by name. Leave them out with `weights & ~output_head`."""
