"""Lanes per second on an accelerator, where there is one, by the number of lanes at a time."""

from __future__ import annotations

import dataclasses
import importlib.util
import statistics
import time
from typing import Any

import jax
from rich.console import Console

from benchmarks.paths.remote import Remote, StoppedError
from benchmarks.training.problem import Problem, Size, lambdas
from benchmarks.training.race import LIMIT, Rules
from benchmarks.training.regjax_ways import function
from regjax.sweeps import Grid, run_sweep

_LOOP_LANES = 2


class Lanes:
    """A process that sweeps on the device that JAX takes by default."""

    def __init__(self, regularizer: str, size: Size) -> None:
        self._train, self._shared = function(regularizer), Problem(size).shared()

    def device(self) -> str:
        """Return the kind of the device, or "" for a CPU."""
        return "" if jax.default_backend() == "cpu" else jax.devices()[0].device_kind

    def rate(self, width: int, runs: int) -> float:
        """Return the lanes per second of one chunk of this width, the median of warm runs."""
        grid = Grid.product(lambda_=lambdas(width).tolist())
        rates = []
        for _ in range(runs + 1):
            started = time.perf_counter()
            run_sweep(self._train, grid, *self._shared, metric="loss", width=width)
            rates.append(width / (time.perf_counter() - started))
        return statistics.median(rates[1:])


class TorchLoop:
    """A process that trains lane after lane on the device that PyTorch has."""

    def __init__(self, regularizer: str, size: Size) -> None:
        import torch

        from benchmarks.training.torch_ways import Loop

        if not torch.cuda.is_available():
            raise RuntimeError("PyTorch has no device")
        problem = Problem(dataclasses.replace(size, n_lambdas=_LOOP_LANES))
        self._loop = Loop(problem, regularizer, "cuda")

    def rate(self, runs: int) -> float:
        """Return lanes per second, the median of warm runs."""
        rates = []
        for _ in range(runs + 1):
            started = time.perf_counter()
            self._loop()
            rates.append(_LOOP_LANES / (time.perf_counter() - started))
        return statistics.median(rates[1:])


def accelerator(size: Size, rules: Rules, console: Console) -> dict[str, Any]:
    """Return lanes per second by width, and those of the loop; nothing where there is a CPU."""
    found: dict[str, Any] = {}
    if importlib.util.find_spec("torch") is not None:
        remote = Remote(TorchLoop, "adamw", size)
        try:
            found["loop"] = remote.call("rate", rules.firsts, limit=LIMIT)
        except StoppedError as stop:
            console.print("PyTorch", str(stop))
        finally:
            remote.close()
    remote = Remote(Lanes, "adamw", size)
    try:
        found |= {"device": remote.call("device", limit=LIMIT), "widths": {}}
        for width in size.widths if found["device"] else ():
            found["widths"][str(width)] = remote.call("rate", width, rules.firsts, limit=LIMIT)
            console.print(width, found["widths"][str(width)])
    except StoppedError as stop:
        found["note"] = str(stop)
    finally:
        remote.close()
    return found
