"""Learning rate against decay: L2 in Adam's gradient, and three scalings of decoupled decay."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from experiments.effects import interval, jackknife_error, lowest
from experiments.networks import batches, digits, fit, logits, loss, perceptron
from experiments.report import Claim, Record
from regjax.losses import accuracy
from regjax.sweeps import run_lanes
from regjax.sweeps.model import scale_features
from regjax.transforms import adam_l2, adamw


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.coupled_vs_decoupled`, about 50 s on 2 cores.

    A perceptron with one hidden layer. Every seed has its own split into training, validation
    and test images, initial weights and batches, the same for all methods and strengths.
    Learning rates and strengths are equally spaced in their logarithm.
    """

    seed: int = 0
    hidden: int = 64
    n_train: int = 400
    n_validation: int = 600
    n_epochs: int = 60
    batch_size: int = 40
    n_seeds: int = 7
    learning_rates: tuple[float, ...] = tuple(0.002 * 2**k for k in range(7))
    # In the gradient; times the learning rate; by themselves at the peak of the schedule.
    coupled: tuple[float, ...] = tuple(4.0**k for k in range(-8, -1))
    relative: tuple[float, ...] = tuple(4.0**k for k in range(-4, 3))
    independent: tuple[float, ...] = tuple(4.0**k for k in range(-7, 0))
    # Grid points on each side of the best one that count as near the optimum.
    near: int = 2


# Training in float32, whose rounding other machines and widths do differently.
RTOL = 0.05

METHODS = {
    "coupled": "coupled",
    "learning_rate": "relative",
    "schedule": "independent",
    "squared_learning_rate": "relative",
}
"""Fields of the configuration with a method's strengths; decoupled ones by `scaled_by`."""

