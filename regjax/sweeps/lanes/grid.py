"""Grids: which hyperparameters every lane of a sweep has, and who it is.

A grid is a table of named columns with a row per lane. Columns of numbers are traced: lanes that
differ in them alone share one compiled program. Columns of anything else (text, truth values,
None), and numbers marked `Static`, are choices that shape the program: lanes that agree in them
form a group, and every group is compiled by itself. The column `seed` is neither: it makes the key.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from regjax._messages import quoted
from regjax.sweeps.checks import MOST, flag, is_real, is_whole, items, seed_list, shown, whole

Value = float | int | str | bool | None

SEED = "seed"


class Static(NamedTuple):
    """Marks numbers of a grid as choices that shape the program, such as a width.

    Example:
        >>> grid = Grid.product(lambda_=[0.1, 1.0], width=Static([32, 64]))
        >>> [group.choices for group in grid.groups()]
        [{'width': 32}, {'width': 64}]
    """

    values: Sequence[Value]


@dataclasses.dataclass(frozen=True)
class Uniform:
    """A range to draw numbers from: evenly, or evenly in the logarithm, or whole numbers.

    Example:
        >>> Uniform(1e-4, 1.0, log=True).at(np.array([0.0, 0.5])).tolist()
        [0.0001, 0.01]
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def at(self, shares: np.ndarray) -> np.ndarray:
        """Return the numbers at these shares of the range, in [0, 1)."""
        flag("log", self.log)
        flag("whole", self.whole)
        bounded = is_real(self.low) and is_real(self.high) and self.low < self.high
        if not bounded or (self.log and self.low <= 0):
            raise ValueError(
                "A range needs numbers low < high, and low > 0 if it is logarithmic, got "
                f"{shown(self)}."
            )
        if self.whole and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise ValueError(f"A range of whole numbers needs whole ends, got {self}.")
        low, high = float(self.low), float(self.high) + bool(self.whole)
        if self.log:
            values = np.exp(np.log(low) + shares * (np.log(high) - np.log(low)))
        else:
            values = low + shares * (high - low)
        # Noise in the last digits would end up in tables; with fewer digits large grids would hold
        # a lane twice. A whole number is rounded down.
        values = np.floor(values) if self.whole else np.array([float(f"{v:.12g}") for v in values])
        return np.clip(values, self.low, self.high)


