"""What the engine asks of a group of lanes: a chunk begins, goes a leg of its steps, ends."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import Tree
from regjax.sweeps.checks import arrays
from regjax.sweeps.lanes.compiled import (
    Arguments,
    BlockProgram,
    Hashable,
    Setting,
    cached,
)
from regjax.sweeps.lanes.training import Fit, Training, TrainingFunction

Arrays = dict[str, np.ndarray]


class Block(NamedTuple):
    """The lanes of a chunk: hyperparameters with axes (seeds, lanes), and the seeds."""

    hyperparameters: Arrays
    seeds: tuple[int, ...]


class Carry(NamedTuple):
    """What a chunk takes from leg to leg, with axes (seeds, lanes).

    Attributes:
        state: of the training.
        diverged: the step, counted from 1, that left the first NaN in it; or 0. Infinity alone is
            none: it may be meant, and becomes NaN as soon as it is not. Nor is a NaN that the
            training itself has removed before it is evaluated.
        watched: per array of the state whether NaN in it counts: not where it began with one, as
            what stands for a value that is not known yet.
    """

    state: Tree
    diverged: Any
    watched: tuple[Any, ...]


class Program(Protocol):
    """A group of lanes at one shape of block.

    Attributes:
        text: what it computes, for a fingerprint.
    """

    text: str

    @property
    def metrics(self) -> dict[str, tuple[int, ...]] | None:
        """Shape per lane of what is measured, by name; None if not known beforehand."""

    @property
    def bytes(self) -> int:
        """What it takes while it runs, beside its arguments."""

    @property
    def waiting_bytes(self) -> int:
        """What a chunk takes between two legs, at most."""

    def stops(self, first: int, rungs: tuple[int, ...]) -> Iterator[int]:
        """Return the steps after `first` at which lanes are evaluated; the last is the end."""

    def saves(self, stop: int) -> bool:
        """Return whether a checkpoint is due after this step."""

    def begin(self, block: Block) -> Any:
        """Return what the chunk takes into its first leg."""

    def leg(
        self, carry: Any, block: Block, active: np.ndarray, first: int, last: int
    ) -> tuple[Any, Arrays]:
        """Return what the chunk takes further, and the metrics of its lanes after step `last`."""

    def end(self, carry: Any) -> tuple[Fit, np.ndarray]:
        """Return the fits of all lanes as NumPy arrays, and the steps at which they diverged."""


class _OneLeg:
    """What has a single step, and nothing before it."""

    waiting_bytes = 0

    def stops(self, first: int, rungs: tuple[int, ...]) -> Iterator[int]:
        return iter((1,))

    def saves(self, stop: int) -> bool:
        return False

    def begin(self, block: Block) -> None:
        return None


class PureProgram(_OneLeg):
    """A training function: one leg, one step."""

    def __init__(
        self,
        train: TrainingFunction,
        choices: Mapping[str, Any],
        setting: Setting,
        names: Sequence[str],
        shared: Sequence[Tree],
    ) -> None:
        self._setting = setting
        with setting.precision():
            self._shared = jax.tree.map(jnp.asarray, tuple(shared))
        key = (train, json.dumps(choices), setting, tuple(names), Hashable(self._shared))
        self._keys = functools.lru_cache(maxsize=64)(setting.keys)
        self._run = trace_function(*key)
        self.text = self._run.text
        output = self._run.output
        self.metrics = _kinds(output.metrics if isinstance(output, Fit) else output)

    @property
    def bytes(self) -> int:
        return self._run.bytes

    def leg(
        self, carry: None, block: Block, active: np.ndarray, first: int, last: int
    ) -> tuple[Tree, Arrays]:
        with self._setting.precision():
            keys = self._keys(block.seeds)
            output = self._run(Arguments(_arrays(block), keys, self._shared))
            return jax.tree.map(_on_host, output), {}

    def end(self, carry: Tree) -> tuple[Fit, np.ndarray]:
        fit = carry if isinstance(carry, Fit) else Fit((), carry)
        return fit, np.zeros(self._setting.shape, np.int32)


class SteppedProgram:
    """A `Training`: one program for the start, one for every leg."""

    def __init__(
        self,
        training: Training,
        choices: Mapping[str, Any],
        setting: Setting,
        names: Sequence[str],
        shared: Sequence[Tree],
        *,
        freezes: bool,
        at_work: int,
    ) -> None:
        self._training, self._setting = training, setting
        with setting.precision():
            self._shared = jax.tree.map(jnp.asarray, tuple(shared))
        key = (training, json.dumps(choices), setting, tuple(names), Hashable(self._shared))
        self._programs = _trace_training(*key, freezes)
        self.text = self._programs.text
        self.metrics = _kinds(self._programs.leg.output[1])
        if any(self.metrics.values()):
            raise ValueError(
                "evaluate must return scalars: they make up the curves, a point every "
                "evaluate_every steps."
            )
        # Chunks take turns, and those of other seeds have other arguments.
        self._arguments = functools.lru_cache(maxsize=max(4, at_work))(self._arguments_of)

    @property
    def bytes(self) -> int:
        return self._programs.begin.bytes + self._programs.leg.bytes

    @property
    def waiting_bytes(self) -> int:
        return self._programs.begin.bytes

    def stops(self, first: int, rungs: tuple[int, ...]) -> Iterator[int]:
        return self._training.stops(first, rungs)

    def saves(self, stop: int) -> bool:
        return self._training.saves(stop)

    def begin(self, block: Block) -> Carry:
        with self._setting.precision():
            arguments = Arguments(_arrays(block), *self._arguments(block.seeds))
            return self._programs.begin(arguments)

    def leg(
        self, carry: Carry, block: Block, active: np.ndarray, first: int, last: int
    ) -> tuple[Carry, Arrays]:
        with self._setting.precision():
            per_seed, shared = self._arguments(block.seeds)
            per_lane = (jax.tree.map(_on_device, carry), _arrays(block), jnp.asarray(active))
            span = (jnp.int32(first), jnp.int32(last))

            def run(watch: bool) -> tuple[Carry, Arrays, jax.Array]:
                common = (*span, jnp.asarray(watch), shared)
                return self._programs.leg(Arguments(per_lane, per_seed, common))

            further, metrics, turned_nan = run(watch=False)
            if np.any(turned_nan):
                # The same steps once more, for the one that did it: lanes that stay finite need
                # not pay for a look after every step.
                further, metrics, _ = run(watch=True)
            return further, jax.tree.map(np.asarray, metrics)

    def end(self, carry: Carry) -> tuple[Fit, np.ndarray]:
        state, params = carry.state, self._programs.params
        if params is not None:
            with self._setting.precision():
                state = params(jax.tree.map(_on_device, state))
        return Fit(jax.tree.map(_on_host, state), {}), np.asarray(carry.diverged)

    def _arguments_of(self, seeds: tuple[int, ...]) -> tuple[Tree, Tree]:
        """Return what is per seed and what is common."""
        keys = self._setting.keys(seeds)
        if self._programs.prepare is None:
            return (keys, ()), self._shared
        return (keys, self._programs.prepare(keys, self._shared)), ()


class HostProgram(_OneLeg):
    """A function that is not traced: `(hyperparameters, seed, *shared) -> Fit` of all its lanes."""

    def __init__(
        self, fit: Callable[..., Fit], text: str, shape: tuple[int, int], shared: Sequence[Any]
    ) -> None:
        self._fit, self._shape, self._shared = fit, shape, shared
        self.text, self.bytes = text, 0
        self.metrics: dict[str, tuple[int, ...]] | None = None

    def leg(
        self, carry: None, block: Block, active: np.ndarray, first: int, last: int
    ) -> tuple[Fit, Arrays]:
        fits = [
            self._fit({n: v[i] for n, v in block.hyperparameters.items()}, seed, *self._shared)
            for i, seed in enumerate(block.seeds)
        ]
        return jax.tree.map(lambda *parts: np.stack(parts), *fits), {}

    def end(self, carry: Fit) -> tuple[Fit, np.ndarray]:
        return carry, np.zeros(self._shape, np.int32)


def _on_device(leaf: Any) -> jax.Array:
    # Most come from the leg before.
    return leaf if isinstance(leaf, jax.Array) else jnp.asarray(leaf)


def _on_host(leaf: Any) -> np.ndarray:
    """Return an array as NumPy has it; random keys as their data."""
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def _arrays(block: Block) -> dict[str, jax.Array]:
    return {name: jnp.asarray(values) for name, values in block.hyperparameters.items()}


def _shapes(setting: Setting, names: Sequence[str]) -> tuple[Tree, Tree]:
    """Return the shapes of hyperparameters and of keys."""
    one = jax.ShapeDtypeStruct(setting.shape, np.dtype(setting.dtype))
    keys = jax.eval_shape(lambda: setting.keys((0,) * setting.shape.seeds))
    return dict.fromkeys(names, one), keys


@cached
def trace_function(
    train: TrainingFunction,
    choices: str,
    setting: Setting,
    names: tuple[str, ...],
    shared: Hashable,
) -> BlockProgram:
    """Return the program of a training function; the same one for equal arguments.

    Choices are JSON: as values, 1 and True would be equal.
    """
    options = json.loads(choices)

    def run(hyperparameters: Tree, key: jax.Array, shared: Tree) -> Tree:
        output = train(hyperparameters, key, *shared, **options)
        arrays("What the training function returns", output)
        return jax.tree.map(jnp.asarray, output)

    with setting.precision():
        return BlockProgram(run, setting, Arguments(*_shapes(setting, names), shared.tree))


class _Programs(NamedTuple):
    prepare: Callable[..., Tree] | None
    begin: BlockProgram
    leg: BlockProgram
    params: Callable[[Tree], Tree] | None
    text: str


@cached
def _trace_training(
    training: Training,
    choices: str,
    setting: Setting,
    names: tuple[str, ...],
    shared: Hashable,
    freezes: bool,
) -> _Programs:
    options = json.loads(choices)

    def start(hyperparameters: Tree, per_seed: Tree, common: Tree) -> Carry:
        key, prepared = per_seed
        state = training.init(hyperparameters, key, *prepared, *common, **options)
        arrays("The state that init returns", state)
        state = jax.tree.map(jnp.asarray, state)
        return Carry(state, jnp.int32(0), tuple(~found for found in _holds_nan(state)))

    def advance(per_lane: Tree, per_seed: Tree, common: Tree) -> tuple[Carry, Tree, jax.Array]:
        (carry, hyperparameters, active), (key, prepared) = per_lane, per_seed
        first, last, watch, shared = common
        given = (key, *prepared, *shared)

        def one(index: jax.Array, carry: Carry) -> Carry:
            state = training.step(hyperparameters, carry.state, index, *given, **options)
            if freezes:
                keep = functools.partial(jnp.where, active)
                state = jax.tree.map(keep, state, carry.state)
            # No lane has a say in `watch`, so this stays a branch, and the steps are the same.
            is_nan = jax.lax.cond(watch, any_nan, lambda _: jnp.bool_(False), state)
            first_time = (carry.diverged == 0) & is_nan
            diverged = jnp.where(first_time, index + 1, carry.diverged)
            return carry._replace(state=state, diverged=diverged)

        def any_nan(state: Tree) -> jax.Array:
            found = zip(carry.watched, _holds_nan(state), strict=True)
            return functools.reduce(jnp.logical_or, (w & n for w, n in found), jnp.bool_(False))

        before = carry.diverged
        carry = jax.lax.fori_loop(first, last, one, carry)
        turned_nan = (before == 0) & any_nan(carry.state)
        carry = carry._replace(diverged=jnp.where(turned_nan, carry.diverged, before))
        metrics = training.evaluate(hyperparameters, carry.state, *given, **options)
        return carry, jax.tree.map(jnp.asarray, metrics), turned_nan

    with setting.precision():
        hyperparameters, keys = _shapes(setting, names)
        prepare, per_seed, common, texts = None, (keys, ()), shared.tree, []
        if training.prepare is not None:
            prepare = _compile_prepare(training.prepare, options, setting)
            per_seed, common = (keys, jax.eval_shape(prepare, keys, shared.tree)), ()
            texts.append(prepare.lower(keys, shared.tree).as_text())
        begin = BlockProgram(start, setting, Arguments(hyperparameters, per_seed, common))
        params = None
        if training.params is not None:
            params = jax.jit(jax.vmap(jax.vmap(functools.partial(_params_of, training))))
            texts.append(params.lower(begin.output.state).as_text())
        per_lane = (begin.output, hyperparameters, jax.ShapeDtypeStruct(setting.shape, bool))
        index = jax.ShapeDtypeStruct((), jnp.int32)
        watch = jax.ShapeDtypeStruct((), bool)
        arguments = Arguments(per_lane, per_seed, (index, index, watch, common))
        leg = BlockProgram(advance, setting, arguments)
        return _Programs(prepare, begin, leg, params, "\n".join([*texts, begin.text, leg.text]))


def _compile_prepare(
    prepare: Callable[..., tuple], options: dict[str, Any], setting: Setting
) -> Any:
    def of_seed(key: jax.Array, shared: Tree) -> Tree:
        return jax.tree.map(jnp.asarray, tuple(prepare(key, *shared, **options)))

    if setting.shape.seeds > 1:
        return jax.jit(jax.vmap(of_seed, in_axes=(0, None)))
    return jax.jit(lambda keys, shared: jax.tree.map(lambda x: x[None], of_seed(keys[0], shared)))


def _params_of(training: Training, state: Tree) -> Tree:
    assert training.params is not None
    params = training.params(state)
    arrays("What params returns", params)
    return params


def _kinds(metrics: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes per lane; what is no dictionary of scalars and curves is refused."""
    if not isinstance(metrics, dict):
        raise TypeError(
            "A training function must return a dictionary of metrics, or a Fit of parameters and "
            f"such a dictionary, got {type(metrics).__name__}."
        )
    kinds = {}
    for name, leaf in metrics.items():
        shape = getattr(leaf, "shape", None)
        if shape is None or len(shape) > 3:
            raise ValueError(
                f"The metric {name!r} is neither a scalar nor a curve (n,): return larger arrays "
                "as the parameters of a Fit."
            )
        if not (leaf.dtype == bool or _is_real(leaf.dtype)):
            raise TypeError(
                f"The metric {name!r} is of dtype {leaf.dtype}: metrics are real numbers, as "
                "jnp.real or jnp.abs give of complex ones."
            )
        kinds[str(name)] = tuple(shape[2:])
    return kinds


def _holds_nan(tree: Tree) -> list[jax.Array]:
    """Return for every array of floats whether it holds a NaN."""
    leaves = jax.tree.leaves(tree)
    return [jnp.isnan(x).any() for x in leaves if jnp.issubdtype(x.dtype, jnp.inexact)]


def _is_real(dtype: Any) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.floating))
