"""Gradients at the end of training: decay scaled by the learning rate, and by its square."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.effects import interval
from experiments.networks import Network, batches, digits, loss, perceptron
from experiments.report import Claim, Record
from regjax import masks
from regjax.sweeps import run_lanes
from regjax.sweeps.model import scale_features
from regjax.transforms import adamc, adamw, sgdw
from regjax.transforms.decoupled import DecoupledState


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.corrected_decay`, about 60 s on 2 cores.

    A perceptron with two hidden layers, each of them linear without bias, layer normalisation,
    ReLU, so that neither the loss nor anything else sees the norm of their weights. A share of
    the labels is drawn anew in every step, so that gradients do not vanish as they do once all
    images are learned: training never sees the same batch twice, as in language models.
    The learning rate rises over `n_warmup` steps and falls along a cosine to 0.
    """

    seed: int = 0
    hidden: tuple[int, ...] = (48, 48)
    n_train: int = 1200
    label_noise: float = 0.3
    n_steps: int = 5000
    n_warmup: int = 100
    batch_size: int = 40
    n_seeds: int = 4
    sgd_rate: float = 0.2
    sgd_lambdas: tuple[float, ...] = (0.03, 0.1)
    adam_rate: float = 4e-3
    adam_lambdas: tuple[float, ...] = (1.0, 3.0)
    # Steps are averaged over windows of this length.
    window: int = 40
    # Steady state is looked for after so many steps, and down to this share of the peak, from
    # where on weights follow the learning rate too slowly.
    n_settle: int = 1000
    quasi_static: float = 0.5


# Training in float32, whose rounding other machines and widths do differently.
RTOL = 0.05

NORMALIZED = masks.weights & ~masks.output_head

METHODS = {
    "SGDW": ("sgd_rate", "sgd_lambdas"),
    "SGDC": ("sgd_rate", "sgd_lambdas"),
    "AdamW": ("adam_rate", "adam_lambdas"),
    "AdamC": ("adam_rate", "adam_lambdas"),
}
"""Fields of the configuration with the largest learning rate and the strengths."""


