"""Small trainings for sweeps, and the same in a plain loop."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from regjax.sweeps import (
    Fit,
    Grid,
    Training,
)

_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(12, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5]) + 0.1 * _RNG.normal(size=12)).astype(np.float32)


def initial(hp, key, X, y):
    # Another one for every seed; a draw would be the dearest part of what is compiled.
    seed = jax.random.key_data(key)[1].astype(X.dtype)
    w = jnp.cos(5 * seed + 2 + 3 * jnp.arange(X.shape[1], dtype=X.dtype))
    return {"w": w, "m": jnp.zeros_like(X[0])}


def momentum_step(hp, state, index, key, X, y):
    # Another row counts double at every step: the index must be right.
    weights = 1 + (jnp.arange(len(y)) == index % len(y))
    gradient = X.T @ (weights * (X @ state["w"] - y)) / len(y) + hp["lambda_"] * state["w"]
    m = 0.9 * state["m"] + gradient
    return {"w": state["w"] - hp["learning_rate"] * m, "m": m}


def squares(hp, state, key, X, y):
    residuals = X @ state["w"] - y
    return {"loss": jnp.mean(residuals**2), "above": jnp.sum(residuals > 0)}


TRAINING = Training(
    initial,
    momentum_step,
    squares,
    n_steps=12,
    evaluate_every=2,
    params=lambda state: {"w": state["w"]},
)
SAVING = Training(initial, momentum_step, squares, n_steps=12, evaluate_every=2, checkpoint_every=4)


def function(hp, key, X, y):
    """All steps of TRAINING in one go."""
    state = initial(hp, key, X, y)
    state = jax.lax.fori_loop(0, 12, lambda i, state: momentum_step(hp, state, i, key, X, y), state)
    return Fit({"w": state["w"]}, squares(hp, state, key, X, y))


def lanes(n_lambdas=5, seeds=3, **more) -> Grid:
    return Grid.product(
        lambda_=[0.01 * 2.0**k for k in range(n_lambdas)],
        learning_rate=[0.02, 0.4],
        seed=range(seeds),
        **more,
    )


@functools.lru_cache(maxsize=32)
def _plain_loop(training: Training, choices: tuple):
    options = dict(choices)

    @jax.jit
    def run(hp, key, shared):
        if training.prepare is not None:
            shared = training.prepare(key, *shared, **options)

        def one(state, index):
            state = training.step(hp, state, index, key, *shared, **options)
            return state, (state, training.evaluate(hp, state, key, *shared, **options))

        state = training.init(hp, key, *shared, **options)
        return jax.lax.scan(one, state, jnp.arange(training.n_steps))[1]

    return run


def _on_host(leaf):
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def alone(training: Training, row, *shared, dtype="float32", **choices):
    """Return for every step from 1 the state and the metrics of a lane, in a plain loop."""
    with jax.enable_x64(dtype == "float64"):
        hp = {
            name: jnp.asarray(value, dtype)
            for name, value in row.items()
            if name != "seed" and name not in choices and value is not None
        }
        key = jax.random.key(row.get("seed", 0))
        found = _plain_loop(training, tuple(choices.items()))(hp, key, shared)
        found = jax.tree.map(_on_host, found)
    leaves, structure = jax.tree.flatten(found)
    return [jax.tree.unflatten(structure, parts) for parts in zip(*leaves, strict=True)]
