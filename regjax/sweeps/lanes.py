"""The lanes engine: a pure training function, mapped over a grid in one compiled program.

A training function takes `(hyperparameters, key, *shared)` and returns a tree of arrays.
`hyperparameters` is a dictionary of scalars; the engine maps it over the lanes of the grid.
The key is one per seed and is not mapped within a program, so whatever depends on it alone
(split, batches, initialisation, the Gram matrix) is computed once for all lanes and never
copied per lane. Shared arguments (data) are passed through unbatched.

Seeds run one after the other, or on a CPU one per worker thread: compiled programs release
the interpreter, and one program per core beats one twice as wide.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from regjax._arrays import Tree

TrainingFunction = Callable[..., Tree]


class LaneRun(NamedTuple):
    """What `run_lanes` returns.

    Attributes:
        outputs: the training function's output as NumPy arrays with two leading axes,
            (n_seeds, n_lanes).
        compile_seconds: tracing and compiling; 0 if the program was there already.
        run_seconds: running every lane.
    """

    outputs: Tree
    compile_seconds: float
    run_seconds: float


def run_lanes(
    train: TrainingFunction,
    hyperparameters: Mapping[str, Sequence[float] | np.ndarray],
    seeds: int | Sequence[int],
    *shared: Tree,
    dtype: str = "float32",
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> LaneRun:
    """Train every lane of the grid under every seed.

    Args:
        train: pure function of `(hyperparameters, key, *shared)`. As with `jax.jit`, the
            same function object is traced once per set of shapes.
        hyperparameters: arrays of one length by name; entry i of each makes up lane i.
        seeds: how many, or which; one run of all lanes for each.
        shared: unbatched arguments, NumPy or JAX arrays.
        dtype: precision of the hyperparameters, and of 64-bit mode for the program.
        workers: threads; by default one per core on a CPU and one on other devices.
        progress: called with the number of lanes just finished.

    Raises:
        ValueError: if the grid is empty or its arrays differ in length.

    Example:
        >>> def train(hyperparameters, key):
        ...     return {"doubled": 2 * hyperparameters["lambda_"]}
        >>> run = run_lanes(train, {"lambda_": [1.0, 2.0, 3.0]}, seeds=[0, 1])
        >>> print(run.outputs["doubled"])
        [[2. 4. 6.]
         [2. 4. 6.]]
    """
    seeds = range(seeds) if isinstance(seeds, int) else seeds
    lanes = {name: np.asarray(values, dtype) for name, values in hyperparameters.items()}
    shapes = {name: values.shape for name, values in lanes.items()}
    if not lanes or len(set(shapes.values())) != 1 or len(next(iter(shapes.values()))) != 1:
        raise ValueError(f"Hyperparameters must be lists of one length, got shapes {shapes}.")
    n_lanes = next(iter(lanes.values())).size
    if n_lanes == 0 or not seeds:
        raise ValueError("The grid is empty: give at least one strength and one seed.")
    if workers is None:
        workers = _n_cores() if jax.default_backend() == "cpu" else 1
    x64 = dtype == "float64"

    started = time.perf_counter()
    with jax.enable_x64(x64):
        keys = [jax.random.key(seed) for seed in seeds]
        arguments = jax.tree.map(jax.numpy.asarray, (lanes, keys[0], *shared))
        shape = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arguments)
        compile_ = _compile if _hashes(train) else _compile.__wrapped__
        program = compile_(train, _Hashable(shape))
    compile_seconds = time.perf_counter() - started

    def run_seed(key: jax.Array) -> Tree:
        # Precision is a setting of the thread.
        with jax.enable_x64(x64):
            return jax.tree.map(np.asarray, program(arguments[0], key, *arguments[2:]))

    started = time.perf_counter()
    results: list[Tree] = [None] * len(seeds)
    with concurrent.futures.ThreadPoolExecutor(min(workers, len(seeds))) as pool:
        futures = {pool.submit(run_seed, key): i for i, key in enumerate(keys)}
        try:
            for future in concurrent.futures.as_completed(futures):
                results[futures[future]] = future.result()
                if progress is not None:
                    progress(n_lanes)
        except BaseException:
            # Seeds still waiting are dropped; the one at work cannot be stopped.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    outputs = jax.tree.map(lambda *seed: np.stack(seed), *results)
    return LaneRun(outputs, compile_seconds, time.perf_counter() - started)


class _Hashable:
    """A tree of shapes that can be the key of a cache."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        leaves, structure = jax.tree.flatten(tree)
        self._key = (structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashable) and self._key == other._key


def _hashes(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _n_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)


@functools.lru_cache(maxsize=32)
def _compile(train: TrainingFunction, shape: _Hashable) -> Callable[..., Any]:
    n_shared = len(shape.tree) - 2
    mapped = jax.vmap(train, in_axes=(0, None, *[None] * n_shared))
    return jax.jit(mapped).lower(*shape.tree).compile()
