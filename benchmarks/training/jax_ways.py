"""The trainings in JAX and optax, without this library."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.training.problem import BETA_1, BETA_2, EPS, LEARNING_RATE, Problem

_THREADS = 2


def _forward(w: Any, X: jax.Array) -> jax.Array:
    # Samples last: mapped over weights, no product needs anything transposed.
    hidden = jax.nn.relu(w["w0"] @ X.T + w["b0"][:, None])
    return (w["w1"] @ hidden + w["b1"][:, None]).T


def _loss(w: Any, X: jax.Array, y: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(_forward(w, X), y).mean()


def _optimizer(regularizer: str, lambda_: Any) -> optax.GradientTransformation:
    moments = {"b1": BETA_1, "b2": BETA_2, "eps": EPS}
    if regularizer == "adamw":
        return optax.adamw(LEARNING_RATE, weight_decay=lambda_, **moments)
    return optax.chain(optax.add_decayed_weights(lambda_), optax.adam(LEARNING_RATE, **moments))


def _step(regularizer: str, lambda_: Any, w: Any, state: Any, X: Any, y: Any) -> tuple[Any, Any]:
    gradient = jax.grad(_loss)(w, X, y)
    updates, state = _optimizer(regularizer, lambda_).update(gradient, state, w)
    return optax.apply_updates(w, updates), state


def _steps(problem: Problem, regularizer: str) -> Callable[[], np.ndarray]:
    """Return a loop in Python over one compiled step."""
    X, y, initial = jax.tree.map(jnp.asarray, (problem.X, problem.y, problem.initial))
    batches = [jnp.asarray(rows) for rows in problem.rows]

    def one(lambda_: Any, w: Any, state: Any, X: Any, y: Any, rows: Any) -> tuple[Any, Any]:
        return _step(regularizer, lambda_, w, state, X[rows], y[rows])

    step, loss = jax.jit(one, donate_argnums=(1, 2)), jax.jit(_loss)

    def run() -> np.ndarray:
        losses = []
        for value in problem.lambdas:
            lambda_, w = jnp.asarray(value, X.dtype), jax.tree.map(jnp.copy, initial)
            state = _optimizer(regularizer, lambda_).init(w)
            for rows in batches:
                w, state = step(lambda_, w, state, X, y, rows)
            losses.append(float(loss(w, X, y)))
        return np.array(losses)

    return run


def _scan(
    problem: Problem, regularizer: str, *, width: int | None = None, threads: int = 1
) -> Callable[[], np.ndarray]:
    """Return the whole training as one program, mapped over `width` strengths."""
    shared = jax.tree.map(jnp.asarray, problem.shared())

    def train(lambda_: Any, X: Any, y: Any, all_rows: Any, w: Any) -> jax.Array:
        def one(carry: Any, rows: Any) -> tuple[Any, None]:
            return _step(regularizer, lambda_, *carry, X[rows], y[rows]), None

        state = _optimizer(regularizer, lambda_).init(w)
        (w, _), _ = jax.lax.scan(one, (w, state), all_rows)
        return _loss(w, X, y)

    if width is None:
        parts, compiled = problem.lambdas, jax.jit(train)
    else:
        parts = problem.lambdas.reshape(-1, min(width, len(problem.lambdas)))
        compiled = jax.jit(jax.vmap(train, in_axes=(0, None, None, None, None)))

    def of_part(part: Any) -> np.ndarray:
        return np.asarray(compiled(jnp.asarray(part, problem.dtype), *shared))

    def run() -> np.ndarray:
        if threads == 1:
            return np.array([of_part(part) for part in parts]).ravel()
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            return np.array(list(pool.map(of_part, parts))).ravel()

    return run


def _scan_of(width: int | None = None, threads: int = 1) -> Callable[..., Any]:
    return lambda problem, regularizer: _scan(problem, regularizer, width=width, threads=threads)


WAYS: dict[str, Callable[[Problem, str], Callable[[], np.ndarray]]] = {
    "JAX, a step in a loop": _steps,
    "JAX, scan": _scan_of(),
    "JAX, vmap of 8": _scan_of(8),
    "JAX, vmap of 16": _scan_of(16),
    "JAX, vmap of 64": _scan_of(64),
    "JAX, scan, 2 threads": _scan_of(threads=_THREADS),
    "JAX, vmap of 8, 2 threads": _scan_of(8, _THREADS),
}
