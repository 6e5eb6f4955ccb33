"""Sparse networks on digits: proximal steps remove weights and neurons, subgradients do not."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from experiments.report import Record
from regjax import L1, GroupLasso, masks
from regjax.losses import softmax_loss
from regjax.sweeps import run_lanes
from regjax.sweeps.model import scale_features
from regjax.transforms import adamw, coupled_l1, prox_adam


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.sparse_networks`, about 80 seconds on 2 cores.

    Of the strengths of a method the strongest is chosen whose validation accuracy, a mean over
    seeds, is at most `tolerance` below that of the network without a penalty. Every seed has its
    own split into training, validation and test images, the same for all methods.
    """

    seed: int = 0
    hidden: int = 512
    n_epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 5e-3
    n_seeds: int = 6
    share_held_out: float = 0.2
    tolerance: float = 0.005
    l1: tuple[float, ...] = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    group_lasso: tuple[float, ...] = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    l1_subgradient: tuple[float, ...] = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    decay: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    batch_sizes_timed: tuple[int, ...] = (1, 64, 1024)
    n_timings: int = 100


Network = Any
"""An `equinox.nn.MLP` with one hidden layer, of arrays alone."""


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return for every method accuracy, zeros, neurons and speed, and the same over its grid."""
    digits = load_digits()
    order = np.asarray(jax.random.permutation(key, len(digits.data)))
    images = digits.data.astype(np.float32)[order]
    labels = digits.target[order]
    methods = {"none": (0.0,), **{name: getattr(config, field) for name, field in _GRIDS.items()}}
    runs = {
        name: _train_grid(name, lambdas, config, images, labels)
        for name, lambdas in methods.items()
    }
    return [
        _summary(name, methods[name], outputs, runs["none"], config, images)
        for name, outputs in runs.items()
    ]


def _optimizer(
    name: str, rate: optax.Schedule, lambda_: jax.Array, hidden: int
) -> optax.GradientTransformation:
    match name:
        case "none":
            return optax.adam(rate)
        case "L1, proximal":
            return prox_adam(rate, L1(lambda_))
        case "group lasso, proximal":
            neurons = jnp.arange(hidden)[:, None]
            penalty = GroupLasso(lambda_, neurons, hidden)
            return prox_adam(rate, penalty, mask=masks.by_path("layers/0/weight"))
        case "L1, subgradient":
            return optax.chain(coupled_l1(lambda_), optax.adam(rate))
        case _:
            return adamw(rate, lambda_)


_GRIDS = {
    "L1, proximal": "l1",
    "group lasso, proximal": "group_lasso",
    "L1, subgradient": "l1_subgradient",
    "AdamW": "decay",
}


def _train_grid(
    name: str, lambdas: Sequence[float], config: Config, images: np.ndarray, labels: np.ndarray
) -> dict:
    """Return accuracies and networks, with leading axes (seeds, lambdas)."""
    n_held_out = round(config.share_held_out * len(images))
    n_train = len(images) - 2 * n_held_out
    n_batches = n_train // config.batch_size
    rate = optax.cosine_decay_schedule(config.learning_rate, config.n_epochs * n_batches)

    def train(hyperparameters: dict, key: jax.Array, images: jax.Array, labels: jax.Array) -> dict:
        split_key, init_key, batch_key = jax.random.split(key, 3)
        order = jax.random.permutation(split_key, len(images))
        rows, validation, test = jnp.split(order, [n_train, n_train + n_held_out])
        images = scale_features(images[rows]).apply(images)
        network = eqx.nn.MLP(images.shape[1], 10, config.hidden, depth=1, key=init_key)
        network = eqx.filter(network, eqx.is_inexact_array)
        optimizer = _optimizer(name, rate, hyperparameters["lambda_"], config.hidden)

        def loss(network: Network, x: jax.Array, y: jax.Array) -> jax.Array:
            return softmax_loss(forward(network, x), y)

        def step(carry: tuple, rows: jax.Array) -> tuple:
            network, state = carry
            gradient = jax.grad(loss)(network, images[rows], labels[rows])
            updates, state = optimizer.update(gradient, state, network)
            return (optax.apply_updates(network, updates), state), None

        def epoch(carry: tuple, key: jax.Array) -> tuple:
            shuffled = jax.random.permutation(key, rows)[: n_batches * config.batch_size]
            return jax.lax.scan(step, carry, shuffled.reshape(n_batches, config.batch_size))

        keys = jax.random.split(batch_key, config.n_epochs)
        (network, _), _ = jax.lax.scan(epoch, (network, optimizer.init(network)), keys)

        def accuracy(rows: jax.Array) -> jax.Array:
            return jnp.mean(jnp.argmax(forward(network, images[rows]), axis=1) == labels[rows])

        return {
            "network": network,
            "validation": accuracy(validation),
            "test": accuracy(test),
        }

    lanes = {"lambda_": lambdas}
    return run_lanes(train, lanes, range(config.n_seeds), images, labels).outputs


def forward(network: Network, x: jax.Array) -> jax.Array:
    """Return the logits (n, 10) of images (n, 64)."""
    first, last = network.layers
    return jax.nn.relu(x @ first.weight.T + first.bias) @ last.weight.T + last.bias


def compacted(network: Network) -> Network:
    """Return the network without the neurons that no weight enters or that no weight leaves.

    A neuron that no weight enters is constant, and its part of the output goes to the next bias.
    """
    first, last = network.layers
    entered, left = (first.weight != 0).any(axis=1), (last.weight != 0).any(axis=0)
    constant = np.where(entered, 0, np.maximum(first.bias, 0))
    kept = entered & left
    return eqx.tree_at(
        lambda n: [n.layers[0].weight, n.layers[0].bias, n.layers[1].weight, n.layers[1].bias],
        network,
        [
            first.weight[kept],
            first.bias[kept],
            last.weight[:, kept],
            last.bias + last.weight @ constant,
        ],
    )


def _summary(
    name: str,
    lambdas: Sequence[float],
    outputs: dict,
    baseline: dict,
    config: Config,
    images: np.ndarray,
) -> Record:
    validation = outputs["validation"].mean(axis=0)
    good = validation >= baseline["validation"].mean() - config.tolerance
    if not good.any():
        raise ValueError(f"Every strength of {name!r} is too strong: {validation} on {lambdas}.")
    chosen = int(np.flatnonzero(good)[-1])
    lost = 100 * (baseline["test"][:, 0] - outputs["test"][:, chosen])

    def network(seed: int, lane: int) -> Network:
        return jax.tree.map(lambda leaf: leaf[seed, lane], outputs["network"])

    grid = [[network(seed, lane) for seed in range(config.n_seeds)] for lane in range(len(lambdas))]
    small = [compacted(whole) for whole in grid[chosen]]
    difference = [
        _largest_difference(whole, part, images)
        for whole, part in zip(grid[chosen], small, strict=True)
    ]
    weights = np.concatenate([_weights(whole) for whole in grid[chosen]])
    counts, _ = np.histogram(np.log10(np.abs(weights[weights != 0])), _BINS)
    speed = {
        f"dense / compacted, batch {size}": _speed(
            grid[chosen][0], small[0], images, size, config.n_timings
        )
        for size in config.batch_sizes_timed
    }
    return {
        "method": name,
        "lambda": lambdas[chosen],
        "test accuracy (%)": float(100 * outputs["test"][:, chosen].mean()),
        "s.e.": _standard_error(100 * outputs["test"][:, chosen]),
        "points lost": float(lost.mean()),
        "s.e. of points lost": _standard_error(lost),
        "exact zeros (%)": float(100 * np.mean(weights == 0)),
        "neurons kept": float(np.mean([part.layers[0].bias.size for part in small])),
        "largest difference when compacted": max(difference),
        **speed,
        "lambdas": list(lambdas),
        "validation accuracies (%)": (100 * validation).tolist(),
        "test accuracies (%)": (100 * outputs["test"].mean(axis=0)).tolist(),
        "zeros over lambda (%)": [
            float(100 * np.mean([_weights(whole) == 0 for whole in lane])) for lane in grid
        ],
        "neurons over lambda": [
            float(np.mean([compacted(whole).layers[0].bias.size for whole in lane]))
            for lane in grid
        ],
        "share of weights per bin": (counts / weights.size).tolist(),
    }


def _weights(network: Network) -> np.ndarray:
    return np.concatenate([layer.weight.ravel() for layer in network.layers])


def _standard_error(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


_forward = jax.jit(forward)


def _largest_difference(whole: Network, part: Network, images: np.ndarray) -> float:
    """Return the largest difference of outputs in units of the largest output, or raise."""
    expected, got = np.asarray(_forward(whole, images)), np.asarray(_forward(part, images))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(got / scale, expected / scale, atol=1e-6, rtol=0)
    return float(np.abs(got - expected).max() / scale)


def _speed(whole: Network, part: Network, images: np.ndarray, size: int, n: int) -> float:
    """Return the seconds of the dense network over those of the compacted.

    They take turns, and the fastest turn of each counts: on a shared machine the others tell of
    its other users.
    """
    x = jnp.asarray(np.resize(images, (size, images.shape[1])))
    # As it would be deployed: the weights are constants of the program.
    calls = [jax.jit(functools.partial(forward, network)) for network in (whole, part)]
    seconds: list[list[float]] = [[], []]
    for _ in range(n):
        # In blocks, because a call's time depends on which program ran before it.
        for call, times in zip(calls, seconds, strict=True):
            started = time.perf_counter()
            for _ in range(_BLOCK):
                call(x).block_until_ready()
            times.append(time.perf_counter() - started)
    return min(seconds[0]) / min(seconds[1])


_BLOCK = 20
_BINS = np.linspace(-9, 1, 51)
_NEURON_TICKS = (500, 200, 100, 50, 20, 10)

_STYLES = {
    "none": ("#000000", "-", "o"),
    "L1, proximal": ("#0072B2", "-", "o"),
    "group lasso, proximal": ("#009E73", "--", "s"),
    "L1, subgradient": ("#D55E00", ":", "^"),
    "AdamW": ("#CC79A7", "-.", "D"),
}


def draw(records: Sequence[Record]) -> Figure:
    """Return accuracy over zeros and over neurons, the weights' magnitudes, and the speed."""
    figure = Figure(figsize=(10, 7.6), layout="constrained")
    axes = figure.subplots(2, 2)
    for axis in axes.ravel():
        axis.spines[["top", "right"]].set_visible(False)
    (over_zeros, over_neurons), (magnitudes, speed) = axes
    for axis, name in (
        (over_zeros, "zeros over lambda (%)"),
        (over_neurons, "neurons over lambda"),
    ):
        _draw_accuracies(axis, records, name)
    over_zeros.set(
        title="accuracy and exact zeros, over lambda",
        xlabel="weights that are exactly 0 (%)",
        ylabel="test accuracy (%)",
    )
    over_neurons.set(
        title="accuracy and neurons, over lambda",
        xlabel="hidden neurons kept",
        ylabel="test accuracy (%)",
        xscale="log",
    )
    over_neurons.invert_xaxis()
    over_neurons.set_xticks(_NEURON_TICKS, map(str, _NEURON_TICKS))
    over_neurons.minorticks_off()
    _draw_magnitudes(magnitudes, records)
    _draw_speed(speed, records)
    handles, names = over_zeros.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _draw_accuracies(axis: Axes, records: Sequence[Record], name: str) -> None:
    for record in records:
        method = record["method"]
        color, dash, marker = _STYLES[method]
        y = record["test accuracies (%)"]
        if method == "none":
            axis.axhline(y[0], color=color, lw=1, label="no penalty")
            continue
        x = record[name]
        axis.plot(x, y, dash, marker=marker, ms=5, color=color, label=method)
        i = record["lambdas"].index(record["lambda"])
        label = "chosen on validation images" if method == "AdamW" else None
        axis.plot(x[i], y[i], "o", ms=12, mfc="none", mec="black", label=label)