class Group(NamedTuple):
    """Lanes that share one program: their choices, and their places in the grid."""

    choices: dict[str, Value]
    lanes: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Grid:
    """Named columns of equal length, a row per lane; made by the functions below.

    `a * b` has every row of `a` with every row of `b`; `a + b` has the rows of `a` and then those
    of `b`, where a column that one of them lacks is None.

    Attributes:
        columns: values by name, numbers as float, whole numbers as int in `seed` and where static.
        static: names of the columns that are choices.

    Example:
        >>> from regjax.sweeps import Grid, log_range
        >>> grid = Grid.product(lambda_=log_range(0.01, 1, 3), seed=range(2))
        >>> len(grid), grid.row(5)
        (6, {'lambda_': 1.0, 'seed': 1})
        >>> pairs = Grid.zipped(lambda_=[0.1, 0.2], learning_rate=[1e-2, 1e-3])
        >>> len(pairs * Grid.product(optimizer=["adamw", "adam_l2"]))
        4
    """

    columns: Mapping[str, tuple[Value, ...]]
    static: frozenset[str] = frozenset()

    @staticmethod
    def product(**axes: Iterable[Value] | Static) -> Grid:
        """Return every combination of the values, the last axis running fastest."""
        lists = {name: _values(name, axis) for name, axis in axes.items()}
        _check_size({name: len(values) for name, values in lists.items()})
        rows = list(itertools.product(*lists.values()))
        columns = zip(*rows, strict=True) if rows else [() for _ in lists]
        return _checked(dict(zip(lists, columns, strict=True)), _static(axes, lists))

    @staticmethod
    def zipped(**axes: Iterable[Value] | Static) -> Grid:
        """Return lanes of the first values, of the second, and so on."""
        lists = {name: _values(name, axis) for name, axis in axes.items()}
        return _checked(lists, _static(axes, lists))

    @staticmethod
    def random(n: int, /, *, random_state: int = 0, **ranges: Uniform) -> Grid:
        """Return `n` lanes drawn at random from the ranges."""
        n = _check_draw(n, random_state, ranges)
        return _drawn(np.random.default_rng(random_state).random((n, len(ranges))), ranges)

    @staticmethod
    def sobol(n: int, /, *, random_state: int = 0, **ranges: Uniform) -> Grid:
        """Return `n` lanes of a scrambled Sobol sequence, which covers the ranges more evenly.

        A power of two is best.
        """
        n = _check_draw(n, random_state, ranges)
        from scipy.stats import qmc

        points = qmc.Sobol(len(ranges), rng=np.random.default_rng(random_state))
        return _drawn(points.random_base2(max(n - 1, 0).bit_length())[:n], ranges)

    @staticmethod
    def of(grid: Grid | Mapping[str, Iterable[Value] | Static], seeds: Any = None) -> Grid:
        """Return a grid, or the product of a dictionary of lists, under every seed.

        Args:
            grid: the grid, or lists of values by name.
            seeds: how many, or which; by default those of the grid.

        Raises:
            ValueError: if it is neither, or if both name seeds.

        Example:
            >>> Grid.of({"lambda_": [0.1, 1.0]}, seeds=3) == Grid.product(
            ...     lambda_=[0.1, 1.0], seed=range(3)
            ... )
            True
        """
        if isinstance(grid, Mapping) and all(isinstance(name, str) for name in grid):
            grid = Grid.product(**grid)
        if not isinstance(grid, Grid):
            raise ValueError(
                "grid must be a Grid, as Grid.product(lambda_=[0.1, 1.0]), or a dictionary of "
                f"lists by name, got {quoted(grid)}."
            )
        if seeds is None:
            return grid
        if SEED in grid.columns:
            raise ValueError(f"The grid has a column seed: leave out seeds={quoted(seeds)}.")
        return grid * Grid.product(seed=seed_list(seeds))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __mul__(self, other: Grid) -> Grid:
        if not isinstance(other, Grid):
            return NotImplemented
        _check_size({"the left grid": len(self), "the right grid": len(other)})
        twice = set(self.columns) & set(other.columns)
        if twice:
            raise ValueError(f"Both grids have a column {sorted(twice)[0]!r}.")
        mine = {k: [v for v in c for _ in range(len(other))] for k, c in self.columns.items()}
        theirs = {k: list(c) * len(self) for k, c in other.columns.items()}
        return _checked(mine | theirs, self.static | other.static)

    def __add__(self, other: Grid) -> Grid:
        if not isinstance(other, Grid):
            return NotImplemented
        names = dict.fromkeys([*self.columns, *other.columns])
        columns = {
            name: [
                *self.columns.get(name, [None] * len(self)),
                *other.columns.get(name, [None] * len(other)),
            ]
            for name in names
        }
        return _checked(columns, self.static | other.static)

    def row(self, lane: int) -> dict[str, Value]:
        """Return the values of one lane by name."""
        return {name: column[lane] for name, column in self.columns.items()}

    @functools.cached_property
    def ids(self) -> tuple[str, ...]:
        """A name for every lane that depends on its own values alone, 16 hexadecimal digits."""
        return tuple(_identity(self.row(lane)) for lane in range(len(self)))

    @functools.cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seed of every lane, 0 if the grid has none."""
        return tuple(int(seed or 0) for seed in self.columns.get(SEED, (0,) * len(self)))

    @functools.cached_property
    def settings(self) -> tuple[int, ...]:
        """A number per lane, equal where lanes differ in the seed alone, by first appearance."""
        names = [name for name in self.columns if name != SEED]
        rows = zip(*(self.columns[name] for name in names), strict=True)
        keys = [json.dumps(row) for row in rows] if names else [""] * len(self)
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        return tuple(numbers[key] for key in keys)

    def groups(self) -> list[Group]:
        """Return the lanes by their choices, in the order of first appearance."""
        return list(self._groups)

    @functools.cached_property
    def _groups(self) -> tuple[Group, ...]:
        names = [name for name in self.columns if name in self.static]
        found: dict[str, list[int]] = {}
        for lane in range(len(self)):
            choices = {name: self.columns[name][lane] for name in names}
            found.setdefault(json.dumps(choices), []).append(lane)
        return tuple(Group(json.loads(text), tuple(lanes)) for text, lanes in found.items())

    def arrays(self, lanes: Sequence[int], dtype: str = "float32") -> dict[str, np.ndarray]:
        """Return the traced columns of these lanes, without those that are None in all of them."""
        arrays = {}
        for name, column in self.columns.items():
            if name == SEED or name in self.static:
                continue
            values = [column[lane] for lane in lanes]
            if any(value is not None for value in values):
                arrays[name] = np.array([_number(name, value) for value in values], dtype)
        return arrays

    def __iter__(self) -> Iterator[dict[str, Value]]:
        return (self.row(lane) for lane in range(len(self)))


def _values(name: str, axis: Iterable[Value] | Static) -> list[Value]:
    if isinstance(axis, str):
        raise ValueError(f"{name} must be a list of values, got the text {quoted(axis)}.")
    static = isinstance(axis, Static)
    given = axis.values if isinstance(axis, Static) else axis
    number = is_real(given) and not isinstance(axis, Static)
    wanted = f"a list of values{f', as [{given}]' if number else ''}"
    if number and name == SEED:
        wanted += f" or range({given})"
    values = items(name, given, wanted)
    if not values:
        raise ValueError(f"The grid is empty: give {name} at least one value, got {given!r}.")
    return [_plain(name, value, static or name == SEED) for value in values]


def _plain(name: str, value: Any, whole: bool) -> Value:
    """Return a value as plain Python has it."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    try:
        number = math.nan if isinstance(value, bytes) else float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{name} holds {quoted(value)}: a grid holds numbers, text, truth values and None."
        ) from error
    if not math.isfinite(number):
        raise ValueError(f"{name} holds {quoted(value)}: hyperparameters must be finite numbers.")
    # -0.0 and 0.0 are one value, and so one lane.
    return int(value) if whole and number == int(number) else number + 0.0


