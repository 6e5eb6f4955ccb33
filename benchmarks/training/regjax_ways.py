"""The trainings by `run_sweep`, with its defaults."""

from __future__ import annotations

import itertools
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

from benchmarks.training.problem import BETA_1, BETA_2, EPS, LEARNING_RATE, Problem
from regjax.losses import softmax_loss
from regjax.masks import everything
from regjax.sweeps import Fit, Grid, Training, run_sweep
from regjax.transforms import adam_l2, adamw

_OPTIMIZERS = {"adam_l2": adam_l2, "adamw": adamw}


def training(regularizer: str, n_steps: int, evaluate_every: int | None = None) -> Training:
    """Return the training in steps; `.as_function()` is the same as a pure function."""

    def optimizer(hp: Any) -> optax.GradientTransformation:
        make = _OPTIMIZERS[regularizer]
        moments = {"b1": BETA_1, "b2": BETA_2, "eps": EPS}
        return make(LEARNING_RATE, hp["lambda_"], mask=everything, **moments)

    def loss(w: Any, X: jax.Array, y: jax.Array) -> jax.Array:
        # Samples last: mapped over weights, no product needs anything transposed.
        hidden = jax.nn.relu(w["w0"] @ X.T + w["b0"][:, None])
        return softmax_loss((w["w1"] @ hidden + w["b1"][:, None]).T, y)

    def init(hp: Any, key: Any, X: Any, y: Any, rows: Any, initial: Any) -> tuple[Any, Any]:
        return initial, optimizer(hp).init(initial)

    def step(
        hp: Any, state: Any, index: Any, key: Any, X: Any, y: Any, rows: Any, initial: Any
    ) -> tuple[Any, Any]:
        (w, moments), batch = state, rows[index]
        updates, moments = optimizer(hp).update(jax.grad(loss)(w, X[batch], y[batch]), moments, w)
        return optax.apply_updates(w, updates), moments

    def evaluate(hp: Any, state: Any, key: Any, X: Any, y: Any, *_: Any) -> dict[str, Any]:
        return {"loss": loss(state[0], X, y)}

    return Training(init, step, evaluate, n_steps, evaluate_every, params=lambda state: state[0])


def function(regularizer: str) -> Callable[..., Fit]:
    """Return the training as a user of JAX writes it: a scan over the batches."""

    def train(hp: Any, key: Any, X: Any, y: Any, all_rows: Any, initial: Any) -> Fit:
        stepped = training(regularizer, len(all_rows))

        def one(state: Any, rows: Any) -> tuple[Any, None]:
            return stepped.step(hp, state, 0, key, X, y, rows[None], initial), None

        state = stepped.init(hp, key, X, y, all_rows, initial)
        state, _ = jax.lax.scan(one, state, all_rows)
        return Fit(state[0], stepped.evaluate(hp, state, key, X, y))

    return train


def _sweep(
    problem: Problem, regularizer: str, *, stepped: bool, stored: bool
) -> Callable[[], np.ndarray]:
    steps = len(problem.rows)
    train = training(regularizer, steps) if stepped else function(regularizer)
    scratch, numbers = pathlib.Path(tempfile.mkdtemp()), itertools.count()

    def run() -> np.ndarray:
        out = scratch / str(next(numbers)) if stored else None
        grid = Grid.product(lambda_=problem.lambdas.tolist())
        shared = problem.shared()
        found = run_sweep(train, grid, *shared, metric="loss", dtype=problem.dtype, out=out)
        return found.table["loss"].to_numpy()

    return run


def _sweep_of(stepped: bool, stored: bool) -> Callable[..., Any]:
    return lambda problem, regularizer: _sweep(problem, regularizer, stepped=stepped, stored=stored)


WAYS: dict[str, Callable[[Problem, str], Callable[[], np.ndarray]]] = {
    "regjax, function": _sweep_of(False, False),
    "regjax, function, out": _sweep_of(False, True),
    "regjax, Training": _sweep_of(True, False),
    "regjax, Training, out": _sweep_of(True, True),
}
