"""Rotational equilibrium: decay sets how fast weights turn, whatever their gradients' size."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

from experiments.report import Claim, Record
from experiments.rotational_equilibrium import theory
from experiments.rotational_equilibrium.figure import draw
from regjax import masks
from regjax.sweeps import run_lanes
from regjax.transforms import adam_l2, adamw, lionw, sgd_l2

__all__ = ["RTOL", "Config", "claims", "draw", "run"]

RTOL = 0.02

# How far a measured mean may lie from theory, which is of small steps; layers from each other.
TOLERANCE, BALANCE = 0.05, 0.1


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.rotational_equilibrium`, about 20 s on 2 cores.

    First a random walk: a weight vector and random gradients, orthogonal to it and inversely
    proportional to its norm. Then a network of normalised neurons on the digits.
    """

    seed: int = 0
    n_seeds: int = 2
    size: int = 128
    n_steps: int = 20_000
    n_blocks: int = 100
    momentum: float = 0.9
    b1: float = 0.9
    b2: float = 0.999
    lion_b2: float = 0.99
    # Strengths, in units of each optimizer's own.
    strengths: tuple[float, ...] = (0.3, 1.0, 3.0)
    # Norms at the start, in units of the predicted one.
    starts: tuple[float, ...] = (0.3, 3.0)
    gradient_scales: tuple[float, ...] = (0.25, 4.0)
    hidden: int = 64
    batch_size: int = 32
    n_network_steps: int = 8000
    mislabelled: float = 0.3


class Case(NamedTuple):
    """An optimizer, where theory says that it comes to rest, and where both are tried."""

    make: Callable[[Config, jax.Array, jax.Array], optax.GradientTransformation]
    equilibrium: Callable[[Config], Callable[..., theory.Equilibrium]]
    learning_rate: float
    lambda_: float


