"""Where the optimizers end up on a quadratic loss, and what theory says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.report import Record
from regjax import L1, L2, Box
from regjax.penalties import Penalty
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


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.where_optimizers_end`, about 15 s on 2 cores.

    The loss is `(w - c)' A (w - c) / 2` in two dimensions, with correlation, and
    `||w - c||^2 / 2` in four; for Muon the four numbers are the singular values of a matrix.
    """

    seed: int = 0
    lambda_: float = 0.8
    target_norm: float = 1.0
    plane_optimum: tuple[float, ...] = (3.0, 0.6)
    plane_correlation: float = 0.2
    plane_start: tuple[float, ...] = (-0.6, 1.9)
    optimum: tuple[float, ...] = (3.0, 0.5, -2.0, 0.2)
    learning_rate: float = 0.02
    n_steps: int = 60_000


Minimum = Callable[[np.ndarray, np.ndarray, Config], np.ndarray]
"""Function of the Hessian and the optimum of the loss."""


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return for every optimizer where it ends and where theory says it does."""
    with jax.enable_x64(True):
        vectors = [_on_vectors(name, config) for name in _CASES]
        return vectors + [_on_matrices(name, config, key) for name in _MATRIX_CASES]


def _on_vectors(name: str, config: Config) -> Record:
    make, minimum, theory = _CASES[name]
    rho = config.plane_correlation
    plane = np.array([[1, rho], [rho, 1]]), np.array(config.plane_optimum)
    space = np.eye(len(config.optimum)), np.array(config.optimum)
    optimizer = make(_rate(config), config)
    path = _path(optimizer, *plane, np.array(config.plane_start), config.n_steps)
    end = _path(optimizer, *space, np.zeros(len(config.optimum)), config.n_steps)[-1]
    expected, expected_in_4d = minimum(*plane, config), minimum(*space, config)
    kept = np.unique(np.geomspace(1, config.n_steps, 150).astype(int)) - 1
    return {
        "optimizer": name,
        "theory": theory,
        "end, 2-D": _text(path[-1]),
        "theory, 2-D": _text(expected),
        "distance, 2-D": float(np.linalg.norm(path[-1] - expected)),
        "end, 4-D": _text(end),
        "theory, 4-D": _text(expected_in_4d),
        "distance, 4-D": float(np.linalg.norm(end - expected_in_4d)),
        "path": [list(config.plane_start), *path[kept].tolist()],
        "expected": expected.tolist(),
        "end": end.tolist(),
        "expected in 4-D": expected_in_4d.tolist(),
    }


def _on_matrices(name: str, config: Config, key: jax.Array) -> Record:
    values = np.sort(np.abs(config.optimum))[::-1]
    shape = (2, len(values), len(values))
    left, right = np.linalg.qr(np.asarray(jax.random.normal(key, shape, jnp.float64)))[0]
    optimum = left @ np.diag(values) @ right.T
    optimizer = _MATRIX_CASES[name](_rate(config), config)
    path = _path(optimizer, np.eye(len(values)), optimum, np.zeros(shape[1:]), config.n_steps)
    expected = np.minimum(values, 1 / config.lambda_)
    distance = np.linalg.norm(path[-1] - left @ np.diag(expected) @ right.T)
    end = np.linalg.svd(path[-1], compute_uv=False)
    return {
        "optimizer": name,
        "theory": "min loss, spectral norm <= 1 / lambda",
        "end, 2-D": "",
        "theory, 2-D": "",
        "distance, 2-D": "",
        "end, 4-D": _text(end),
        "theory, 4-D": _text(expected),
        "distance, 4-D": float(distance),
        "path": [],
        "expected": [],
        "end": end.tolist(),
        "expected in 4-D": expected.tolist(),
    }


def _rate(config: Config) -> optax.Schedule:
    # It falls to 0, so that sign-like steps settle.
    return optax.cosine_decay_schedule(config.learning_rate, config.n_steps)


def _path(
    optimizer: optax.GradientTransformation,
    hessian: np.ndarray,
    optimum: np.ndarray,
    start: np.ndarray,
    n_steps: int,
) -> np.ndarray:
    def step(carry: tuple, _: None) -> tuple:
        w, state = carry
        updates, state = optimizer.update(hessian @ (w - optimum), state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), w

    w = jnp.asarray(start)
    _, path = jax.jit(lambda: jax.lax.scan(step, (w, optimizer.init(w)), length=n_steps))()
    return np.asarray(path)


def minimum_with(penalty: Penalty, hessian: np.ndarray, optimum: np.ndarray) -> np.ndarray:
    """Return the minimiser of the quadratic loss plus `penalty`."""
    step_size = 1 / np.linalg.norm(hessian, 2)

    def iterate(_: int, w: jax.Array) -> jax.Array:
        return penalty.prox(w - step_size * (hessian @ (w - optimum)), step_size)

    return np.asarray(jax.lax.fori_loop(0, 2000, iterate, jnp.asarray(optimum)))


def _ridge(hessian: np.ndarray, optimum: np.ndarray, config: Config) -> np.ndarray:
    return minimum_with(L2(config.lambda_), hessian, optimum)


def _lasso(hessian: np.ndarray, optimum: np.ndarray, config: Config) -> np.ndarray:
    return minimum_with(L1(config.lambda_), hessian, optimum)


def _in_box(hessian: np.ndarray, optimum: np.ndarray, config: Config) -> np.ndarray:
    return _boxed(hessian, optimum, 1 / config.lambda_)


def _unpenalised(hessian: np.ndarray, optimum: np.ndarray, config: Config) -> np.ndarray:
    return optimum


def _in_target_box(hessian: np.ndarray, optimum: np.ndarray, config: Config) -> np.ndarray:
    """Return the minimiser in the box whose side fits its norm, by bisection on the norm.

    At rest the decay `lambda_ (1 - r / ||w||) w` is that of AdamW at another strength.
    """

    def boxed(norm: float) -> np.ndarray:
        return _boxed(hessian, optimum, 1 / (config.lambda_ * (1 - config.target_norm / norm)))

    low, high = config.target_norm * (1 + 1e-9), 10 * float(np.linalg.norm(optimum))
    for _ in range(60):
        middle = (low + high) / 2
        if np.linalg.norm(boxed(middle)) > middle:
            low = middle
        else:
            high = middle
    return boxed(low)


def _boxed(hessian: np.ndarray, optimum: np.ndarray, side: float) -> np.ndarray:
    return minimum_with(Box(-side, side), hessian, optimum)


_CASES: dict[
    str, tuple[Callable[[optax.Schedule, Config], optax.GradientTransformation], Minimum, str]
] = {
    "sgd_l2": (lambda rate, c: sgd_l2(rate, c.lambda_), _ridge, "min loss + L2"),
    "sgdw": (lambda rate, c: sgdw(rate, c.lambda_), _ridge, "min loss + L2"),
    "adam_l2": (lambda rate, c: adam_l2(rate, c.lambda_), _ridge, "min loss + L2"),
    "adamw": (
        lambda rate, c: adamw(rate, c.lambda_),
        _in_box,
        "min loss, all abs(w) <= 1 / lambda",
    ),
    "lionw": (
        lambda rate, c: lionw(rate, c.lambda_),
        _in_box,
        "min loss, all abs(w) <= 1 / lambda",
    ),
    "adamw, cautious": (
        lambda rate, c: adamw(rate, c.lambda_, cautious=True),
        _unpenalised,
        "min loss",
    ),
    "adamw, target norm": (
        lambda rate, c: adamw(rate, c.lambda_, target_norm=c.target_norm),
        _in_target_box,
        "min loss, all abs(w) <= 1 / (lambda (1 - target / norm(w)))",
    ),
    "prox_sgd, L1": (lambda rate, c: prox_sgd(rate, L1(c.lambda_)), _lasso, "min loss + L1"),
    "prox_adam, L1": (lambda rate, c: prox_adam(rate, L1(c.lambda_)), _lasso, "min loss + L1"),
    "prox_adamw, L1": (
        lambda rate, c: prox_adamw(rate, L1(c.lambda_)),
        _unpenalised,
        "min loss, for lambda < 1",
    ),
}

_MATRIX_CASES: dict[str, Callable[[optax.Schedule, Config], optax.GradientTransformation]] = {
    "muonw": lambda rate, c: muonw(rate, c.lambda_),
    "muonw, exact polar factor": lambda rate, c: decoupled_weight_decay(
        muon_direction(ns_steps=30, ns_coeffs=(1.5, -0.5, 0.0)), rate, c.lambda_
    ),
}


def _text(w: np.ndarray) -> str:
    return ", ".join(f"{x:.3f}" for x in w + 0.0)


_BLUE, _RED, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
# What stands in one panel: names with colour, line and marker.
_PANELS = {
    "L2: all end in the ridge solution": {
        "sgd_l2": (_BLUE, "-", "o"),
        "sgdw": (_RED, ":", "^"),
        "adam_l2": (_GREEN, "--", "s"),
    },
    "decoupled decay: best point of a box": {
        "adamw": (_BLUE, "-", "o"),
        "lionw": (_RED, "--", "^"),
    },
    "L1: the lasso needs Adam's own metric": {
        "prox_sgd, L1": (_BLUE, "-", "o"),
        "prox_adam, L1": (_GREEN, "--", "s"),
        "prox_adamw, L1": (_RED, "-.", "^"),
    },
    "decay that lets go": {
        "adamw, cautious": (_PURPLE, "-", "D"),
        "adamw, target norm": (_GREEN, "--", "s"),
    },
}
_IN_SPACE = {
    "adam_l2": (_GREEN, "s"),
    "adamw": (_BLUE, "o"),
    "prox_adam, L1": (_RED, "^"),
    "adamw, target norm": (_PURPLE, "D"),
}
_OF_MATRICES = {"muonw": (_RED, "^"), "muonw, exact polar factor": (_BLUE, "o")}


def draw(records: Sequence[Record]) -> Figure:
    """Return trajectories in the plane, end points in four dimensions, and singular values."""
    by_name = {record["optimizer"]: record for record in records}
    config = Config()
    figure = Figure(figsize=(12.6, 7.3), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    for axis, (title, styles) in zip(axes, _PANELS.items(), strict=False):
        _draw_plane(axis, title, styles, by_name, config)
    _draw_coordinates(
        axes[4],
        "four dimensions, same $\\lambda$",
        _IN_SPACE,
        by_name,
        [f"$w_{i + 1}$" for i in range(len(config.optimum))],
        config.optimum,
    )
    singular = sorted(map(abs, config.optimum), reverse=True)
    _draw_coordinates(
        axes[5],
        "Muon: the same box for singular values",
        _OF_MATRICES,
        by_name,
        [f"$\\sigma_{i + 1}$" for i in range(len(singular))],
        singular,
    )
    for axis in axes[4:]:
        for side in (1 / config.lambda_, -1 / config.lambda_)[: 1 if axis is axes[5] else 2]:
            axis.axhline(side, color="0.6", lw=0.8, ls="--", zorder=0)
    return figure


def _draw_plane(axis: Axes, title: str, styles: dict, by_name: dict, config: Config) -> None:
    rho, (x, y) = config.plane_correlation, config.plane_optimum
    w1, w2 = np.meshgrid(np.linspace(-1, 3.6, 120), np.linspace(-0.6, 2.2, 90))
    loss = ((w1 - x) ** 2 + 2 * rho * (w1 - x) * (w2 - y) + (w2 - y) ** 2) / 2
    axis.contour(w1, w2, loss, np.array([0.1, 0.5, 1.2, 2.2, 3.5, 5.1]), colors="0.85", zorder=0)
    axis.axhline(0, color="0.75", lw=0.6, zorder=0)
    axis.axvline(0, color="0.75", lw=0.6, zorder=0)
    if "adamw" in styles:
        side = 1 / config.lambda_
        box = Rectangle((-side, -side), 2 * side, 2 * side, fc="#56B4E9", alpha=0.25, zorder=0)
        axis.add_patch(box)
        axis.text(-0.93, -0.5, "$||w||_\\infty \\leq 1 / \\lambda$", fontsize=9)
    ends = {tuple(np.round(by_name[name]["expected"], 6)) for name in styles}
    for i, end in enumerate(sorted(ends)):
        label = "theory" if i == 0 else None
        axis.plot(*end, "o", ms=15, mfc="none", mec="black", mew=1.2, label=label, zorder=4)
    for name, (color, dash, marker) in styles.items():
        path = np.array(by_name[name]["path"])
        axis.plot(path[:, 0], path[:, 1], dash, color=color, lw=1.8)
        axis.plot(*path[-1], marker, color=color, ms=6, zorder=5)
        axis.plot([], [], dash, marker=marker, color=color, ms=6, lw=1.8, label=name)
    axis.plot(x, y, "x", color="black", ms=8, mew=1.8, label="minimum of the loss", zorder=3)
    axis.plot(*config.plane_start, ".", color="0.4", ms=9)
    axis.annotate(
        "start", config.plane_start, xytext=(6, 4), textcoords="offset points", color="0.3"
    )
    axis.set(title=title, xlim=(-1, 3.6), ylim=(-0.6, 2.2), xlabel="$w_1$", ylabel="$w_2$")
    axis.set_aspect("equal")
    axis.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.23), ncols=2, frameon=False)


def _draw_coordinates(
    axis: Axes,
    title: str,
    styles: dict,
    by_name: dict,
    names: Sequence[str],
    optimum: Sequence[float],
) -> None:
    places = np.arange(len(names))
    axis.plot(places, optimum, "x", color="black", ms=8, mew=1.8, label="minimum of the loss")
    width = 0.74 / len(styles)
    for k, (name, (color, marker)) in enumerate(styles.items()):
        at = places + 0.12 + width * (k + 0.5)
        theory = "theory" if k == 0 else None
        expected = by_name[name]["expected in 4-D"]
        axis.plot(at, expected, "o", ms=12, mfc="none", mec="black", mew=1.0, label=theory)
        axis.plot(at, by_name[name]["end"], marker, color=color, ms=6, label=name)
    axis.axhline(0, color="0.75", lw=0.6, zorder=0)
    axis.set_xticks(places + 0.4, names)
    axis.set(title=title, ylabel="end point", xlim=(-0.2, len(names)))
    axis.set_box_aspect(2.8 / 4.6)
    axis.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, frameon=False)
