"""Small slow sweeps, and processes that run them: started to be killed.

`python -m benchmarks.faults.sweeps run NAME OUT` runs a sweep into the folder OUT, or goes on with
it; `killed NAME OUT SEED KILLS` kills it at random moments, at least so often, until it is done.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regjax.sweeps import (
    EarlyStopping,
    Fit,
    Grid,
    Progress,
    SuccessiveHalving,
    SweepInterrupted,
    SweepRun,
    Training,
    run_sweep,
)

_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(12, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5]) + 0.1 * _RNG.normal(size=12)).astype(np.float32)
N_STEPS = 12


def _nap(x: jax.Array, seconds: float) -> jax.Array:
    """Return `x` when that time has passed."""

    def wait(x: Any) -> np.ndarray:
        time.sleep(seconds)
        return np.asarray(x)

    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return jax.pure_callback(wait, shape, x, vmap_method="broadcast_all")


def _init(hp: Any, key: jax.Array, X: jax.Array, y: jax.Array) -> dict[str, jax.Array]:
    return {"w": jax.random.normal(key, (X.shape[1],)), "m": jnp.zeros(X.shape[1])}


def _step(hp: Any, state: Any, index: Any, key: jax.Array, X: jax.Array, y: jax.Array) -> Any:
    gradient = X.T @ (X @ state["w"] - y) / len(y) + hp["lambda_"] * state["w"]
    m = 0.9 * state["m"] + gradient
    return {"w": _nap(state["w"] - hp["learning_rate"] * m, 0.002), "m": m}


def _evaluate(hp: Any, state: Any, key: jax.Array, X: jax.Array, y: jax.Array) -> dict[str, Any]:
    return {"loss": jnp.mean((X @ state["w"] - y) ** 2)}


TRAINING = Training(_init, _step, _evaluate, n_steps=N_STEPS, evaluate_every=2, checkpoint_every=2)


def function(hp: Any, key: jax.Array, X: jax.Array, y: jax.Array) -> Fit:
    """The same in one go."""
    return TRAINING.as_function()(hp, key, X, y)


SWEEPS: dict[str, tuple[Any, dict[str, Any]]] = {
    "pure": (function, {}),
    "stepped": (TRAINING, {}),
    "stopping": (TRAINING, {"stopping": EarlyStopping(1, 1e-2)}),
    "halving": (TRAINING, {"stopping": SuccessiveHalving(2, 2)}),
}


# So many that there is time for thirty kills.
_STRENGTHS = {"pure": 40, "stepped": 12, "stopping": 16, "halving": 20}


def grid(n_lambdas: int) -> Grid:
    """Return six lanes for every strength."""
    lambdas = [0.01 * 1.2**k for k in range(n_lambdas)]
    return Grid.product(lambda_=lambdas, learning_rate=[0.02, 0.4], seed=range(3))


def sweep(name: str, out: pathlib.Path, **options: Any) -> SweepRun:
    """Run the sweep of that name, or go on with it."""
    train, rules = SWEEPS[name]
    given = {
        "grid": grid(_STRENGTHS[name]),
        "shared": (X, Y),
        "train": train,
        "resume": True,
        "keep": 3,
        "width": 4,
        "workers": 2,
        **rules,
        **options,
    }
    train, lanes, shared = (given.pop(name) for name in ("train", "grid", "shared"))
    return run_sweep(train, lanes, *shared, metric="loss", out=out, **given)


class Process:
    """A function in a process of its own, forked before JAX has started anything.

    It gets a function to tell something with; what it tells comes out of `heard`, at the end
    with an error, if any.
    """

    def __init__(self, function: Callable[[Callable[[Any], None]], object]) -> None:
        ours, its = os.pipe()
        self.number = os.fork()
        if self.number == 0:
            os.close(ours)
            os._exit(_run_forked(function, its))
        os.close(its)
        self._heard = os.fdopen(ours)

    def heard(self) -> Any:
        """Return what it tells next, or None if it has ended."""
        line = self._heard.readline()
        return json.loads(line) if line.endswith("\n") else None

    def all_heard(self) -> list[Any]:
        """Return all that it tells until it ends."""
        return list(iter(self.heard, None))

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.number, number)

    def end(self) -> int:
        """Wait until it ends, and return its status: that of its exit, or less than 0 if killed."""
        _, status = os.waitpid(self.number, 0)
        self._heard.close()
        return os.waitstatus_to_exitcode(status)


def _run_forked(function: Callable[[Callable[[Any], None]], object], pipe: int) -> int:
    def tell(what: Any) -> None:
        # The listener may have gone.
        with contextlib.suppress(BrokenPipeError):
            os.write(pipe, (json.dumps(what) + "\n").encode())

    try:
        function(tell)
    except SweepInterrupted:
        return 3
    except Exception as error:
        if not isinstance(error, ValueError):
            traceback.print_exc()
        tell({"error": type(error).__name__, "text": str(error)})
        return 1
    return 0


def run(name: str, out: str) -> int:
    """Run a sweep, printing how far it is; return 3 after Ctrl-C."""

    def listen(progress: Progress) -> None:
        print(json.dumps(progress), flush=True)

    try:
        sweep(name, pathlib.Path(out), progress=listen)
    except SweepInterrupted:
        return 3
    return 0


def kill_at_random(name: str, out: pathlib.Path, seed: int, at_least: int) -> tuple[int, int]:
    """Kill a sweep until it is done; return how often, and the status of the last process."""
    rng, kills = random.Random(seed), 0
    while True:
        process = Process(functools.partial(_tell_progress, name, out))
        if kills < at_least and rng.random() < 0.3:
            # Before the first leg has ended, most likely.
            time.sleep(rng.uniform(0.0, 0.6))
        else:
            process.heard()
            # Soon, so that enough is left to kill again, however fast the machine is.
            time.sleep(rng.uniform(0.0, 0.01 if kills < at_least else 0.06))
        process.send(signal.SIGKILL)
        status = process.end()
        if status >= 0:
            return kills, status
        kills += 1


def _tell_progress(name: str, out: pathlib.Path, tell: Callable[[Any], None]) -> None:
    sweep(name, out, progress=tell)


def killed(name: str, out: str, seed: str, at_least: str) -> int:
    """Kill a sweep at random moments until it is done, and print how often that was."""
    kills, status = kill_at_random(name, pathlib.Path(out), int(seed), int(at_least))
    print(json.dumps({"kills": kills, "status": status}))
    return status


if __name__ == "__main__":
    sys.exit({"run": run, "killed": killed}[sys.argv[1]](*sys.argv[2:]))