def _draw_magnitudes(axis: Axes, records: Sequence[Record]) -> None:
    at_zero = _BINS[0] - 1
    for record in records:
        color, dash, marker = _STYLES[record["method"]]
        shares = 100 * np.asarray(record["share of weights per bin"])
        axis.stairs(np.where(shares > 0, shares, np.nan), _BINS, color=color, ls=dash, lw=1.4)
        if record["exact zeros (%)"] > 0:
            axis.plot(at_zero, record["exact zeros (%)"], marker, color=color, ms=7)
    axis.axvline(_BINS[0] - 0.5, color="0.7", lw=0.8)
    ticks = [-8, -6, -4, -2, 0]
    axis.set_xticks([at_zero, *ticks], ["0", *(f"$10^{{{t}}}$" for t in ticks)])
    axis.set(
        title="magnitudes of the weights, at the chosen lambda",
        xlabel="$|w|$; the symbols at the left are exact zeros",
        ylabel="weights per bin (%)",
        yscale="log",
    )


def _draw_speed(axis: Axes, records: Sequence[Record]) -> None:
    prefix = "dense / compacted, batch "
    for record in records:
        color, dash, marker = _STYLES[record["method"]]
        sizes = [int(name.removeprefix(prefix)) for name in record if name.startswith(prefix)]
        ratios = [record[f"{prefix}{size}"] for size in sizes]
        axis.plot(range(len(sizes)), ratios, dash, marker=marker, color=color)
    axis.set_xticks(range(len(sizes)), map(str, sizes))
    axis.axhline(1, color="0.7", lw=0.8, zorder=0)
    axis.set(
        title="speed of the compacted network",
        xlabel="images per call",
        ylabel="times faster than the dense one",
        yscale="log",
    )
    axis.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    axis.minorticks_off()
