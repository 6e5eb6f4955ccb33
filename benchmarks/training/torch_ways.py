"""The trainings in PyTorch, as its users write them."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.training.problem import (
    BETA_1,
    BETA_2,
    EPS,
    HIDDEN,
    LEARNING_RATE,
    Problem,
)

_PROCESSES = 2
_OPTIMIZERS = {"adam_l2": torch.optim.Adam, "adamw": torch.optim.AdamW}


class Loop:
    """One strength after the other.

    Args:
        problem: data, initial weights and batches.
        regularizer: "adam_l2" or "adamw".
        device: as PyTorch calls it.
        options: of the optimizer.
    """

    def __init__(
        self, problem: Problem, regularizer: str, device: str = "cpu", **options: Any
    ) -> None:
        self._kind, self._options, self._device = _OPTIMIZERS[regularizer], options, device
        self._lambdas = problem.lambdas
        self._X, self._y, self._rows = _tensors(problem, device)
        self._initial = problem.initial

    def __call__(self) -> np.ndarray:
        return np.array([self.train(lambda_) for lambda_ in self._lambdas])

    def train(self, lambda_: float) -> float:
        """Return the final loss at one strength."""
        dtype, initial = self._X.dtype, self._initial
        network = nn.Sequential(nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
        network = network.to(self._device, dtype)
        with torch.no_grad():
            for leaf, value in zip(network.parameters(), initial.values(), strict=True):
                leaf.copy_(torch.tensor(value))
        optimizer = self._kind(
            network.parameters(),
            lr=LEARNING_RATE,
            betas=(BETA_1, BETA_2),
            eps=EPS,
            weight_decay=float(lambda_),
            **self._options,
        )
        for rows in self._rows:
            optimizer.zero_grad()
            functional.cross_entropy(network(self._X[rows]), self._y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            return functional.cross_entropy(network(self._X), self._y).item()


def _fused(problem: Problem, regularizer: str) -> Loop:
    return Loop(problem, regularizer, fused=True)


def _tensors(problem: Problem, device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    kinds = ((problem.X, None), (problem.y, torch.int64), (problem.rows, torch.int64))
    X, y, rows = (torch.tensor(array, dtype=dtype, device=device) for array, dtype in kinds)
    return X, y, rows


class _Served:
    """The loop of one worker process, made when the process starts."""

    loop: Loop

    @classmethod
    def start(cls, problem: Problem, regularizer: str) -> None:
        torch.set_num_threads(1)
        cls.loop = _fused(problem, regularizer)

    @classmethod
    def train(cls, lambdas: Sequence[float]) -> list[float]:
        return [cls.loop.train(lambda_) for lambda_ in lambdas]


def _processes(problem: Problem, regularizer: str) -> Callable[[], np.ndarray]:
    """Return the fused loop in processes of one thread each, which are at work already."""
    context = multiprocessing.get_context("spawn")
    pools = [
        concurrent.futures.ProcessPoolExecutor(1, context, _Served.start, (problem, regularizer))
        for _ in range(_PROCESSES)
    ]
    for ready in [pool.submit(_Served.train, []) for pool in pools]:
        ready.result()

    def run() -> np.ndarray:
        parts = [problem.lambdas[i::_PROCESSES] for i in range(_PROCESSES)]
        futures = [pool.submit(_Served.train, p) for pool, p in zip(pools, parts, strict=True)]
        losses = np.zeros(len(problem.lambdas))
        for i, future in enumerate(futures):
            losses[i::_PROCESSES] = future.result()
        return losses

    return run


def _vmap(problem: Problem, regularizer: str) -> Callable[[], np.ndarray]:
    """Return all strengths at once: mapped gradients, and Adam by hand on stacked weights."""
    X, y, all_rows = _tensors(problem, "cpu")

    def loss(w: dict[str, torch.Tensor], X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        hidden = functional.relu(functional.linear(X, w["w0"], w["b0"]))
        return functional.cross_entropy(functional.linear(hidden, w["w1"], w["b1"]), y)

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None))
    losses = torch.func.vmap(loss, in_dims=(0, None, None))

    def run() -> np.ndarray:
        n = len(problem.lambdas)
        w = {k: torch.tensor(a).expand(n, *a.shape).clone() for k, a in problem.initial.items()}
        strengths = {
            name: torch.tensor(problem.lambdas, dtype=X.dtype).reshape(n, *[1] * (leaf.ndim - 1))
            for name, leaf in w.items()
        }
        m = {name: torch.zeros_like(leaf) for name, leaf in w.items()}
        v = {name: torch.zeros_like(leaf) for name, leaf in w.items()}
        with torch.no_grad():
            for step, rows in enumerate(all_rows, 1):
                gradient = gradients(w, X[rows], y[rows])
                for name, leaf in w.items():
                    g = gradient[name]
                    if regularizer == "adam_l2":
                        g = torch.addcmul(g, strengths[name], leaf)
                    else:
                        leaf.mul_(1 - LEARNING_RATE * strengths[name])
                    m[name].lerp_(g, 1 - BETA_1)
                    v[name].mul_(BETA_2).addcmul_(g, g, value=1 - BETA_2)
                    scale = (v[name] / (1 - BETA_2**step)).sqrt_().add_(EPS)
                    leaf.addcdiv_(m[name], scale, value=-LEARNING_RATE / (1 - BETA_1**step))
            return losses(w, X, y).numpy()

    return run


WAYS: dict[str, Callable[[Problem, str], Callable[[], np.ndarray]]] = {
    "PyTorch, loop": Loop,
    "PyTorch, fused": _fused,
    "PyTorch, fused, 2 processes": _processes,
    "PyTorch, torch.func.vmap": _vmap,
}
