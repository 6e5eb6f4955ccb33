"""`run_lanes`: a grid under every seed, in memory, with whatever the function returns."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from regjax._arrays import Tree
from regjax._messages import quoted
from regjax.sweeps.checks import MOST, function, one_of, seed_list, whole
from regjax.sweeps.checks import arrays as check_arrays
from regjax.sweeps.lanes.compiled import Arguments, Hashable, Setting, Shape
from regjax.sweeps.lanes.programs import trace_function
from regjax.sweeps.lanes.training import TrainingFunction
from regjax.sweeps.lanes.width import default_workers


class LaneRun(NamedTuple):
    """What `run_lanes` returns.

    Attributes:
        outputs: the training function's output as NumPy arrays with two leading axes,
            (n_seeds, n_lanes).
        compile_seconds: tracing and compiling; next to nothing if the program was there already.
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
    width: int | None = None,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> LaneRun:
    """Train every lane of the grid under every seed, and return all that the function returns.

    The same programs as in `run_sweep`, for grids whose whole output fits the memory; that one
    adds tables, checkpoints and what else a long sweep needs.

    Args:
        train: pure function of `(hyperparameters, key, *shared)`; it returns any tree of arrays.
            As with `jax.jit`, the same function object is traced once per set of shapes.
        hyperparameters: arrays of one length by name; entry i of each makes up lane i.
        seeds: how many, or which, distinct; one run of all lanes for each.
        shared: unbatched arguments, NumPy or JAX arrays.
        dtype: precision of the hyperparameters, and of 64-bit mode for the program.
        width: lanes of a seed at a time; by default all of them.
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
    function("train", train)
    one_of("dtype", dtype, ("float32", "float64"))
    if progress is not None:
        function("progress", progress)
    width, workers = (
        None if value is None else whole(name, value, 1)
        for name, value in (("width", width), ("workers", workers))
    )
    for i, tree in enumerate(shared):
        check_arrays(f"shared[{i}]", tree)
    seeds = seed_list(seeds)
    lanes = _columns(hyperparameters, dtype)
    shapes = {name: values.shape for name, values in lanes.items()}
    if not lanes or len(set(shapes.values())) != 1 or len(next(iter(shapes.values()))) != 1:
        raise ValueError(f"Hyperparameters must be lists of one length, got shapes {shapes}.")
    n_lanes = next(iter(lanes.values())).size
    if n_lanes == 0:
        raise ValueError(f"The grid is empty: give at least one value of {', '.join(lanes)}.")
    if n_lanes * len(seeds) > MOST:
        raise ValueError(
            f"The grid would hold more than {MOST:,} lanes: {n_lanes:,} under {len(seeds):,} seeds."
        )
    width = min(width or n_lanes, n_lanes)
    devices = jax.local_devices()[:1]
    workers = workers or default_workers(devices)
    setting = Setting(Shape(1, width), dtype, tuple(devices))

    started = time.perf_counter()
    with setting.precision():
        arrays = jax.tree.map(jax.numpy.asarray, shared)
    program = trace_function(train, "{}", setting, tuple(lanes), Hashable(arrays))
    program.compile()
    compile_seconds = time.perf_counter() - started

    def run_part(seed: int, start: int) -> Tree:
        # The last part is filled up with the last lane.
        places = np.minimum(np.arange(start, start + width), n_lanes - 1)
        with setting.precision():
            part = {name: jax.numpy.asarray(values[places][None]) for name, values in lanes.items()}
            output = program(Arguments(part, setting.keys([seed]), arrays))
            return jax.tree.map(lambda leaf: np.asarray(leaf)[0, : n_lanes - start], output)

    started = time.perf_counter()
    starts = range(0, n_lanes, width)
    parts = [(seed, start) for seed in seeds for start in starts]
    results: list[Tree] = [None] * len(parts)
    with concurrent.futures.ThreadPoolExecutor(min(workers, len(parts))) as pool:
        futures = {pool.submit(run_part, *part): i for i, part in enumerate(parts)}
        try:
            for future in concurrent.futures.as_completed(futures):
                results[futures[future]] = future.result()
                if progress is not None:
                    progress(min(width, n_lanes - parts[futures[future]][1]))
        except BaseException:
            # Parts still waiting are dropped; the one at work cannot be stopped.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    n_parts = len(starts)
    rows = [
        jax.tree.map(lambda *found: np.concatenate(found), *results[i : i + n_parts])
        for i in range(0, len(results), n_parts)
    ]
    outputs = jax.tree.map(lambda *seed: np.stack(seed), *rows)
    return LaneRun(outputs, compile_seconds, time.perf_counter() - started)


def _columns(hyperparameters: object, dtype: str) -> dict[str, np.ndarray]:
    """Return the arrays of the lanes by name."""
    if not isinstance(hyperparameters, Mapping):
        raise ValueError(
            f"hyperparameters must be a dictionary of lists by name, got {quoted(hyperparameters)}."
        )
    columns = {}
    for name, values in hyperparameters.items():
        try:
            array = np.asarray(values)
        except ValueError:
            array = np.asarray("ragged")
        if not (array.dtype.kind in "biuf" or array.dtype == jax.numpy.bfloat16):
            raise ValueError(
                f"hyperparameters[{name!r}] must be a list of numbers, got {quoted(values)}."
            )
        columns[name] = array.astype(dtype)
    return columns
