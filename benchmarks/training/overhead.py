"""What `run_sweep` adds to its compiled program: the same chunks with and without the engine."""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from rich.console import Console

from benchmarks.paths.remote import Remote, StoppedError
from benchmarks.training.problem import Problem, Size, lambdas
from benchmarks.training.race import LIMIT, Rules
from benchmarks.training.regjax_ways import function, training
from regjax.sweeps import Grid, SweepRun, Training, run_sweep, show_progress
from regjax.sweeps.lanes.chunks import make_chunks
from regjax.sweeps.lanes.compiled import Arguments, Hashable, Setting, Shape
from regjax.sweeps.lanes.legs import GroupJob, Programs
from regjax.sweeps.lanes.programs import Block, trace_function

TINY, REALISTIC, STEPPED = "tiny function", "perceptron, function", "perceptron, Training"
MODELS = (TINY, REALISTIC, STEPPED)
_LOOKS = 10


def model(name: str, size: Size) -> tuple[Any, Sequence[Any]]:
    """Return what is trained, and what lanes share."""
    if name == TINY:
        return _tiny, ()
    problem = Problem(size)
    if name == REALISTIC:
        return function("adamw"), problem.shared()
    steps = len(problem.rows)
    return training("adamw", steps, -(-steps // _LOOKS)), problem.shared()


def _tiny(hp: Any, key: Any) -> dict[str, Any]:
    def step(_: Any, w: Any) -> Any:
        return w - 0.1 * (w - 1 + hp["lambda_"] * w)

    return {"loss": jnp.sum(jax.lax.fori_loop(0, 10, step, jnp.zeros(3)) ** 2)}


class Overhead:
    """A process that runs the chunks of a sweep alone, and the sweep in memory and on disk."""

    def __init__(self, name: str, size: Size) -> None:
        self._train, self._shared = model(name, size)
        self._grid = Grid.product(lambda_=lambdas(size.n_lanes).tolist())
        self._scratch, self._numbers = pathlib.Path(tempfile.mkdtemp()), itertools.count()
        plan = self._sweep(None).plan
        shape, self._workers = Shape(*plan["shapes"]["0"]), plan["workers"]
        chunks = make_chunks(0, range(size.n_lanes), self._grid.seeds, shape)
        blocks = [chunk.block(self._grid, "float32") for chunk in chunks]
        self._chunks = (
            self._of_stepped(shape, blocks)
            if isinstance(self._train, Training)
            else self._of_function(shape, blocks)
        )
        self._run_bare()

    def plan(self) -> dict[str, int]:
        """Return the numbers of chunks and of threads."""
        return {"chunks": len(self._chunks), "workers": self._workers}

    def seconds(self) -> dict[str, float]:
        """Return the seconds of one run of each kind, and the share of a sweep outside of legs."""
        ways: dict[str, Callable[[], Any]] = {
            "bare": self._run_bare,
            "memory": lambda: self._sweep(None),
            "disk": lambda: self._sweep(self._scratch / str(next(self._numbers))),
        }
        found = {}
        for name, way in ways.items():
            started = time.perf_counter()
            run = way()
            found[name] = time.perf_counter() - started
            if isinstance(run, SweepRun):
                in_legs = run.times.filter(pl.col("what") == "run")["seconds"].sum()
                found[f"{name}, outside"] = 1 - in_legs / (self._workers * found[name])
        return found

    def _sweep(self, out: pathlib.Path | None) -> SweepRun:
        given = {"metric": "loss", "out": out, "progress": show_progress()}
        return run_sweep(self._train, self._grid, *self._shared, **given)

    def _run_bare(self) -> None:
        with concurrent.futures.ThreadPoolExecutor(self._workers) as pool:
            list(pool.map(lambda chunk: jax.block_until_ready(chunk()), self._chunks))

    def _of_function(self, shape: Shape, blocks: Sequence[Block]) -> list[Callable[[], Any]]:
        """Return one call per chunk of the program that the engine made; arguments are ready."""
        shared = jax.tree.map(jnp.asarray, tuple(self._shared))
        setting = Setting(shape, "float32", tuple(jax.local_devices()))
        program = trace_function(self._train, "{}", setting, ("lambda_",), Hashable(shared))

        def of_block(block: Block) -> Callable[[], Any]:
            lanes = jax.tree.map(jnp.asarray, block.hyperparameters)
            arguments = Arguments(lanes, setting.keys(block.seeds), shared)
            return lambda: program(arguments)

        return [of_block(block) for block in blocks]

    def _of_stepped(self, shape: Shape, blocks: Sequence[Block]) -> list[Callable[[], Any]]:
        """Return one call per chunk of start and legs, whose metrics come to the host."""
        job = GroupJob(self._train, {}, ("lambda_",), self._shared, "float32")
        program = Programs([job], jax.local_devices(), freezes=False).get(0, shape)
        stops = [0, *program.stops(0, ())]
        active = np.ones(shape, bool)

        def of_block(block: Block) -> Any:
            carry = program.begin(block)
            for first, last in itertools.pairwise(stops):
                carry, _ = program.leg(carry, block, active, first, last)
            return carry

        return [functools.partial(of_block, block) for block in blocks]


def overhead(size: Size, rules: Rules, console: Console) -> dict[str, Any]:
    """Return the median seconds of each kind, and the median ratios of a round."""
    found: dict[str, Any] = {}
    for name in MODELS:
        remote = Remote(Overhead, name, size)
        try:
            plan = remote.call("plan", limit=LIMIT)
            rounds: list[dict[str, float]] = []
            while len(rounds) < rules.rounds:
                rounds.append(remote.call("seconds", limit=LIMIT))
                took = sum(rounds[-1][way] for way in ("bare", "memory", "disk"))
                if took * (len(rounds) + 1) > 3 * rules.budget:
                    break
        except StoppedError as stop:
            found[name] = {"note": str(stop)}
            continue
        finally:
            remote.close()
        medians = {way: statistics.median(r[way] for r in rounds) for way in rounds[0]}
        shares = {
            f"{way} / bare": statistics.median(r[way] / r["bare"] for r in rounds)
            for way in ("memory", "disk")
        }
        found[name] = {**plan, **medians, **shares, "runs": len(rounds)}
        console.print(name, found[name])
    return found