NAMES = {
    "coupled": "Adam + L2, coupled",
    "learning_rate": "AdamW, decay $\\eta_t \\lambda$",
    "schedule": "AdamW, decay $s_t \\lambda$",
    "squared_learning_rate": "AdamW, decay $\\eta_t s_t \\lambda$",
}
SCHEDULES = ("fixed", "cosine")


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return by schedule and method the losses over the grid and how separable its axes are.

    At a fixed rate the third decoupled form is the first, and is left out.
    """
    images, labels = digits(key)
    records = []
    for schedule in SCHEDULES:
        methods = [m for m in METHODS if (schedule, m) != ("fixed", "squared_learning_rate")]
        found = [_record(schedule, method, config, images, labels) for method in methods]
        column = "log test losses of the best"
        coupled = found[0]
        for record in found[1:]:
            ratio = np.subtract(record[column], coupled[column])
            low, high = np.exp(interval(ratio))
            record["test loss over coupled"] = float(np.exp(ratio.mean()))
            record["95 % interval"] = [float(low), float(high)]
        records += found
    return records


def _record(
    schedule: str, method: str, config: Config, images: np.ndarray, labels: np.ndarray
) -> Record:
    rates, strengths = config.learning_rates, getattr(config, METHODS[method])
    outputs = _train_grid(schedule, method, config, images, labels)
    shape = (config.n_seeds, len(rates), len(strengths))
    losses, test, right = (
        np.log(outputs["validation"]).reshape(shape),
        np.log(outputs["test"]).reshape(shape),
        outputs["accuracy"].reshape(shape),
    )
    mean = losses.mean(axis=0)
    i, j = (int(k) for k in np.unravel_index(mean.argmin(), mean.shape))
    rows, columns = _near(i, len(rates), config.near), _near(j, len(strengths), config.near)

    def slope(losses: np.ndarray) -> float:
        return best_decay_slope(losses.mean(axis=0)[rows], np.log(rates)[rows], np.log(strengths))

    def interaction(losses: np.ndarray) -> float:
        return 100 * interaction_share(losses.mean(axis=0)[rows, columns])

    def interaction_of_good(losses: np.ndarray) -> float:
        table = losses.mean(axis=0)[rows, columns]
        return 100 * interaction_share(np.minimum(table, table.min() + np.log(2)))

    return {
        "schedule": schedule,
        "method": method,
        "learning rate": rates[i],
        "lambda": strengths[j],
        "validation loss": float(np.exp(mean[i, j])),
        "test loss": float(np.exp(test[:, i, j].mean())),
        "test accuracy (%)": float(100 * right[:, i, j].mean()),
        "slope of the best decay": slope(losses),
        "s.e. of the slope": jackknife_error(slope, losses),
        "interaction (%)": interaction(losses),
        "s.e. of the interaction": jackknife_error(interaction, losses),
        "interaction, losses cut at twice the least (%)": interaction_of_good(losses),
        "s.e. of that": jackknife_error(interaction_of_good, losses),
        "learning rates": list(rates),
        "lambdas": list(strengths),
        "log validation loss": mean.tolist(),
        "log test losses of the best": test[:, i, j].tolist(),
    }


def _near(best: int, size: int, half: int) -> slice:
    """Return the `2 half + 1` grid points about the best one, moved inside the grid."""
    start = max(0, min(best - half, size - 2 * half - 1))
    return slice(start, start + 2 * half + 1)


def best_decay_slope(losses: np.ndarray, log_rates: np.ndarray, log_decays: np.ndarray) -> float:
    """Return how the best decay moves with the learning rate: its slope between logarithms.

    The best decay of a learning rate is that of the parabola through the least loss of its row.
    0 if it stays where it is, -1 if it is inversely proportional.

    Example:
        >>> losses = [[0.0, 1.0, 4.0], [1.0, 0.0, 1.0], [4.0, 1.0, 0.0]]
        >>> print(f"{best_decay_slope(np.array(losses), np.arange(3.0), np.arange(3.0)):.1f}")
        1.0
    """
    best = [lowest(log_decays, row) for row in losses]
    return float(np.polyfit(log_rates, best, 1)[0])


def interaction_share(losses: np.ndarray) -> float:
    """Return the share of the variance of a table that no sum of row and column effects explains.

    Example:
        >>> print(interaction_share(np.add.outer([0.0, 1.0, 5.0], [2.0, 0.0, 1.0])))
        0.0
    """
    total = losses - losses.mean()
    rows, columns = total.mean(axis=1, keepdims=True), total.mean(axis=0, keepdims=True)
    return float(np.square(total - rows - columns).sum() / np.square(total).sum())


def _train_grid(
    schedule: str, method: str, config: Config, images: np.ndarray, labels: np.ndarray
) -> dict:
    """Return losses and accuracies, (n_seeds, learning rates x strengths)."""
    n_steps = config.n_epochs * (config.n_train // config.batch_size)

    def train(hyperparameters: dict, key: jax.Array, images: jax.Array, labels: jax.Array) -> dict:
        split_key, init_key, batch_key = jax.random.split(key, 3)
        order = jax.random.permutation(split_key, len(images))
        ends = [config.n_train, config.n_train + config.n_validation]
        rows, validation, test = jnp.split(order, ends)
        images = scale_features(images[rows]).apply(images)
        peak, lambda_ = hyperparameters["learning_rate"], hyperparameters["lambda_"]
        rate = (
            optax.cosine_decay_schedule(peak, n_steps)
            if schedule == "cosine"
            else optax.constant_schedule(peak)
        )
        optimizer = (
            adam_l2(rate, lambda_)
            if method == "coupled"
            else adamw(rate, lambda_, scaled_by=method, peak_learning_rate=peak)
        )
        network = perceptron(init_key, (images.shape[1], config.hidden, 10))
        order = batches(batch_key, rows, config.n_epochs, config.batch_size)
        network = fit(network, optimizer, images, labels, order)
        return {
            "validation": loss(network, images[validation], labels[validation]),
            "test": loss(network, images[test], labels[test]),
            "accuracy": accuracy(logits(network, images[test]), labels[test]),
        }

    rates, strengths = np.meshgrid(
        config.learning_rates, getattr(config, METHODS[method]), indexing="ij"
    )
    lanes = {"learning_rate": rates.ravel(), "lambda_": strengths.ravel()}
    return run_lanes(train, lanes, range(config.n_seeds), images, labels).outputs


def claims(records: Sequence[Record]) -> list[Claim]:
    """Return what Loshchilov and Hutter (2019) say of the two axes and of the best loss."""
    found = []
    for schedule in SCHEDULES:
        coupled, *decoupled = [record for record in records if record["schedule"] == schedule]
        by_schedule = next(record for record in decoupled if record["method"] == "schedule")
        found.append(_separable_claim(coupled, by_schedule))
        found += [_slope_claim(record) for record in decoupled]
        found += [_loss_claim(record) for record in decoupled]
    return found


def _separable_claim(coupled: Record, decoupled: Record) -> Claim:
    shares = [record["interaction (%)"] for record in (coupled, decoupled)]
    error = np.hypot(*(record["s.e. of the interaction"] for record in (coupled, decoupled)))
    return Claim(
        f"{coupled['schedule']} rate: axes are more separable under AdamW (decay by schedule) than "
        "under Adam + L2",
        "a smaller share of interaction",
        f"{shares[1]:.0f} % against {shares[0]:.0f} %",
        f"2 s.e. of the difference: {2 * error:.0f} %",
        bool(shares[1] + 2 * error < shares[0]),
    )


_FORMS = {
    "learning_rate": "by learning rate",
    "schedule": "by schedule",
    "squared_learning_rate": "by its square",
}


def _slope_claim(record: Record) -> Claim:
    slope, error = record["slope of the best decay"], record["s.e. of the slope"]
    return Claim(
        f"{record['schedule']} rate: AdamW's best strength (decay {_FORMS[record['method']]}) does "
        "not depend on the learning rate",
        "slope 0 between logarithms",
        f"{slope:.2f}",
        f"2 s.e.: {2 * error:.2f}",
        bool(abs(slope) <= 2 * error),
    )


def _loss_claim(record: Record) -> Claim:
    low, high = record["95 % interval"]
    return Claim(
        f"{record['schedule']} rate: the best AdamW (decay {_FORMS[record['method']]}) has a lower "
        "test loss than the best Adam + L2",
        "a ratio below 1",
        f"{record['test loss over coupled']:.3f}",
        f"95 % interval {low:.3f} to {high:.3f}",
        high < 1,
    )


_STYLES = {
    "coupled": ("#D55E00", "s"),
    "learning_rate": ("#009E73", "^"),
    "schedule": ("#0072B2", "o"),
    "squared_learning_rate": ("#CC79A7", "D"),
}


def draw(records: Sequence[Record]) -> Figure:
    """Return the heat maps, schedules in rows and methods in columns, and the two scores."""
    figure = Figure(figsize=(14.4, 7.0), layout="constrained")
    axes = figure.subplots(len(SCHEDULES), len(METHODS))
    least = min(np.min(record["log validation loss"]) for record in records)
    for record in records:
        place = SCHEDULES.index(record["schedule"]), list(METHODS).index(record["method"])
        image = _draw_map(axes[place], record, least)
    # The third decoupled form has no map of its own at a fixed rate.
    _draw_scores(axes[0, -1], records)
    for axis, method in zip(axes[1], METHODS, strict=True):
        axis.set_xlabel("$\\lambda$")
        axis.set_title(f"{NAMES[method]}, cosine")
    for axis, method in zip(axes[0, :-1], METHODS, strict=False):
        axis.set_title(f"{NAMES[method]}, fixed")
    for axis in axes[:, 0]:
        axis.set_ylabel("largest learning rate $\\eta$")
    label = "validation loss, in units of the least of all maps"
    bar = figure.colorbar(image, ax=axes, label=label, shrink=0.7, extend="max", pad=0.01)
    bar.set_ticks([1, 1.5, 2, 3, 4, 5], labels=["1", "1.5", "2", "3", "4", "5"])
    bar.minorticks_off()
    return figure


def _draw_map(axis: Axes, record: Record, least: float) -> QuadMesh:
    rates, strengths = record["learning rates"], record["lambdas"]
    losses = np.array(record["log validation loss"])
    ratio = np.exp(losses - least)
    norm = LogNorm(1, 5)
    image = axis.pcolormesh(_edges(strengths), _edges(rates), ratio, cmap="viridis_r", norm=norm)
    best = [np.exp(lowest(np.log(strengths), row)) for row in losses]
    axis.plot(best, rates, "o-", color="white", mec="black", ms=4, lw=1.2)
    axis.plot(record["lambda"], record["learning rate"], "*", color="#D55E00", mec="white", ms=14)
    axis.set(xscale="log", yscale="log")
    return image


def _edges(values: Sequence[float]) -> np.ndarray:
    """Return the cells' borders of equally spaced logarithms."""
    half = np.sqrt(values[1] / values[0])
    return np.append(np.array(values) / half, values[-1] * half)


def _draw_scores(axis: Axes, records: Sequence[Record]) -> None:
    for record in records:
        color, marker = _STYLES[record["method"]]
        fixed = record["schedule"] == "fixed"
        axis.errorbar(
            record["slope of the best decay"],
            record["interaction (%)"],
            record["s.e. of the interaction"],
            record["s.e. of the slope"],
            fmt=marker,
            color=color,
            mfc="white" if fixed else color,
            ms=7,
            label=None if fixed else NAMES[record["method"]],
        )
    # Up to where the legend begins.
    axis.axvline(0, ymax=0.7, color="0.7", lw=0.8, zorder=0)
    highest = max(record["interaction (%)"] for record in records)
    axis.set(
        title="the two scores (open: fixed)",
        xlabel="slope of the best $\\log \\lambda$ over $\\log \\eta$",
        ylabel="interaction (% of variance)",
        ylim=(0, 1.8 * highest),
    )
    axis.legend(fontsize=8, frameon=False, loc="upper left")
    axis.spines[["top", "right"]].set_visible(False)
