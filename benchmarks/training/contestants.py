"""Everybody who takes part, each in a process of its own."""

from __future__ import annotations

import importlib
import importlib.util
import time
from typing import Any

import jax

from benchmarks.training.problem import Problem, Size

PYTORCH = ("PyTorch, loop", "PyTorch, fused", "PyTorch, fused, 2 processes")
OURS = ("regjax, function", "regjax, function, out", "regjax, Training", "regjax, Training, out")
PLAIN = (
    "JAX, scan",
    "JAX, vmap of 8",
    "JAX, vmap of 16",
    "JAX, vmap of 64",
    "JAX, scan, 2 threads",
    "JAX, vmap of 8, 2 threads",
)
EVERYBODY = (*PYTORCH, "PyTorch, torch.func.vmap", "JAX, a step in a loop", *PLAIN, *OURS)

_MODULES = {"PyTorch": "torch_ways", "JAX": "jax_ways", "regjax": "regjax_ways"}


def present() -> list[str]:
    """Return who takes part on this machine."""
    torch = importlib.util.find_spec("torch") is not None
    return [who for who in EVERYBODY if torch or not who.startswith("PyTorch")]


def way(who: str) -> Any:
    """Return `(problem, regularizer) -> run`, and `run() -> losses` of its strengths."""
    module = importlib.import_module(f"benchmarks.training.{_MODULES[who.split(',')[0]]}")
    return module.WAYS[who]


class Contestant:
    """One who trains, with data, where it is used; nothing is compiled before the first run."""

    def __init__(self, who: str, regularizer: str, size: Size, dtype: str = "float32") -> None:
        if who.startswith("JAX"):
            # `run_sweep` is told the precision.
            jax.config.update("jax_enable_x64", dtype == "float64")
        self._run = way(who)(Problem(size, dtype), regularizer)

    def ready(self) -> None:
        """Do nothing: data are there and libraries imported when this is answered."""

    def seconds(self) -> float:
        """Return the time of all trainings."""
        started = time.perf_counter()
        self._run()
        return time.perf_counter() - started

    def losses(self) -> list[float]:
        """Return the final loss at every strength."""
        return [float(loss) for loss in self._run()]
