"""Frozen dataclasses as pytrees, told apart by their type."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def pytree_dataclass(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass whose fields are pytree children.

    Fields declared with `dataclasses.field(metadata={"static": True})` are part of the
    structure instead and must be hashable.

    Use it in place of `jax.tree_util.register_dataclass`: structures made by that one compare as
    equal for any two classes of as many fields and equal static ones (jax 0.10.2), and with some
    chance per process `jax.jit` then runs the program that it compiled for another class.

    Example:
        >>> import jax
        >>> @pytree_dataclass
        ... class Scale:
        ...     factor: float
        >>> @pytree_dataclass
        ... class Shift:
        ...     amount: float
        >>> jax.tree.leaves(Scale(2.0))
        [2.0]
        >>> jax.tree.structure(Scale(2.0)) == jax.tree.structure(Shift(2.0))
        False
    """
    frozen = dataclasses.dataclass(frozen=True)(cls)
    register(frozen)
    return frozen


_registered: set[Any] = set()


def register(cls: Any) -> None:
    """Make a dataclass a pytree, in whose structure the static fields are, unless it is one."""
    if cls in _registered:
        return
    _registered.add(cls)
    fields = dataclasses.fields(cls)
    children = [field.name for field in fields if not field.metadata.get("static", False)]
    static = [field.name for field in fields if field.metadata.get("static", False)]
    keys = [jax.tree_util.GetAttrKey(name) for name in children]

    def flatten(node: Any) -> tuple[list[Any], tuple]:
        return [getattr(node, name) for name in children], tuple(
            getattr(node, name) for name in static
        )

    def flatten_with_keys(node: Any) -> tuple[list[tuple[Any, Any]], tuple]:
        values, settings = flatten(node)
        return list(zip(keys, values, strict=True)), settings

    def unflatten(settings: tuple, values: Any) -> Any:
        return cls(
            **dict(zip(children, values, strict=True)), **dict(zip(static, settings, strict=True))
        )

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
