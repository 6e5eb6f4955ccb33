"""What AdamW minimises, and Lion, Muon, Adam with L2 and others, on a quadratic loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from experiments.report import Claim, Record
from experiments.what_adamw_minimises import figure, theory
from regjax import L1
from regjax.transforms import (
    adam_l2,
    adamw,
    decoupled_weight_decay,
    lionw,
    muon_direction,
    muonw,
    prox_adam,
    prox_adamw,
    prox_sgd,
    sgd_l2,
    sgdw,
)

RTOL = 1e-5

# Distance from the minimum at which an optimizer has arrived.
TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.what_adamw_minimises`, about 15 s on 2 cores.

    The loss is `(w - c)' A (w - c) / 2` in the plane, with correlation, and `||w - c||^2 / 2` in
    space, of four dimensions; for Muon the four numbers are the singular values of a matrix.
    """

    seed: int = 0
    lambda_: float = 0.8
    target_norm: float = 1.0
    plane_optimum: tuple[float, ...] = (3.0, 0.6)
    plane_correlation: float = 0.2
    plane_start: tuple[float, ...] = (-0.6, 1.9)
    optimum: tuple[float, ...] = (3.0, 0.5, -2.0, 0.2)
    # Inputs are as many as singular values: Muon's steps grow with the root of outputs / inputs.
    wide_outputs: int = 16
    learning_rate: float = 0.02
    n_steps: int = 60_000
    n_matrix_steps: int = 20_000


