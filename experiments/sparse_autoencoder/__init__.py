"""A sparse autoencoder on digits: an L1 penalty on the hidden activations."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from experiments.report import Claim, Record
from regjax import activation_l1
from regjax.sweeps import run_lanes


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.sparse_autoencoder`, about 10 s on 2 cores.

    One hidden layer of ReLUs, wider than the input; decoder columns have norm 1, so that
    the penalty cannot be escaped by shrinking activations and growing the decoder.
    """

    seed: int = 0
    lambdas: tuple[float, ...] = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3)
    hidden: int = 128
    n_steps: int = 1500
    batch_size: int = 128
    learning_rate: float = 3e-3
    n_seeds: int = 2


# Training in float32 follows the order of sums, and another machine has another.
RTOL = 0.05


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return for every strength the reconstruction error and the activity of held-out digits."""
    images = (load_digits().data / 16).astype(np.float32)
    images = images[np.asarray(jax.random.permutation(key, len(images)))]

    def train(hyperparameters: dict, key: jax.Array, train: jax.Array, test: jax.Array) -> dict:
        init_key, batch_key = jax.random.split(key)
        params = _init(init_key, train.shape[1], config.hidden)
        adam = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.n_steps))

        def loss(params: dict, x: jax.Array) -> jax.Array:
            hidden, output = _forward(params, x)
            error = jnp.mean(jnp.sum(jnp.square(output - x), axis=1)) / 2
            return error + activation_l1(hidden, hyperparameters["lambda_"])

        def step(carry: tuple, key: jax.Array) -> tuple:
            params, state = carry
            rows = jax.random.randint(key, (config.batch_size,), 0, len(train))
            updates, state = adam.update(jax.grad(loss)(params, train[rows]), state, params)
            return (optax.apply_updates(params, updates), state), None

        keys = jax.random.split(batch_key, config.n_steps)
        (params, _), _ = jax.lax.scan(step, (params, adam.init(params)), keys)
        hidden, output = _forward(params, test)
        variance = jnp.mean(jnp.sum(jnp.square(test - train.mean(axis=0)), axis=1))
        return {
            "unexplained": jnp.mean(jnp.sum(jnp.square(output - test), axis=1)) / variance,
            "active": jnp.mean(jnp.sum(hidden > 0, axis=1)),
            "never_active": jnp.mean(jnp.all(hidden == 0, axis=0)),
            "norm": jnp.mean(jnp.linalg.norm(hidden, axis=1)),
        }

    split = len(images) * 4 // 5
    lanes = {"lambda_": config.lambdas}
    outputs = run_lanes(train, lanes, range(config.n_seeds), images[:split], images[split:]).outputs
    means = {name: np.mean(values, axis=0) for name, values in outputs.items()}
    return [
        {
            "lambda": lambda_,
            "share of variance unexplained": float(means["unexplained"][i]),
            "active units per image": float(means["active"][i]),
            "share of units never active": float(means["never_active"][i]),
            "norm of the code": float(means["norm"][i]),
        }
        for i, lambda_ in enumerate(config.lambdas)
    ]


def claims(records: Sequence[Record]) -> list[Claim]:
    """Return what the strength is said to do to the code and to the reconstruction."""
    active = [record["active units per image"] for record in records]
    error = [record["share of variance unexplained"] for record in records]
    norm = [record["norm of the code"] for record in records]
    never = [record["share of units never active"] for record in records]
    lambdas = f"at {records[0]['lambda']:g} and {records[-1]['lambda']:g}"
    return [
        Claim(
            "units that an image activates become fewer with every step of the strength",
            "falls",
            f"{active[0]:.1f}, {active[-1]:.1f} {lambdas}",
            "none",
            bool(np.all(np.diff(active) < 0)),
        ),
        Claim(
            "the reconstruction gets worse with every step of the strength",
            "rises",
            f"{100 * error[0]:.2g} %, {100 * error[-1]:.2g} % of the variance {lambdas}",
            "none",
            bool(np.all(np.diff(error) > 0)),
        ),
        Claim(
            "activations shrink, even where the decoder cannot grow",
            "the norm of the code falls",
            f"{norm[0]:.2g}, {norm[-1]:.2g} {lambdas}",
            "none",
            bool(np.all(np.diff(norm) < 0)),
        ),
        Claim(
            "units die of the penalty",
            "the share never active rises",
            f"{100 * never[0]:.0f} %, {100 * never[-1]:.0f} % {lambdas}",
            "none",
            never[-1] > never[0],
        ),
    ]


def _init(key: jax.Array, n_inputs: int, hidden: int) -> dict:
    decoder = jax.random.normal(key, (hidden, n_inputs))
    decoder = decoder / jnp.linalg.norm(decoder, axis=1, keepdims=True)
    return {
        "encoder": decoder.T,
        "encoder_bias": jnp.zeros(hidden),
        "decoder": decoder,
        "decoder_bias": jnp.zeros(n_inputs),
    }


def _forward(params: dict, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    decoder = params["decoder"] / jnp.linalg.norm(params["decoder"], axis=1, keepdims=True)
    hidden = jax.nn.relu((x - params["decoder_bias"]) @ params["encoder"] + params["encoder_bias"])
    return hidden, hidden @ decoder + params["decoder_bias"]


def draw(records: Sequence[Record]) -> Figure:
    """Return reconstruction error against activity, one point per strength."""
    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axis = figure.subplots()
    x = [record["active units per image"] for record in records]
    y = [100 * record["share of variance unexplained"] for record in records]
    axis.plot(x, y, "o-", color="#0072B2")
    for record, a, b in zip(records, x, y, strict=True):
        axis.annotate(
            f"$\\lambda$ = {record['lambda']:g}", (a, b), xytext=(6, 5), textcoords="offset points"
        )
    axis.set(
        xlabel="active hidden units per image",
        ylabel="variance of held-out images unexplained (%)",
        yscale="log",
    )
    axis.margins(x=0.15)
    axis.spines[["top", "right"]].set_visible(False)
    return figure
