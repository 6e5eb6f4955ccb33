"""Checks of arguments: what is wrong is said with its name, its value, and what is wanted."""

from __future__ import annotations

import dataclasses
import itertools
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from regjax._arrays import Tree
from regjax._messages import listed, quoted

MOST = 10_000_000
"""The largest number of runs of a sweep, or of values of a list: checked before they are made."""


def is_whole(value: object, least: float = -math.inf, most: float = math.inf) -> bool:
    """Return whether a value is a whole number in this range; a truth value is none."""
    if isinstance(value, bool):
        return False
    try:
        return least <= operator.index(value) <= most  # type: ignore[arg-type]
    except TypeError:
        return False


def is_real(value: object, least: float = -math.inf, most: float = math.inf) -> bool:
    """Return whether a value is a finite number in this range; a truth value is none."""
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        return False
    array = np.asarray(value)
    if array.ndim or not (np.issubdtype(array.dtype, np.number) and np.isrealobj(array)):
        return False
    return math.isfinite(float(array)) and least <= float(array) <= most


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return a whole number of this range.

    Raises:
        ValueError: if it is another one, or no whole number.
    """
    if not is_whole(value, least, math.inf if most is None else most):
        ends = f"at least {least}" if most is None else f"between {least} and {most:,}"
        raise ValueError(f"{name} must be {ends}, a whole number, got {quoted(value)}.")
    return operator.index(value)


def real(name: str, value: Any, wanted: str = "a finite number") -> float:
    """Return a finite number.

    Raises:
        ValueError: if it is none.
    """
    if not is_real(value):
        raise ValueError(f"{name} must be {wanted}, got {quoted(value)}.")
    return float(value)


def one_of(name: str, value: Any, choices: Sequence[object], more: str = "") -> None:
    """Raise ValueError if a value is none of these."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        text = " or ".join(map(repr, choices))
        raise ValueError(f"{name} must be {text}{more}, got {quoted(value)}.")


def flag(name: str, value: Any) -> bool:
    """Return a truth value; raise ValueError if it is none."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {quoted(value)}.")
    return bool(value)


def function(name: str, value: Any) -> None:
    """Raise ValueError for what cannot be called."""
    if not callable(value):
        raise ValueError(f"{name} must be a function, got {quoted(value)}.")


def text(name: str, value: Any) -> None:
    """Raise ValueError for what is neither text nor None."""
    if not isinstance(value, str | None):
        raise ValueError(f"{name} must be text, got {quoted(value)}.")


def items(name: str, values: Any, wanted: str, most: int = MOST) -> list[Any]:
    """Return a list of what a sequence or an array holds.

    Raises:
        ValueError: for text, mappings and sets, what holds nothing to go over, or too much.
    """
    refused = isinstance(values, str | bytes | dict | set | frozenset)
    if refused or not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0:
        raise ValueError(f"{name} must be {wanted}, got {quoted(values)}.")
    # A range has a length beyond what len() returns.
    size = values.stop - values.start if isinstance(values, range) else most
    found = list(itertools.islice(values, most + 1)) if size // _step(values) <= most else None
    if found is None or len(found) > most:
        raise ValueError(f"{name} holds more than {most:,} values, got {quoted(values)[:80]}.")
    return found


def seed_list(seeds: Any) -> list[int]:
    """Return the seeds that a number of seeds, or a list of them, stands for.

    Raises:
        ValueError: if there is none, one is there twice, or one is no whole number from 0 to
            2^63 - 1.
    """
    if isinstance(seeds, bool | np.bool_):
        raise ValueError(f"seeds must be a number or a list of them, got a truth value, {seeds}.")
    if is_whole(seeds):
        if not is_whole(seeds, 1, MOST):
            raise ValueError(f"seeds must be at least one and at most {MOST:,}, got {seeds}.")
        return list(range(operator.index(seeds)))
    chosen = items("seeds", seeds, "a whole number of seeds, or a list of them")
    usable = all(is_whole(seed, 0, 2**63 - 1) for seed in chosen)
    if not (chosen and usable and len(set(map(int, chosen))) == len(chosen)):
        raise ValueError(
            "seeds must be at least one (the list is not to be empty), whole numbers from 0 to "
            f"2^63 - 1, and distinct, got {quoted(seeds)}."
        )
    return [int(seed) for seed in chosen]


def numbers(name: str, values: Any) -> list[float]:
    """Return one number, or several, as a list of floats; ValueError for anything else."""
    wanted = "a finite number or a list of them"
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        return [real(name, values, wanted)]
    if getattr(values, "ndim", 1) == 0:
        return [real(name, values, wanted)]
    return [real(name, value, wanted) for value in items(name, values, wanted)]


def arrays(name: str, tree: Tree) -> None:
    """Raise ValueError for a tree that holds anything but numbers, arrays of them and keys."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if isinstance(leaf, bool | int | float | complex):
            continue
        if isinstance(leaf, jax.Array | np.ndarray | np.generic) and _is_numeric(leaf.dtype):
            continue
        where = jax.tree_util.keystr(path)
        raise ValueError(
            f"{name} must be arrays, or trees of them, got {quoted(leaf)}"
            f"{f' at {where}' if where else ''}: of an Equinox module give "
            "equinox.partition(module, equinox.is_array)[0], and combine it in the functions."
        )


def known(function: str, given: Iterable[str], names: Sequence[str]) -> None:
    """Raise TypeError if a keyword argument has none of these names."""
    unknown = [name for name in given if name not in names]
    if unknown:
        raise TypeError(f"{function} has no argument {unknown[0]!r}; it has {listed(names, 20)}.")


def shown(instance: Any) -> str:
    """Return a dataclass for a message, each of its values shortened."""
    values = ((f.name, getattr(instance, f.name)) for f in dataclasses.fields(instance))
    inner = ", ".join(f"{name}={quoted(value)}" for name, value in values)
    return f"{type(instance).__name__}({inner})"


def plain_fields(instance: Any) -> None:
    """Give a frozen dataclass plain numbers where it was given NumPy's."""
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        if isinstance(value, np.generic):
            object.__setattr__(instance, field.name, value.item())


def _step(values: Any) -> int:
    return values.step if isinstance(values, range) else 1


def _is_numeric(dtype: Any) -> bool:
    kinds = (np.number, np.bool_, jax.dtypes.prng_key)
    return any(jax.dtypes.issubdtype(dtype, kind) for kind in kinds)
