"""The best decay over the size of the training set, as a strength and as a time in epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.effects import jackknife_error, lowest
from experiments.networks import batches, digits, fit, loss, perceptron
from experiments.report import Claim, Record
from regjax.sweeps import run_lanes
from regjax.sweeps.model import scale_features
from regjax.transforms import adamw


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.decay_timescale`, about 30 s on 2 cores.

    AdamW on a perceptron with one hidden layer; epochs, batch size and learning rate are the same
    for all sizes of the training set. Every seed has its own training and held-out images, initial
    weights and batches; smaller training sets are part of the larger ones.
    """

    seed: int = 0
    hidden: int = 64
    n_train: tuple[int, ...] = (80, 160, 320, 640, 1280)
    n_epochs: int = 80
    batch_size: int = 40
    learning_rate: float = 4e-3
    n_seeds: int = 8
    lambdas: tuple[float, ...] = tuple(2.0**k for k in range(-6, 5))


# Training in float32, whose rounding other machines and widths do differently.
RTOL = 0.05


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return by size of the training set the held-out losses and the best decay."""
    images, labels = digits(key)
    return [_record(n, config, images, labels) for n in config.n_train]


def _record(n: int, config: Config, images: np.ndarray, labels: np.ndarray) -> Record:
    losses = np.log(_train_lanes(n, config, images, labels)["held out"])
    n_batches = n // config.batch_size
    best = np.exp(_log_best(losses, config.lambdas))
    none = losses[:, 0].mean()
    return {
        "samples": n,
        "best lambda": float(best),
        "best timescale in epochs": float(1 / (config.learning_rate * best * n_batches)),
        "s.e. of its logarithm": jackknife_error(lambda x: _log_best(x, config.lambdas), losses),
        "least loss": float(np.exp(losses.mean(axis=0).min())),
        "least loss over that of the weakest decay": float(
            np.exp(losses.mean(axis=0).min() - none)
        ),
        "lambdas": list(config.lambdas),
        "timescales in epochs": [
            1 / (config.learning_rate * v * n_batches) for v in config.lambdas
        ],
        "log losses by seed": losses.tolist(),
    }


def _log_best(losses: np.ndarray, lambdas: Sequence[float]) -> float:
    """Return the logarithm of the strength of least mean loss, between the grid's points."""
    return lowest(np.log(lambdas), losses.mean(axis=0))