def _optimizer(
    method: str, rate: optax.Schedule, lambda_: jax.Array, peak: float
) -> optax.GradientTransformation:
    match method:
        case "SGDW":
            return sgdw(rate, lambda_)
        case "SGDC":
            squared = {"squared_learning_rate": NORMALIZED}
            return sgdw(rate, lambda_, scaled_by=squared, peak_learning_rate=peak)
        case "AdamW":
            return adamw(rate, lambda_)
        case _:
            return adamc(rate, lambda_, normalized=NORMALIZED, peak_learning_rate=peak)


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return by method and strength the norms over the training and the loss at its end."""
    images, labels = digits(key)
    return [record for method in METHODS for record in _records(method, config, images, labels)]


def _records(method: str, config: Config, images: np.ndarray, labels: np.ndarray) -> list[Record]:
    peak, lambdas = (getattr(config, field) for field in METHODS[method])
    outputs = _train_lanes(method, config, images, labels)
    schedule = _schedule(peak, config)
    rates = np.asarray(schedule(np.arange(config.n_steps))).reshape(-1, config.window).mean(axis=1)
    steps = config.window * (np.arange(len(rates)) + 0.5)
    gradient, scaled, weight = (
        outputs[name].mean(axis=0) for name in ("gradient", "scaled gradient", "weight")
    )
    ratio, scaled_ratio = np.sqrt(gradient / weight), np.sqrt(scaled / weight)
    settled = (steps > config.n_settle) & (rates >= config.quasi_static * peak)
    records = []
    for k, lambda_ in enumerate(lambdas):
        steady = np.sqrt(2 * lambda_ / (peak if method.endswith("C") else rates))
        steady = np.broadcast_to(steady, rates.shape)
        records.append(
            {
                "method": method,
                "lambda": lambda_,
                "gradient / weights, end over middle": growth(ratio[k]),
                "gradient, end over middle": growth(np.sqrt(gradient[k])),
                "ratio over that of steady state": float(
                    np.mean(scaled_ratio[k][settled] / steady[settled])
                ),
                "held-out loss": float(outputs["held out"][:, k].mean()),
                "step": steps.tolist(),
                "learning rate": rates.tolist(),
                "gradient norm": np.sqrt(gradient[k]).tolist(),
                "ratio": ratio[k].tolist(),
                "scaled ratio": scaled_ratio[k].tolist(),
                "scaled ratio of steady state": steady.tolist(),
                "held-out losses": outputs["held out"][:, k].tolist(),
            }
        )
    return records


def growth(values: np.ndarray) -> float:
    """Return the mean over the last twentieth of the training over that of the middle tenth.

    Example:
        >>> print(growth(np.where(np.arange(100) < 95, 1.0, 3.0)))
        3.0
    """
    n = len(values)
    return float(np.mean(values[-(n // 20) :]) / np.mean(values[n * 9 // 20 : n * 11 // 20]))


def _schedule(peak: float, config: Config) -> optax.Schedule:
    return optax.warmup_cosine_decay_schedule(0.0, peak, config.n_warmup, config.n_steps)


def _train_lanes(method: str, config: Config, images: np.ndarray, labels: np.ndarray) -> dict:
    """Return squared norms of normalised layers, window by window, and held-out losses."""
    peak, lambdas = (getattr(config, field) for field in METHODS[method])
    n_epochs = -(-config.n_steps // (config.n_train // config.batch_size))

    def train(hyperparameters: dict, key: jax.Array, images: jax.Array, labels: jax.Array) -> dict:
        split_key, init_key, batch_key, noise_key = jax.random.split(key, 4)
        order = jax.random.permutation(split_key, len(images))
        rows, held_out = jnp.split(order, [config.n_train])
        images = scale_features(images[rows]).apply(images)
        network = perceptron(init_key, (images.shape[1], *config.hidden, 10), norm=True, bias=False)
        optimizer = _optimizer(method, _schedule(peak, config), hyperparameters["lambda_"], peak)
        normalized = NORMALIZED.resolve(network)

        def norm2(tree: Network) -> jax.Array:
            parts = jax.tree.map(
                lambda leaf, on: jnp.sum(jnp.square(leaf)) if on else 0.0, tree, normalized
            )
            return jax.tree.reduce(jnp.add, parts)

        def step(carry: tuple, inputs: tuple) -> tuple:
            network, state = carry
            rows, key = inputs
            drawn = _noisy(key, labels[rows], config.label_noise)
            gradient = jax.grad(loss)(network, images[rows], drawn)
            updates, state = optimizer.update(gradient, state, network)
            norms = {
                "gradient": norm2(gradient),
                "scaled gradient": norm2(_scaled(gradient, state)),
                "weight": norm2(network),
            }
            return (optax.apply_updates(network, updates), state), norms

        def window(carry: tuple, inputs: tuple) -> tuple:
            carry, norms = jax.lax.scan(step, carry, inputs)
            return carry, jax.tree.map(jnp.mean, norms)

        shape = (config.n_steps // config.window, config.window)
        order = batches(batch_key, rows, n_epochs, config.batch_size)[: config.n_steps]
        inputs = order.reshape(*shape, config.batch_size), jax.random.split(noise_key, shape)
        (network, _), norms = jax.lax.scan(window, (network, optimizer.init(network)), inputs)
        noise = config.label_noise
        clean = loss(network, images[held_out], labels[held_out])
        drawn = jnp.mean(
            jnp.stack(
                [loss(network, images[held_out], jnp.full_like(held_out, c)) for c in range(10)]
            )
        )
        return {**norms, "held out": (1 - noise) * clean + noise * drawn}

    return run_lanes(train, {"lambda_": lambdas}, range(config.n_seeds), images, labels).outputs


def _noisy(key: jax.Array, labels: jax.Array, share: float) -> jax.Array:
    which_key, label_key = jax.random.split(key)
    which = jax.random.bernoulli(which_key, share, labels.shape)
    return jnp.where(which, jax.random.randint(label_key, labels.shape, 0, 10), labels)


def _scaled(gradient: Network, state: DecoupledState) -> Network:
    """Return the gradient in the optimizer's metric: for Adam divided by the root of `nu`."""
    adam = state.direction
    if not isinstance(adam, optax.ScaleByAdamState):
        return gradient
    nu = optax.tree.bias_correction(adam.nu, 0.999, adam.count)
    return jax.tree.map(lambda g, v: g / (jnp.sqrt(v) + 1e-8), gradient, nu)


