"""Biases and parameters of normalisation layers: decayed with the weights, or left alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from experiments.effects import interval
from experiments.networks import batches, digits, fit, logits, loss, perceptron
from experiments.report import Claim, Record
from regjax import masks
from regjax.losses import accuracy
from regjax.masks import Mask
from regjax.sweeps import run_lanes
from regjax.sweeps.model import scale_features
from regjax.transforms import adamw


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.selective_decay`, about 50 s on 2 cores.

    A perceptron with two hidden layers, each of them linear, layer normalisation, ReLU. Every
    seed has its own images for training, validation and testing, initial weights and batches,
    the same for all masks and strengths. The strength of a mask is the one of least validation
    loss, a mean over seeds.
    """

    seed: int = 0
    hidden: tuple[int, ...] = (64, 64)
    n_train: int = 400
    n_validation: int = 600
    n_epochs: int = 30
    batch_size: int = 40
    learning_rate: float = 4e-3
    n_seeds: int = 24
    lambdas: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)


# Training in float32, whose rounding other machines and widths do differently.
RTOL = 0.05

_NORMS = masks.by_path("*/norm/*")
_BIASES = masks.by_path("*/bias") & ~_NORMS

MASKS: dict[str, Mask] = {
    "weights": masks.weights,
    "weights, biases": masks.weights | _BIASES,
    "weights, norms": masks.weights | _NORMS,
    "everything": masks.everything,
}
"""What decays; the first is regjax's default, the last that of optax and torch."""


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return by mask the test loss of the chosen strength, and its ratio to that of weights."""
    images, labels = digits(key)
    outputs = {name: _train_lanes(mask, config, images, labels) for name, mask in MASKS.items()}
    return [_record(name, outputs, config) for name in MASKS]


def _record(name: str, outputs: dict[str, dict], config: Config) -> Record:
    def chosen(name: str) -> int:
        return int(outputs[name]["validation"].mean(axis=0).argmin())

    mine, weights = outputs[name], outputs["weights"]
    k, k_weights = chosen(name), chosen("weights")
    log_ratio = np.log(mine["test"][:, k] / weights["test"][:, k_weights])
    points = 100 * (mine["accuracy"][:, k] - weights["accuracy"][:, k_weights])
    return {
        "decayed": name,
        "lambda": config.lambdas[k],
        "test loss": float(mine["test"][:, k].mean()),
        "test accuracy (%)": float(100 * mine["accuracy"][:, k].mean()),
        "loss over that of weights": float(np.exp(log_ratio.mean())),
        "points over weights": float(points.mean()),
        "log ratio by seed": log_ratio.tolist(),
        "points by seed": points.tolist(),
        "lambdas": list(config.lambdas),
        "validation losses": mine["validation"].mean(axis=0).tolist(),
        "test losses": mine["test"].mean(axis=0).tolist(),
        "log ratios at one lambda": np.log(mine["test"] / weights["test"]).tolist(),
        "mean norm scale": mine["scale"].mean(axis=0).tolist(),
        "root mean square of biases": mine["bias"].mean(axis=0).tolist(),
    }


def _train_lanes(mask: Mask, config: Config, images: np.ndarray, labels: np.ndarray) -> dict:
    """Return losses, accuracies and sizes of what the masks differ in, (n_seeds, lambdas)."""
    n_steps = config.n_epochs * (config.n_train // config.batch_size)
    rate = optax.cosine_decay_schedule(config.learning_rate, n_steps)

    def train(hyperparameters: dict, key: jax.Array, images: jax.Array, labels: jax.Array) -> dict:
        split_key, init_key, batch_key = jax.random.split(key, 3)
        order = jax.random.permutation(split_key, len(images))
        ends = [config.n_train, config.n_train + config.n_validation]
        rows, validation, test = jnp.split(order, ends)
        images = scale_features(images[rows]).apply(images)
        network = perceptron(init_key, (images.shape[1], *config.hidden, 10), norm=True)
        optimizer = adamw(rate, hyperparameters["lambda_"], mask=mask)
        order = batches(batch_key, rows, config.n_epochs, config.batch_size)
        network = fit(network, optimizer, images, labels, order)
        biases = [layer["bias"] for layer in (*network["hidden"], network["head"])]
        scales = [layer["norm"]["scale"] for layer in network["hidden"]]
        return {
            "validation": loss(network, images[validation], labels[validation]),
            "test": loss(network, images[test], labels[test]),
            "accuracy": accuracy(logits(network, images[test]), labels[test]),
            "scale": jnp.mean(jnp.concatenate(scales)),
            "bias": jnp.sqrt(jnp.mean(jnp.square(jnp.concatenate(biases)))),
        }

    lanes = {"lambda_": config.lambdas}
    return run_lanes(train, lanes, range(config.n_seeds), images, labels).outputs


def claims(records: Sequence[Record]) -> list[Claim]:
    """Return whether decay of more than the weights costs test loss, mask by mask."""
    found = []
    for record in records[1:]:
        low, high = np.exp(interval(record["log ratio by seed"]))
        found.append(
            Claim(
                f"decay of {record['decayed']} generalises worse than that of weights alone",
                "a ratio of test losses above 1",
                f"{record['loss over that of weights']:.3f}",
                f"95 % interval {low:.3f} to {high:.3f}",
                bool(low > 1),
            )
        )
    return found


_TICKS_OF_LOSS = (0.2, 0.3, 0.5, 1, 2)
_TICKS_OF_RATIO = (1, 1.5, 2, 3, 5, 7)

_STYLES = {
    "weights": ("#0072B2", "-", "o"),
    "weights, biases": ("#E69F00", "--", "^"),
    "weights, norms": ("#009E73", "-.", "D"),
    "everything": ("#D55E00", ":", "s"),
}


def draw(records: Sequence[Record]) -> Figure:
    """Return test loss over the strength, its ratio to that of weights, and the chosen ones'."""
    figure = Figure(figsize=(13.2, 4.2), layout="constrained")
    losses, ratios, chosen = figure.subplots(1, 3, width_ratios=(1, 1, 0.8))
    for record in records:
        color, dash, marker = _STYLES[record["decayed"]]
        line = {"color": color, "ls": dash, "marker": marker, "label": record["decayed"]}
        # Open and larger, because it lies on the line of the norms.
        line |= {"ms": 9, "mfc": "none"} if record["decayed"] == "everything" else {"ms": 5}
        losses.plot(record["lambdas"], record["test losses"], **line)
        if record["decayed"] != "weights":
            columns = np.array(record["log ratios at one lambda"]).T
            bounds = np.exp([interval(column) for column in columns])
            means = np.exp(columns.mean(axis=1))
            errors = np.abs(bounds.T - means)
            ratios.errorbar(record["lambdas"], means, errors, capsize=2, **line)
    for place, record in enumerate(records[1:]):
        color, _, marker = _STYLES[record["decayed"]]
        by_seed = np.exp(record["log ratio by seed"])
        low, high = np.exp(interval(record["log ratio by seed"]))
        spread = np.linspace(-0.25, 0.25, len(by_seed))
        chosen.plot(place + spread, np.sort(by_seed), ".", color=color, alpha=0.5)
        mean = record["loss over that of weights"]
        errors = [[mean - low], [high - mean]]
        chosen.errorbar(
            place, mean, errors, fmt=marker, ms=7, color=color, mec="black", capsize=4, lw=2
        )
    losses.set(
        title="test loss",
        xlabel="$\\lambda$",
        ylabel="test loss (nats)",
        xscale="log",
        yscale="log",
    )
    ratios.set(
        title="at one strength",
        xlabel="$\\lambda$",
        ylabel="test loss / weights alone",
        xscale="log",
        yscale="log",
    )
    chosen.set(title="at each one's chosen strength", ylabel="test loss / weights alone")
    chosen.set_xticks(range(len(records) - 1), [record["decayed"] for record in records[1:]])
    losses.set_yticks(_TICKS_OF_LOSS, map(str, _TICKS_OF_LOSS))
    ratios.set_yticks(_TICKS_OF_RATIO, map(str, _TICKS_OF_RATIO))
    losses.minorticks_off()
    ratios.minorticks_off()
    for axis in (ratios, chosen):
        axis.axhline(1, color="0.6", lw=0.8, zorder=0)
    for axis in (losses, ratios, chosen):
        axis.spines[["top", "right"]].set_visible(False)
    handles, names = losses.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=4, frameon=False, title="decayed"
    )
    return figure