_CASES = {
    "SGD, momentum, L2": Case(
        lambda c, rate, lambda_: sgd_l2(rate, lambda_, momentum=c.momentum, mask=masks.everything),
        lambda c: partial(theory.sgd, momentum=c.momentum),
        0.05,
        0.01,
    ),
    "AdamW": Case(
        lambda c, rate, lambda_: adamw(rate, lambda_, b1=c.b1, b2=c.b2, mask=masks.everything),
        lambda c: partial(theory.adamw, b1=c.b1),
        0.01,
        0.05,
    ),
    "Lion": Case(
        lambda c, rate, lambda_: lionw(rate, lambda_, b1=c.b1, b2=c.lion_b2, mask=masks.everything),
        lambda c: partial(theory.lion, b1=c.b1, b2=c.lion_b2),
        0.002,
        0.1,
    ),
    "Adam, L2": Case(
        lambda c, rate, lambda_: adam_l2(rate, lambda_, b1=c.b1, b2=c.b2, mask=masks.everything),
        lambda c: partial(theory.adam_l2, b1=c.b1),
        0.01,
        0.001,
    ),
}


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return norms and rotations, measured and predicted: random walks, then layers."""
    walks = [record for name in _CASES for record in _walks(name, config)]
    return walks + [record for name in _CASES for record in _layers(name, config)]


def _walks(name: str, config: Config) -> list[Record]:
    case = _CASES[name]
    settings = [(strength, 1.0, 1.0) for strength in config.strengths]
    settings += [(1.0, start, 1.0) for start in config.starts]
    settings += [(1.0, 1.0, scale) for scale in config.gradient_scales]
    predicted = [
        case.equilibrium(config)(case.learning_rate, case.lambda_ * strength, scale, config.size)
        for strength, _, scale in settings
    ]
    lanes = {
        "lambda_": [case.lambda_ * strength for strength, _, _ in settings],
        "start": [start * p.norm for (_, start, _), p in zip(settings, predicted, strict=True)],
        "scale": [scale for _, _, scale in settings],
    }

    def train(hyperparameters: dict, key: jax.Array) -> dict:
        tx = case.make(config, case.learning_rate, hyperparameters["lambda_"])

        def step(carry: tuple, key: jax.Array) -> tuple:
            w, state = carry
            norm = jnp.linalg.norm(w)
            g = jax.random.normal(key, (config.size,), w.dtype) / jnp.sqrt(config.size)
            g = hyperparameters["scale"] * (g - w * (g @ w) / norm**2) / norm
            updates, state = tx.update(g, state, w)
            after = optax.apply_updates(w, updates)
            return (after, state), (norm, _angles(w, after))

        def block(carry: tuple, key: jax.Array) -> tuple:
            keys = jax.random.split(key, config.n_steps // config.n_blocks)
            carry, (norms, angles) = jax.lax.scan(step, carry, keys)
            return carry, (norms.mean(), angles.mean())

        start_key, key = jax.random.split(key)
        w = jax.random.normal(start_key, (config.size,), hyperparameters["start"].dtype)
        w = w * hyperparameters["start"] / jnp.linalg.norm(w)
        keys = jax.random.split(key, config.n_blocks)
        _, (norms, angles) = jax.lax.scan(block, (w, tx.init(w)), keys)
        return {"norm": norms, "rotation": angles}

    outputs = run_lanes(train, lanes, config.n_seeds, dtype="float64").outputs
    means = {name: values.mean(axis=0) for name, values in outputs.items()}
    half = config.n_blocks // 2
    return [
        {
            "optimizer": name,
            "weights": "random walk",
            "lambda": lanes["lambda_"][i],
            "start": start,
            "gradient scale": scale,
            "norm": float(means["norm"][i, half:].mean()),
            "norm, theory": predicted[i].norm,
            "rotation": float(means["rotation"][i, half:].mean()),
            "rotation, theory": predicted[i].rotation,
            "steps per mean": config.n_steps // config.n_blocks,
            "norms": means["norm"][i].tolist(),
        }
        for i, (_, start, scale) in enumerate(settings)
    ]


def _angles(w: jax.Array, after: jax.Array) -> jax.Array:
    """Return the angles between vectors along the first axis."""
    norms = jnp.linalg.norm(w, axis=0) * jnp.linalg.norm(after, axis=0)
    return jnp.arccos(jnp.minimum(jnp.sum(w * after, axis=0) / norms, 1))


def _layers(name: str, config: Config) -> list[Record]:
    """Return the mean rotation of the neurons of each layer of a network that is being trained."""
    case = _CASES[name]
    X, labels = load_digits(return_X_y=True)
    X = X[:, X.std(axis=0) > 0]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    rng = np.random.default_rng(config.seed)
    wrong = rng.random(len(labels)) < config.mislabelled
    labels = np.where(wrong, rng.integers(10, size=len(labels)), labels)
    shapes = (X.shape[1], config.hidden), (config.hidden, 10)

    def loss(layers: list[jax.Array], X: jax.Array, labels: jax.Array) -> jax.Array:
        # Neurons are columns of norm 1.
        first, last = (w / jnp.linalg.norm(w, axis=0) for w in layers)
        logits = 2 * jax.nn.relu(X @ first) @ last
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def train(hyperparameters: dict, key: jax.Array, X: jax.Array, labels: jax.Array) -> dict:
        tx = case.make(config, case.learning_rate, hyperparameters["lambda_"])

        def step(carry: tuple, key: jax.Array) -> tuple:
            layers, state = carry
            rows = jax.random.randint(key, (config.batch_size,), 0, len(X))
            gradients = jax.grad(loss)(layers, X[rows], labels[rows])
            updates, state = tx.update(gradients, state, layers)
            after = optax.apply_updates(layers, updates)
            norms = jnp.stack([jnp.linalg.norm(w, axis=0).mean() for w in layers])
            turned = [_angles(w, v).mean() for w, v in zip(layers, after, strict=True)]
            return (after, state), (norms, jnp.stack(turned))

        start_key, key = jax.random.split(key)
        layers = [
            jax.random.normal(k, shape, X.dtype)
            for k, shape in zip(jax.random.split(start_key), shapes, strict=True)
        ]
        keys = jax.random.split(key, config.n_network_steps)
        (layers, _), (norms, angles) = jax.lax.scan(step, (layers, tx.init(layers)), keys)
        blocks = (config.n_blocks, -1, len(shapes))
        return {
            "norm": norms.reshape(blocks).mean(axis=1),
            "rotation": angles.reshape(blocks).mean(axis=1),
        }

    lanes = {"lambda_": [case.lambda_]}
    outputs = run_lanes(train, lanes, config.n_seeds, X, labels, dtype="float64").outputs
    means = {name: values.mean(axis=(0, 1)) for name, values in outputs.items()}
    half = config.n_blocks // 2
    # Only under Adam with L2 does it depend on the size of the gradients, which is not known here.
    settled = case.equilibrium(config)(case.learning_rate, case.lambda_, 1.0, config.hidden)
    rotation = None if name == "Adam, L2" else settled.rotation
    return [
        {
            "optimizer": name,
            "weights": f"layer {i + 1}",
            "lambda": case.lambda_,
            "start": None,
            "gradient scale": None,
            "norm": float(means["norm"][half:, i].mean()),
            "norm, theory": None,
            "rotation": float(means["rotation"][half:, i].mean()),
            "rotation, theory": rotation,
            "steps per mean": config.n_network_steps // config.n_blocks,
            "norms": means["norm"][:, i].tolist(),
        }
        for i in range(len(shapes))
    ]


def claims(records: Sequence[Record]) -> list[Claim]:
    """Return theory beside random walks, then beside the layers of the network."""
    found = []
    walks = [record for record in records if record["weights"] == "random walk"]
    layers = [record for record in records if record["weights"] != "random walk"]
    for name in _CASES:
        own = [record for record in walks if record["optimizer"] == name]
        for quantity in ("norm", "rotation"):
            found.append(_near_theory(f"{name}: {quantity} of a random walk", quantity, own))
    for name in _CASES:
        own = {r["gradient scale"]: r["rotation"] for r in walks if r["optimizer"] == name}
        smallest, largest = min(own), max(own)
        power = np.log(own[largest] / own[smallest]) / np.log(largest / smallest)
        expected = -1 / 3 if name == "Adam, L2" else 0.0
        found.append(
            Claim(
                f"{name}: rotation goes with the gradient's size to the power of",
                f"{expected:.3f}",
                f"{power + 0.0:.3f}",
                str(TOLERANCE),
                bool(abs(power - expected) <= TOLERANCE),
            )
        )
    for name in _CASES:
        own = [record for record in layers if record["optimizer"] == name]
        first, second = (record["rotation"] for record in own)
        balanced = min(first, second) / max(first, second) >= 1 - BALANCE
        turns = f"{first:.5f}, {second:.5f}"
        if name == "Adam, L2":
            text = f"{name}: layers of the network turn at different rates"
            found.append(Claim(text, "different", turns, str(BALANCE), not balanced))
        else:
            text = f"{name}: layers of the network turn at one rate"
            found.append(Claim(text, "the same", turns, str(BALANCE), balanced))
            found.append(_near_theory(f"{name}: rotation in the network", "rotation", own))
    return found


def _near_theory(text: str, quantity: str, records: Sequence[Record]) -> Claim:
    ratios = [record[quantity] / record[f"{quantity}, theory"] for record in records]
    farthest = max(ratios, key=lambda ratio: abs(ratio - 1))
    holds = abs(farthest - 1) <= TOLERANCE
    return Claim(f"{text}, relative to theory", "1", f"{farthest:.3f}", str(TOLERANCE), holds)
