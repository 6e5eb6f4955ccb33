"""A function of one lane as a program for a block of seeds and lanes.

The program maps over the lanes of a seed with key and common arguments unmapped; several seeds are
mapped outside of that. With several devices each runs the program of its own part of the block, so
results do not depend on how many there are, only on the shape of a part.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import operator
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from regjax._arrays import Tree


def key_kind() -> str:
    """Return the caller's kind of random keys."""
    # Settings of JAX are attributes that its types do not name.
    return operator.attrgetter("jax_default_prng_impl")(jax.config)


class Shape(NamedTuple):
    """Of a block: how many seeds, and how many lanes of each."""

    seeds: int
    lanes: int

    @property
    def size(self) -> int:
        return self.seeds * self.lanes


@dataclasses.dataclass(frozen=True)
class Setting:
    """Where and how programs run.

    Attributes:
        shape: of a block, which all devices share.
        dtype: of hyperparameters; "float64" stands for 64-bit mode as well.
        devices: those that share every block.
        prng: kind of the keys; by default the caller's, which other threads do not see.
    """

    shape: Shape
    dtype: str
    devices: tuple[Any, ...]
    prng: str = dataclasses.field(default_factory=key_kind)

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context of the precision, which is a setting of the thread."""
        return jax.enable_x64(self.dtype == "float64")

    def keys(self, seeds: Sequence[int]) -> jax.Array:
        """Return one key per seed; wants the context of the precision."""
        return jax.numpy.stack([jax.random.key(seed, impl=self.prng) for seed in seeds])

    def part(self) -> tuple[PartitionSpec, PartitionSpec]:
        """Return how devices share what has axes (seeds, lanes), and what has (seeds,)."""
        n_devices = len(self.devices)
        if self.shape.lanes % n_devices == 0:
            return PartitionSpec(None, "devices"), PartitionSpec()
        if self.shape.seeds % n_devices == 0:
            return PartitionSpec("devices"), PartitionSpec("devices")
        raise ValueError(f"{n_devices} devices cannot share a block of {self.shape}.")


class Arguments(NamedTuple):
    """Of a block: `per_lane` has axes (seeds, lanes), `per_seed` (seeds,), `common` none."""

    per_lane: Tree
    per_seed: Tree
    common: Tree


class BlockProgram:
    """A function of one lane for a block: traced at once, compiled when it is first run.

    Args:
        function: pure, of `(per_lane, per_seed, common)`; what it returns comes out with axes
            (seeds, lanes).
        setting: shape, precision, devices.
        arguments: arrays or their shapes.
        donate: whether arguments per lane may be overwritten.

    Attributes:
        text: what it computes.
        output: shapes of what it returns.
    """

    def __init__(
        self,
        function: Callable[[Tree, Tree, Tree], Tree],
        setting: Setting,
        arguments: Arguments,
        *,
        donate: bool = False,
    ) -> None:
        lanes, seeds = setting.part()
        per_device = setting.shape.lanes // (len(setting.devices) if len(lanes) == 2 else 1)
        # The size is given because lanes that differ in the seed alone have no hyperparameters.
        mapped = jax.vmap(function, in_axes=(0, None, None), axis_size=per_device)
        mapped = _over_seeds(mapped, setting)
        if len(setting.devices) > 1:
            mesh = Mesh(np.asarray(setting.devices), ("devices",))
            specs = (lanes, seeds, PartitionSpec())
            mapped = jax.shard_map(
                mapped, mesh=mesh, in_specs=specs, out_specs=lanes, check_vma=False
            )
        self._setting, self._lock = setting, threading.Lock()
        with setting.precision():
            jitted = jax.jit(mapped, donate_argnums=(0,) if donate else ())
            self._lowered = jitted.lower(*arguments)
        self.text = self._lowered.as_text()
        self.output = jax.tree.map(_shape, self._lowered.out_info)

    def __call__(self, arguments: Arguments) -> Tree:
        """Run the program; wants the context of the precision."""
        return self._compiled(*arguments)

    def compile(self) -> None:
        """Compile the program, if it is not."""
        _ = self._compiled

    @property
    def bytes(self) -> int:
        """What it needs beside its arguments."""
        memory = self._compiled.memory_analysis()
        return memory.temp_size_in_bytes + memory.output_size_in_bytes if memory else 0

    @property
    def _compiled(self) -> Any:
        # Threads that need it meanwhile wait.
        with self._lock, self._setting.precision():
            return self._compile_once

    @functools.cached_property
    def _compile_once(self) -> Any:
        return self._lowered.compile()


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)


def _over_seeds(function: Callable[..., Tree], setting: Setting) -> Callable[..., Tree]:
    """Return `function(per_lane, per_seed, common)` of one seed for the seeds of a device's part.

    A single one stays unmapped: mapped indices turn slices into gathers.
    """
    _, spec = setting.part()
    n_seeds = setting.shape.seeds // (len(setting.devices) if spec else 1)
    if n_seeds > 1:
        return jax.vmap(function, in_axes=(0, 0, None))

    def single(per_lane: Tree, per_seed: Tree, common: Tree) -> Tree:
        first = jax.tree.map(lambda leaf: leaf[0], (per_lane, per_seed))
        return jax.tree.map(lambda leaf: leaf[None], function(*first, common))

    return single


class Hashable:
    """A tree of shapes that can be the key of a cache."""

    def __init__(self, tree: Tree) -> None:
        self.tree = jax.tree.map(_shape, tree)
        leaves, structure = jax.tree.flatten(self.tree)
        self._key = (structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hashable) and self._key == other._key


def cached(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with a memory of 32 results, used where the arguments hash."""
    remembered = functools.lru_cache(maxsize=32)(function)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        try:
            hash(args)
        except TypeError:
            return function(*args)
        return remembered(*args)

    return call
