"""One training at many strengths: what everybody is given, and the same in plain NumPy.

A perceptron with one hidden layer on the digits, batches of 64, Adam at a constant rate; weights
and biases all bear the penalty, and lanes differ in its strength alone.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

HIDDEN, BATCH, LEARNING_RATE = 128, 64, 1e-3
BETA_1, BETA_2, EPS = 0.9, 0.999, 1e-8
REGULARIZERS = ("adam_l2", "adamw")


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is trained: strengths and epochs of the races, lanes of the rest."""

    n_lambdas: int = 64
    epochs: int = 20
    n_lanes: int = 1_000
    lane_counts: tuple[int, ...] = (64, 256, 1_024, 4_096)
    widths: tuple[int, ...] = (1, 4, 16, 64, 256, 1_024, 4_096, 16_384)


QUICK = Size(4, 1, 16, (8, 16), (1, 4))


class Problem:
    """Data, strengths, and the initial weights and batches that all lanes share."""

    def __init__(self, size: Size, dtype: str = "float32") -> None:
        X, y = load_digits(return_X_y=True)
        rng = np.random.default_rng(0)
        self.dtype, self.X, self.y = dtype, (X / 16).astype(dtype), y.astype(np.int32)
        n_batches = len(y) // BATCH
        orders = [rng.permutation(len(y))[: n_batches * BATCH] for _ in range(size.epochs)]
        self.rows = np.concatenate(orders).reshape(-1, BATCH).astype(np.int32)
        self.initial: dict[str, np.ndarray] = {}
        for layer, (n_in, n_out) in enumerate(((64, HIDDEN), (HIDDEN, 10))):
            bound = n_in**-0.5
            weight, bias = (
                rng.uniform(-bound, bound, (n_out, n_in)),
                rng.uniform(-bound, bound, n_out),
            )
            self.initial |= {f"w{layer}": weight.astype(dtype), f"b{layer}": bias.astype(dtype)}
        self.lambdas = lambdas(size.n_lambdas)

    def shared(self) -> tuple[Any, ...]:
        """Return what lanes share."""
        return self.X, self.y, self.rows, self.initial


def lambdas(n: int) -> np.ndarray:
    """Return that many strengths."""
    return np.geomspace(1e-5, 1.0, n)


@functools.cache
def reference(size: Size, regularizer: str) -> np.ndarray:
    """Return the final training losses, in float64 and by hand."""
    problem = Problem(size, "float64")
    return np.array([_train(problem, regularizer, lambda_) for lambda_ in problem.lambdas])


def _train(problem: Problem, regularizer: str, lambda_: float) -> float:
    w = dict(problem.initial)
    m = {name: np.zeros_like(leaf) for name, leaf in w.items()}
    v = dict(m)
    for step, rows in enumerate(problem.rows, 1):
        gradient = _loss_and_gradient(w, problem.X[rows], problem.y[rows])[1]
        for name, leaf in w.items():
            g = gradient[name] + (lambda_ * leaf if regularizer == "adam_l2" else 0)
            m[name] = BETA_1 * m[name] + (1 - BETA_1) * g
            v[name] = BETA_2 * v[name] + (1 - BETA_2) * g**2
            scale = np.sqrt(v[name] / (1 - BETA_2**step)) + EPS
            change = m[name] / (1 - BETA_1**step) / scale
            change = change + (lambda_ * leaf if regularizer == "adamw" else 0)
            w[name] = leaf - LEARNING_RATE * change
    return _loss_and_gradient(w, problem.X, problem.y)[0]


def _loss_and_gradient(
    w: dict[str, np.ndarray], X: np.ndarray, y: np.ndarray
) -> tuple[float, dict[str, np.ndarray]]:
    before = X @ w["w0"].T + w["b0"]
    hidden = np.maximum(before, 0)
    logits = hidden @ w["w1"].T + w["b1"]
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_shares = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    each = np.arange(len(y))
    above = np.exp(log_shares)
    above[each, y] -= 1
    above /= len(y)
    below = (above @ w["w1"]) * (before > 0)
    gradient = {
        "w0": below.T @ X,
        "b0": below.sum(axis=0),
        "w1": above.T @ hidden,
        "b1": above.sum(axis=0),
    }
    return float(-log_shares[each, y].mean()), gradient
