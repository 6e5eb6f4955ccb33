"""Sparse networks on digits: proximal steps remove weights and neurons, subgradients do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from sklearn.datasets import load_digits

from experiments.report import Claim, Record
from experiments.sparse_networks.compaction import (
    compacted,
    milliseconds,
    same_outputs,
    speeds,
)
from experiments.sparse_networks.figure import BINS, draw
from experiments.sparse_networks.training import Network, train_grid

__all__ = ["RTOL", "Config", "claims", "draw", "run"]


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.sparse_networks`, about 100 seconds on 2 cores.

    Of the strengths of a method the strongest is chosen whose validation accuracy, a mean over
    seeds, is at most `tolerance` below that of the network without a penalty. Every seed has its
    own split into training, validation and test images, the same for all methods.
    """

    seed: int = 0
    hidden: int = 512
    n_epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 5e-3
    n_seeds: int = 4
    share_held_out: float = 0.2
    tolerance: float = 0.005
    l2: tuple[float, ...] = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    l1_subgradient: tuple[float, ...] = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    l1: tuple[float, ...] = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    group_lasso: tuple[float, ...] = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    batch_sizes_timed: tuple[int, ...] = (1, 64, 1024)
    n_timings: int = 25


# Training in float32 follows the order of sums, and another machine has another.
RTOL = 0.05

_GRIDS = {
    "L2": "l2",
    "L1, subgradient": "l1_subgradient",
    "L1, proximal": "l1",
    "group lasso, proximal": "group_lasso",
}


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return for every method accuracy, zeros, neurons and speed, and the same over its grid."""
    digits = load_digits()
    order = np.asarray(jax.random.permutation(key, len(digits.data)))
    images = digits.data.astype(np.float32)[order]
    labels = digits.target[order]
    methods = {"none": (0.0,), **{name: getattr(config, field) for name, field in _GRIDS.items()}}
    runs = {
        name: train_grid(name, lambdas, config, images, labels) for name, lambdas in methods.items()
    }
    least = runs["none"]["validation"].mean() - config.tolerance
    return [
        _summary(name, methods[name], outputs, least, config, images)
        for name, outputs in runs.items()
    ]


def _summary(
    name: str,
    lambdas: Sequence[float],
    outputs: dict,
    least: float,
    config: Config,
    images: np.ndarray,
) -> Record:
    validation = outputs["validation"].mean(axis=0)
    good = validation >= least
    if not good.any():
        raise ValueError(f"Every strength of {name!r} is too strong: {validation} on {lambdas}.")
    chosen = int(np.flatnonzero(good)[-1])

    def network(seed: int, lane: int) -> Network:
        return jax.tree.map(lambda leaf: leaf[seed, lane], outputs["network"])

    grid = [[network(seed, lane) for seed in range(config.n_seeds)] for lane in range(len(lambdas))]
    small = [[compacted(whole) for whole in lane] for lane in grid]
    neurons = [np.mean([part.layers[0].bias.size for part in lane]) for lane in small]
    zeros = [100 * np.mean([_weights(whole) == 0 for whole in lane]) for lane in grid]
    weights = np.concatenate([_weights(whole) for whole in grid[chosen]])
    counts, _ = np.histogram(np.log10(np.abs(weights[weights != 0])), BINS)
    pairs = list(zip(grid[chosen], small[chosen], strict=True))
    times = {}
    for size in config.batch_sizes_timed:
        whole, part = milliseconds(*pairs[0], images, size, config.n_timings)
        times |= {f"dense, batch {size} (ms)": whole, f"compacted, batch {size} (ms)": part}
    return {
        "method": name,
        "lambda": lambdas[chosen],
        "test accuracy (%)": float(100 * outputs["test"][:, chosen].mean()),
        "exact zeros (%)": float(zeros[chosen]),
        "neurons kept": float(neurons[chosen]),
        "outputs kept": all(same_outputs(*pair, images) for pair in pairs),
        **times,
        "accuracies of seeds (%)": (100 * outputs["test"][:, chosen]).tolist(),
        "lambdas": list(lambdas),
        "validation accuracies (%)": (100 * validation).tolist(),
        "test accuracies (%)": (100 * outputs["test"].mean(axis=0)).tolist(),
        "zeros over lambda (%)": [float(share) for share in zeros],
        "neurons over lambda": [float(number) for number in neurons],
        "share of weights per bin": (counts / weights.size).tolist(),
    }


def _weights(network: Network) -> np.ndarray:
    return np.concatenate([layer.weight.ravel() for layer in network.layers])


def claims(records: Sequence[Record]) -> list[Claim]:
    """Return which methods make zeros, at what price, and what zeros are good for."""
    by_method = {record["method"]: record for record in records}
    none, groups = by_method["none"], by_method["group lasso, proximal"]
    l1 = by_method["L1, proximal"]
    lost, group_lost = points_lost(l1, none), points_lost(groups, none)
    dense = [by_method[method]["exact zeros (%)"] for method in ("L2", "L1, subgradient")]
    ratios = speeds(groups)
    unchanged = max(max(speeds(r)) for r in records if r["neurons kept"] == none["neurons kept"])
    return [
        Claim(
            "proximal steps of L1 make exact zeros at little loss of accuracy",
            "80 % of the weights, 1 point lost at most",
            f"{l1['exact zeros (%)']:.1f} %, {lost[0]:.2f} ± {lost[1]:.2f} points",
            "none, of the means over seeds",
            l1["exact zeros (%)"] >= 80 and lost[0] <= 1,
        ),
        Claim(
            "those of a group lasso remove whole neurons, at little loss",
            f"fewer than {none['neurons kept']:.0f}, 1 point lost at most",
            f"{groups['neurons kept']:.0f}, {group_lost[0]:.2f} ± {group_lost[1]:.2f} points",
            "none, of the means over seeds",
            groups["neurons kept"] < none["neurons kept"] and group_lost[0] <= 1,
        ),
        Claim(
            "gradients of L2 and subgradients of L1 leave no weight at 0",
            "0 %",
            ", ".join(f"{share:.3g} %" for share in dense),
            "none",
            not any(dense),
        ),
        Claim(
            "networks without the removed neurons have the outputs of the whole ones",
            "all of them",
            f"{sum(record['outputs kept'] for record in records)} of {len(records)} methods",
            "1e-6 of the largest output",
            all(record["outputs kept"] for record in records),
        ),
        Claim(
            "without the neurons that the group lasso removes a network is faster",
            f"more than {unchanged:.2f} times, the most of networks that lost none",
            ", ".join(f"{ratio:.1f}" for ratio in ratios) + " times",
            "none, at every number of images per call",
            min(ratios) > unchanged,
        ),
    ]


def points_lost(record: Record, none: Record) -> tuple[float, float]:
    """Return the mean over seeds of the points of test accuracy lost, and its standard error."""
    lost = np.subtract(none["accuracies of seeds (%)"], record["accuracies of seeds (%)"])
    return float(lost.mean()), float(lost.std(ddof=1) / np.sqrt(lost.size))