Optimizer = optax.GradientTransformation
Minimum = Callable[[np.ndarray, np.ndarray, Config], np.ndarray]
"""Function of the Hessian and the optimum of the loss."""


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return for every optimizer and loss where it ends and where theory says it does."""
    with jax.enable_x64(True):
        vectors = [record for name in _CASES for record in _on_vectors(name, config)]
        return vectors + [_on_matrices(name, config, key) for name in _MATRIX_CASES]


def _on_vectors(name: str, config: Config) -> list[Record]:
    make, minimum, means = _CASES[name]
    rho = config.plane_correlation
    losses = {
        "plane": (np.array([[1, rho], [rho, 1]]), config.plane_optimum, config.plane_start),
        "space": (np.eye(len(config.optimum)), config.optimum, np.zeros(len(config.optimum))),
    }
    records = []
    for loss, (hessian, optimum, start) in losses.items():
        quadratic = hessian, np.array(optimum)
        rate = _rate(config.learning_rate, config.n_steps)
        path = _path(make(rate, config), *quadratic, np.array(start), config.n_steps)
        records.append(_record(name, loss, means, path, minimum(*quadratic, config)))
    return records


def _on_matrices(name: str, config: Config, key: jax.Array) -> Record:
    make, loss, means = _MATRIX_CASES[name]
    values = np.sort(np.abs(config.optimum))[::-1]
    n = len(values)
    outputs = n if loss == "square" else config.wide_outputs
    normals = jax.random.normal(key, (2, outputs, outputs), jnp.float64)
    left, right = np.linalg.qr(np.asarray(normals[0, :n, :n]))[0], np.linalg.qr(normals[1])[0][:n]
    optimum = left * values @ right
    rate = _rate(config.learning_rate, config.n_matrix_steps)
    path = _path(make(rate, config), np.eye(n), optimum, 0 * optimum, config.n_matrix_steps)
    # The same singular vectors, and singular values in a box.
    expected = np.minimum(values, np.sqrt(outputs / n) / config.lambda_)
    record = _record(name, loss, means, path, left * expected @ right)
    singular = np.linalg.svd(path[-1], compute_uv=False)
    return record | {"end": singular.tolist(), "expected": expected.tolist()}


def _record(name: str, loss: str, means: str, path: np.ndarray, expected: np.ndarray) -> Record:
    shown = []
    if loss == "plane":
        shown = path[np.unique(np.geomspace(1, len(path), 150).astype(int)) - 1].tolist()
    return {
        "optimizer": name,
        "loss": loss,
        "theory": means,
        "distance": float(np.linalg.norm(path[-1] - expected)),
        "end": path[-1].tolist(),
        "expected": expected.tolist(),
        "path": shown,
    }


def _rate(learning_rate: float, n_steps: int) -> optax.Schedule:
    # It falls to 0, so that sign-like steps settle.
    return optax.cosine_decay_schedule(learning_rate, n_steps)


def _path(
    optimizer: Optimizer,
    hessian: np.ndarray,
    optimum: np.ndarray,
    start: np.ndarray,
    n_steps: int,
) -> np.ndarray:
    """Return the weights before the first step and after every one, stacked."""

    def step(carry: tuple, _: None) -> tuple:
        w, state = carry
        updates, state = optimizer.update(hessian @ (w - optimum), state, w)
        return (optax.apply_updates(w, updates), state), w

    w = jnp.asarray(start)
    (end, _), path = jax.jit(lambda: jax.lax.scan(step, (w, optimizer.init(w)), length=n_steps))()
    return np.concatenate([path, np.asarray(end)[None]])


_CASES: dict[str, tuple[Callable[[optax.Schedule, Config], Optimizer], Minimum, str]] = {
    "sgd_l2": (lambda rate, c: sgd_l2(rate, c.lambda_), theory.ridge, "loss + L2"),
    "sgdw": (lambda rate, c: sgdw(rate, c.lambda_), theory.ridge, "loss + L2"),
    "adam_l2": (lambda rate, c: adam_l2(rate, c.lambda_), theory.ridge, "loss + L2"),
    "adamw": (
        lambda rate, c: adamw(rate, c.lambda_),
        theory.box,
        "loss, all abs(w) <= 1 / lambda",
    ),
    "lionw": (
        lambda rate, c: lionw(rate, c.lambda_),
        theory.box,
        "loss, all abs(w) <= 1 / lambda",
    ),
    "adamw, cautious": (
        lambda rate, c: adamw(rate, c.lambda_, cautious=True),
        theory.free,
        "loss",
    ),
    "adamw, target norm": (
        lambda rate, c: adamw(rate, c.lambda_, target_norm=c.target_norm),
        theory.target_box,
        "loss, all abs(w) <= 1 / (lambda (1 - target / norm(w)))",
    ),
    "prox_sgd, L1": (lambda rate, c: prox_sgd(rate, L1(c.lambda_)), theory.lasso, "loss + L1"),
    "prox_adam, L1": (lambda rate, c: prox_adam(rate, L1(c.lambda_)), theory.lasso, "loss + L1"),
    "prox_adamw, L1": (
        lambda rate, c: prox_adamw(rate, L1(c.lambda_)),
        theory.free,
        "loss, for lambda < 1",
    ),
}


def _exact_muon(rate: optax.Schedule, config: Config) -> Optimizer:
    polar_factor = muon_direction(ns_steps=30, ns_coeffs=(1.5, -0.5, 0.0))
    return decoupled_weight_decay(polar_factor, rate, config.lambda_)


_BALL = "loss, spectral norm <= 1 / lambda"
_MATRIX_CASES: dict[str, tuple[Callable[[optax.Schedule, Config], Optimizer], str, str]] = {
    "muonw": (lambda rate, c: muonw(rate, c.lambda_), "square", _BALL),
    "exact muonw": (_exact_muon, "square", _BALL),
    "exact muonw, wide": (_exact_muon, "wide", "loss, spectral norm <= sqrt(out / in) / lambda"),
}


def claims(records: Sequence[Record]) -> list[Claim]:
    """Return for every optimizer whether it ends where theory says, and Muon's looser bound."""
    distances: dict[tuple[str, str], list[float]] = {}
    for record in records:
        key = record["optimizer"], record["theory"]
        distances[key] = [*distances.get(key, []), record["distance"]]
    found = []
    for (optimizer, means), values in distances.items():
        text = f"{optimizer} minimises {means}"
        near = max(values) <= TOLERANCE
        found.append(Claim(text, "distance 0", f"{max(values):.1e}", str(TOLERANCE), near))
    muon = next(record for record in records if record["optimizer"] == "muonw")
    bound, end = theory.largest_singular_value() * max(muon["expected"]), max(muon["end"])
    text = "muonw: spectral norm <= r / lambda, r the largest that Newton-Schulz leaves"
    within = end <= bound + TOLERANCE
    return [*found, Claim(text, f"<= {bound:.3f}", f"{end:.3f}", str(TOLERANCE), within)]


def draw(records: Sequence[Record]) -> Figure:
    """Return trajectories in the plane, end points in four dimensions, and singular values."""
    return figure.draw(records, Config())
