"""L2 in the loss and weight decay: the same under plain SGD, not under momentum or Adam."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from experiments.report import Record
from regjax.transforms import coupled_l2, decoupled_weight_decay


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.l2_and_decay`, about 3 s on 2 cores; gap of SGD below 1e-12.

    A least-squares problem whose columns are scaled by factors up to `scale`, so that
    Adam's metric differs from the Euclidean one.
    """

    seed: int = 0
    n_samples: int = 50
    n_features: int = 8
    scale: float = 10.0
    lambda_: float = 0.05
    learning_rate: float = 0.005
    n_steps: int = 2000


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return for every optimizer how far the two trajectories come apart."""
    with jax.enable_x64(True):
        return [_compare(name, config, key) for name in _CASES]


# The direction, and the decay in units of lambda. Momentum multiplies the gradient's L2 part
# by 1 / (1 - 0.9) in the long run; decay by as much has the same fixed point.
_CASES = {
    "SGD": (optax.identity, 1.0),
    "momentum 0.9": (lambda: optax.trace(0.9), 1.0),
    "momentum 0.9, 10 x decay": (lambda: optax.trace(0.9), 10.0),
    "Adam": (optax.scale_by_adam, 1.0),
}


def _compare(name: str, config: Config, key: jax.Array) -> Record:
    data_key, noise_key = jax.random.split(key)
    X = jax.random.normal(data_key, (config.n_samples, config.n_features), jnp.float64)
    X = X * jnp.geomspace(1 / config.scale, 1.0, config.n_features)
    y = X.sum(axis=1) + 0.1 * jax.random.normal(noise_key, (config.n_samples,), jnp.float64)
    make_direction, decay = _CASES[name]
    direction = make_direction()
    learning_rate, lambda_ = config.learning_rate, config.lambda_
    coupled = optax.chain(coupled_l2(lambda_), direction, optax.scale(-learning_rate))
    decoupled = decoupled_weight_decay(direction, learning_rate, decay * lambda_)
    start = jnp.ones(config.n_features, jnp.float64)
    paths = [_trajectory(tx, X, y, start, config.n_steps) for tx in (coupled, decoupled)]
    gap = np.linalg.norm(paths[0] - paths[1], axis=1) / np.linalg.norm(paths[0], axis=1)
    thinned = np.unique(np.geomspace(1, config.n_steps, 60).astype(int)) - 1
    return {
        "optimizer": name,
        "largest relative gap": float(gap.max()),
        "relative gap at the end": float(gap[-1]),
        "step": (thinned + 1).tolist(),
        "gap": gap[thinned].tolist(),
    }


def _trajectory(
    tx: optax.GradientTransformation,
    X: jax.Array,
    y: jax.Array,
    start: jax.Array,
    n_steps: int,
) -> np.ndarray:
    def step(carry: tuple, _: None) -> tuple:
        w, state = carry
        gradient = X.T @ (X @ w - y) / len(y)
        updates, state = tx.update(gradient, state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), w

    _, path = jax.jit(lambda: jax.lax.scan(step, (start, tx.init(start)), length=n_steps))()
    return np.asarray(path)


def draw(records: Sequence[Record]) -> Figure:
    """Return the gap between the two trajectories over the steps, one line per optimizer."""
    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axis = figure.subplots()
    styles = (
        ("#0072B2", "-", "o"),
        ("#D55E00", "--", "s"),
        ("#CC79A7", ":", "^"),
        ("#009E73", "-.", "D"),
    )
    for record, (color, dash, marker) in zip(records, styles, strict=True):
        axis.plot(
            record["step"],
            np.maximum(record["gap"], 1e-17),
            dash,
            marker=marker,
            ms=3,
            color=color,
            label=record["optimizer"],
        )
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="step",
        ylabel="relative distance of the weights,\nL2 in the loss against weight decay",
    )
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    return figure