def _train_lanes(n: int, config: Config, images: np.ndarray, labels: np.ndarray) -> dict:
    """Return the held-out losses, (n_seeds, lambdas)."""
    n_steps = config.n_epochs * (n // config.batch_size)
    rate = optax.cosine_decay_schedule(config.learning_rate, n_steps)

    def train(hyperparameters: dict, key: jax.Array, images: jax.Array, labels: jax.Array) -> dict:
        split_key, init_key, batch_key = jax.random.split(key, 3)
        order = jax.random.permutation(split_key, len(images))
        rows, held_out = order[:n], order[max(config.n_train) :]
        images = scale_features(images[rows]).apply(images)
        network = perceptron(init_key, (images.shape[1], config.hidden, 10))
        order = batches(batch_key, rows, config.n_epochs, config.batch_size)
        network = fit(network, adamw(rate, hyperparameters["lambda_"]), images, labels, order)
        return {"held out": loss(network, images[held_out], labels[held_out])}

    lanes = {"lambda_": config.lambdas}
    return run_lanes(train, lanes, range(config.n_seeds), images, labels).outputs


def slope(records: Sequence[Record]) -> tuple[float, float]:
    """Return the slope of the best log lambda over the log of the samples, and its error.

    -1 is a constant time in epochs, 0 a constant strength.
    """
    log_n = np.log([record["samples"] for record in records])
    # (n_seeds, sizes, lambdas): leaving out a seed leaves it out at every size.
    losses = np.stack([record["log losses by seed"] for record in records], axis=1)

    def of(losses: np.ndarray) -> float:
        best = [_log_best(losses[:, i], record["lambdas"]) for i, record in enumerate(records)]
        return float(np.polyfit(log_n, best, 1)[0])

    return of(losses), jackknife_error(of, losses)


def claims(records: Sequence[Record]) -> list[Claim]:
    """Return what is said of the best strength and of its timescale.

    By Wang and Aitchison (2024); the third by Loshchilov and Hutter (2019).
    """
    steepness, error = slope(records)
    strengths, times = (
        np.array([record[name] for record in records])
        for name in ("best lambda", "best timescale in epochs")
    )
    spread_strength, spread_time = strengths.max() / strengths.min(), times.max() / times.min()
    return [
        Claim(
            "the best decay falls as the training set grows",
            "a slope below 0 between logarithms",
            f"{steepness:.2f}",
            f"2 s.e.: {2 * error:.2f}",
            bool(steepness + 2 * error < 0),
        ),
        Claim(
            "the best timescale in epochs does not depend on the size of the training set",
            "slope -1 of the best decay",
            f"{steepness:.2f}",
            f"2 s.e.: {2 * error:.2f}",
            bool(abs(steepness + 1) <= 2 * error),
        ),
        Claim(
            "the best decay falls as one over the root of the size (normalised decay of Loshchilov "
            "and Hutter 2019)",
            "slope -0.5 between logarithms",
            f"{steepness:.2f}",
            f"2 s.e.: {2 * error:.2f}",
            bool(abs(steepness + 0.5) <= 2 * error),
        ),
        Claim(
            "the best timescale in epochs varies less over sizes than the best decay",
            "a smaller ratio of largest to least",
            f"{spread_time:.1f} against {spread_strength:.1f}",
            "",
            bool(spread_time < spread_strength),
        ),
    ]


_COLORS = ("#56B4E9", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#000000")
_MARKERS = "osD^vPX"


def draw(records: Sequence[Record]) -> Figure:
    """Return the losses over strength and over timescale, and the best of both over the size."""
    figure = Figure(figsize=(13.2, 4.3), layout="constrained")
    by_strength, by_time, best = figure.subplots(1, 3)
    for record, color, marker in zip(records, _COLORS, _MARKERS, strict=False):
        losses = np.exp(np.mean(record["log losses by seed"], axis=0))
        relative = losses / losses.min()
        style = {"color": color, "marker": marker, "ms": 4, "lw": 1.3}
        by_strength.plot(record["lambdas"], relative, label=f"{record['samples']}", **style)
        by_time.plot(record["timescales in epochs"], relative, **style)
    by_time.invert_xaxis()
    by_strength.set(xlabel="$\\lambda$", ylabel="held-out loss over the least of its curve")
    by_time.set(xlabel="timescale $1 / (\\eta \\lambda)$ (epochs)")
    for axis in (by_strength, by_time):
        axis.set(xscale="log", ylim=(0.97, 2))
    _draw_best(best, records)
    handles, names = by_strength.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower left", ncols=7, frameon=False, title="training images"
    )
    for axis in (by_strength, by_time, best):
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_best(axis: Axes, records: Sequence[Record]) -> None:
    n = np.array([record["samples"] for record in records])
    errors = np.array([record["s.e. of its logarithm"] for record in records])
    for name, label, color, marker in (
        ("best lambda", "best $\\lambda$", "#0072B2", "o"),
        ("best timescale in epochs", "best timescale (epochs)", "#D55E00", "s"),
    ):
        y = np.array([record[name] for record in records])
        around = y - y * np.exp(-errors), y * np.exp(errors) - y
        axis.errorbar(n, y, around, color=color, marker=marker, capsize=3, lw=1.3, label=label)
    middle = np.sqrt(n[0] * n[-1])
    height = np.exp(np.mean(np.log([record["best lambda"] for record in records])))
    axis.plot(n, height * middle / n, ":", color="0.4", label="slope -1")
    axis.set(xscale="log", yscale="log", xlabel="training images", ylabel="best value")
    axis.set_xticks(n, [str(value) for value in n])
    axis.minorticks_off()
    axis.legend(fontsize=9, frameon=False)