def claims(records: Sequence[Record]) -> list[Claim]:
    """Return what Defazio (2025) says of steady states, of the end of training and of the loss."""
    by_case = {(record["method"], record["lambda"]): record for record in records}
    found = []
    for method in METHODS:
        off = [r["ratio over that of steady state"] for r in records if r["method"] == method]
        found.append(
            Claim(
                f"{method}: gradient / weights settles at sqrt(2 lambda / rate)",
                "1 over its formula",
                ", ".join(f"{value:.3f}" for value in off),
                "0.1",
                bool(np.max(np.abs(np.subtract(off, 1))) <= 0.1),
            )
        )
    for method in METHODS:
        grown = [r["gradient / weights, end over middle"] for r in records if r["method"] == method]
        corrected = method.endswith("C")
        found.append(
            Claim(
                f"{method}: gradient / weights {'does not grow' if corrected else 'grows'} "
                "towards the end of the schedule",
                "end over middle at most 1" if corrected else "end over middle above 1",
                ", ".join(f"{value:.2f}" for value in grown),
                "0.1",
                max(grown) <= 1.1 if corrected else min(grown) > 1.1,
            )
        )
    for method in ("SGDW", "AdamW"):
        grown = [r["gradient, end over middle"] for r in records if r["method"] == method]
        found.append(
            Claim(
                f"{method}: the gradient itself grows towards the end of the schedule",
                "end over middle above 1",
                ", ".join(f"{value:.2f}" for value in grown),
                "0.1",
                min(grown) > 1.1,
            )
        )
    for plain, corrected in (("SGDW", "SGDC"), ("AdamW", "AdamC")):
        for lambda_ in sorted({r["lambda"] for r in records if r["method"] == plain}):
            pair = [by_case[method, lambda_]["held-out losses"] for method in (corrected, plain)]
            low, high = interval(np.log(pair[0]) - np.log(pair[1]))
            found.append(
                Claim(
                    f"{corrected} ends at a lower held-out loss than {plain}, lambda {lambda_:g}",
                    "a ratio below 1",
                    f"{np.exp((low + high) / 2):.4f}",
                    f"95 % interval {np.exp(low):.4f} to {np.exp(high):.4f}",
                    bool(high < 0),
                )
            )
    return found


_COLORS = {"SGDW": "#D55E00", "SGDC": "#0072B2", "AdamW": "#D55E00", "AdamC": "#0072B2"}
_DASHES = ("-", "--")


def draw(records: Sequence[Record]) -> Figure:
    """Return for SGD and for Adam the ratio with its theory, and the gradients themselves."""
    figure = Figure(figsize=(13.2, 4.4), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, methods, column, theory, title in (
        (axes[0], ("SGDW", "SGDC"), "scaled ratio", True, "SGD"),
        (axes[1], ("AdamW", "AdamC"), "scaled ratio", True, "Adam, gradient over $\\sqrt{v}$"),
        (axes[2], ("AdamW", "AdamC"), "ratio", False, "Adam, gradient itself"),
    ):
        _draw_ratios(axis, [r for r in records if r["method"] in methods], column, theory)
        axis.set(title=title)
        axis.legend(frameon=False, fontsize=9)
    axes[0].set_ylabel("norm of the gradient / norm of the weights,\nnormalised layers")
    return figure


def _draw_ratios(axis: Axes, records: Sequence[Record], column: str, theory: bool) -> None:
    strengths = sorted({record["lambda"] for record in records})
    for record in records:
        dash = _DASHES[strengths.index(record["lambda"])]
        label = f"{record['method']}, $\\lambda$ = {record['lambda']:g}"
        color = _COLORS[record["method"]]
        axis.plot(record["step"], record[column], dash, color=color, lw=1.5, label=label)
        if theory:
            steady = record["scaled ratio of steady state"]
            label = "theory" if record is records[-1] else None
            axis.plot(record["step"], steady, ":", color="black", lw=1.1, label=label)
    axis.set(xlabel="step", yscale="log")
    axis.spines[["top", "right"]].set_visible(False)
