"""The cost of `regjax.transforms.monitor` beside the same training step without it.

`python -m benchmarks.monitor` trains a perceptron of about a million weights, plain and
monitored, in turn, in one process, and rewrites `benchmarks/monitor.md`.
"""

from __future__ import annotations

import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console

from benchmarks.machine import describe
from regjax import L1
from regjax.losses import softmax_loss
from regjax.transforms import adamw, monitor, prox_adam

WIDTHS = (784, 1024, 256, 10)
BATCH = 64
OPTIMIZERS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "adamw": lambda: adamw(1e-3, 0.1),
    "prox_adam, L1": lambda: prox_adam(1e-3, L1(1e-4)),
}
EVERY = (1, 10, 50, 100)
EVERY_COLUMNS = [f"every={n}" for n in EVERY]
# Steps of one program before the next one's turn: a multiple of every `every`.
BLOCK = 100
ROUNDS = 4
# New buffers each time: where a program's buffers lie in memory may cost it a third.
PLACEMENTS = 5


def measure(name: str) -> dict[str, float]:
    """Return milliseconds per step by way, medians, and their ratios to the plain step."""
    make = OPTIMIZERS[name]
    ways = {"plain": make(), "plain, again": make()}
    ways |= {f"every={n}": monitor(make(), n) for n in EVERY}
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(BATCH, WIDTHS[0])), jnp.float32)
    y = jnp.asarray(rng.integers(0, WIDTHS[-1], BATCH))
    kept: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(PLACEMENTS):
        trainings = {way: _Training(optimizer, x, y) for way, optimizer in ways.items()}
        for training in trainings.values():
            training.block()
        for _ in range(ROUNDS):
            for way, training in trainings.items():
                kept[way].append(training.block() / BLOCK)
    result = {way: 1e3 * statistics.median(times) for way, times in kept.items()}
    for way in kept:
        ratios = [a / b for a, b in zip(kept[way], kept["plain"], strict=True)]
        result[f"{way} / plain"] = statistics.median(ratios)
        result[f"{way} / plain, fastest"] = min(kept[way]) / min(kept["plain"])
    return result


class _Training:
    """A compiled step with donated buffers, and where it stands."""

    def __init__(self, optimizer: optax.GradientTransformation, x: jax.Array, y: jax.Array) -> None:
        def loss(params: list) -> jax.Array:
            hidden = x
            for layer in params[:-1]:
                hidden = jax.nn.relu(hidden @ layer["kernel"] + layer["bias"])
            return softmax_loss(hidden @ params[-1]["kernel"] + params[-1]["bias"], y)

        def step(params: list, state: Any) -> tuple[list, Any]:
            updates, state = optimizer.update(jax.grad(loss)(params), state, params)
            return optax.apply_updates(params, updates), state

        params = initial(jax.random.key(0))
        self._step = jax.jit(step, donate_argnums=(0, 1))
        self._carry = (params, optimizer.init(params))

    def block(self) -> float:
        """Return the seconds that a block of steps takes."""
        started = time.perf_counter()
        for _ in range(BLOCK):
            self._carry = self._step(*self._carry)
        jax.block_until_ready(self._carry)
        return time.perf_counter() - started


def initial(key: jax.Array) -> list[dict[str, jax.Array]]:
    """Return the perceptron's parameters."""
    keys = jax.random.split(key, len(WIDTHS) - 1)
    return [
        {
            "kernel": jax.random.normal(k, (n, m)) * jnp.sqrt(2 / n),
            "bias": jnp.zeros(m),
        }
        for k, n, m in zip(keys, WIDTHS, WIDTHS[1:], strict=False)
    ]


def main() -> None:
    """Measure every optimizer and write the table."""
    console = Console()
    n_weights = sum(leaf.size for leaf in jax.tree.leaves(initial(jax.random.key(0))))
    lines = [
        "# What the monitor costs",
        "",
        f"{describe()}",
        f"Made by `python -m benchmarks.monitor`: a perceptron {'-'.join(map(str, WIDTHS))} of "
        f"{n_weights:,} parameters in float32, batches of {BATCH}, one compiled step with donated "
        f"buffers. Programs take turns of {BLOCK} steps, {ROUNDS} rounds in each of {PLACEMENTS} "
        "sets of fresh buffers; milliseconds per step "
        "and ratios to the plain step of the same round, medians; in brackets the ratio of the "
        "fastest rounds, which other users of the machine disturb less. `plain, again` is the "
        "plain step a second time: it says how far to trust the ratios.",
        "",
        "| optimizer | plain, ms | "
        + " | ".join(f"{c}, ms" for c in EVERY_COLUMNS)
        + " | plain, again / plain | "
        + " | ".join(f"{c} / plain" for c in EVERY_COLUMNS)
        + " |",
        "|---" * (3 + 2 * len(EVERY)) + "|",
    ]
    for name in OPTIMIZERS:
        with console.status(name):
            row = measure(name)
        cells = [f"{row[way]:.2f}" for way in ("plain", *EVERY_COLUMNS)]
        for way in ("plain, again", *EVERY_COLUMNS):
            ratio = f"{way} / plain"
            cells.append(f"{row[ratio]:.3f} ({row[f'{ratio}, fastest']:.3f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    lines += [
        "",
        "A measurement is bound by memory: it reads the weights, the gradient, the step and its "
        "two parts. With `every` above 1 it computes the step a second time inside a conditional, "
        "which reads nothing but the step's inputs; whatever else it read would be written out at "
        "every step, and the steps between would not be free.",
    ]
    pathlib.Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