def _number(name: str, value: Value) -> float:
    if value is None:
        raise ValueError(f"{name} is missing in some lanes of a group: give it in all or none.")
    return float(value)


def _static(axes: Mapping[str, Any], lists: Mapping[str, list[Value]]) -> frozenset[str]:
    text = {
        name for name, values in lists.items() if any(isinstance(v, str | bool) for v in values)
    }
    return frozenset(text | {name for name, axis in axes.items() if isinstance(axis, Static)})


def _check_size(sizes: Mapping[str, int]) -> None:
    """Raise ValueError if there are too many combinations to make a table of them."""
    if math.prod(sizes.values()) > MOST:
        text = " x ".join(f"{size:,} of {name}" for name, size in sizes.items())
        raise ValueError(f"The grid would hold more than {MOST:,} lanes: {text}.")


def _check_draw(n: object, random_state: object, ranges: Mapping[str, object]) -> int:
    """Return how many lanes to draw, or raise ValueError for what cannot be drawn."""
    for name, axis in ranges.items():
        if not isinstance(axis, Uniform):
            raise ValueError(
                f"{name} must be a range, Uniform(low, high), to be drawn from, got {quoted(axis)}."
            )
    whole("random_state", random_state, 0)
    if not ranges or is_whole(n, 0, 0):
        raise ValueError(f"The grid is empty: draw n lanes of at least one range, got n={n!r}.")
    return whole("n", n, 1, MOST)


def _drawn(shares: np.ndarray, ranges: Mapping[str, Uniform]) -> Grid:
    columns = {name: axis.at(shares[:, i]) for i, (name, axis) in enumerate(ranges.items())}
    return Grid.zipped(**{name: values.tolist() for name, values in columns.items()})


def _checked(columns: Mapping[str, Sequence[Value]], static: frozenset[str]) -> Grid:
    lengths = {name: len(values) for name, values in columns.items()}
    if not columns or 0 in lengths.values():
        raise ValueError("The grid is empty: give every hyperparameter at least one value.")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Columns of a grid must have one length, got {lengths}.")
    if SEED in static:
        raise ValueError("seed is no choice of the program: give whole numbers, not marked Static.")
    wrong = [
        seed
        for seed in columns.get(SEED, ())
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63
    ]
    if wrong:
        raise ValueError(f"Seeds must be whole numbers from 0 to 2^63 - 1, got {wrong[0]!r}.")
    taken = sorted({"id", "status", "step"} & set(columns))
    if taken:
        raise ValueError(
            f"{taken[0]} is a column of every table: call the hyperparameter otherwise."
        )
    grid = Grid({name: tuple(values) for name, values in columns.items()}, static)
    if len(set(grid.ids)) < len(grid):
        twice = next(i for i, name in enumerate(grid.ids) if name in grid.ids[:i])
        raise ValueError(f"The grid holds a lane twice: {grid.row(twice)}.")
    return grid


def _identity(row: Mapping[str, Value]) -> str:
    # What is None is left out, so that a lane keeps its name when others bring a new column.
    held = {name: value for name, value in sorted(row.items()) if value is not None}
    return hashlib.blake2b(json.dumps(held).encode(), digest_size=8).hexdigest()
