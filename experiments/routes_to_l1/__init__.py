"""Routes to an L1 penalty: which end in the lasso, with which zeros, after how many steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.report import Claim, Record
from experiments.routes_to_l1.figure import draw
from regjax import L1, l1_penalty, l2_penalty, lasso_path, masks
from regjax.datasets import load_dataset
from regjax.solvers import least_squares, proximal_gradient
from regjax.sweeps import run_lanes
from regjax.transforms import adam_l2, coupled_l1, prox_adam, prox_adamw, prox_sgd, sgd_l2

__all__ = ["RTOL", "Config", "claims", "draw", "run"]

# How many zeros and after how many steps hangs on rounding.
RTOL = 0.05

# Above the optimum, relative to the start: where a route has arrived, and where it went elsewhere.
REACHED, ELSEWHERE = 1e-6, 1e-3


_PROBLEMS = ("diabetes", "sparse regression", "sparse regression, minibatches")


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.routes_to_l1`, about 50 s on 2 cores.

    Columns and response have standard deviation 1. Learning rates of optimizers fall to 0 along a
    cosine; of those tried, the one of the lowest objective at the end is kept.
    """

    seed: int = 0
    problems: tuple[str, ...] = _PROBLEMS
    # Of the strength that leaves no coefficient.
    strength: float = 0.1
    n_samples: int = 100
    n_features: int = 200
    n_nonzero: int = 10
    correlation: float = 0.5
    noise: float = 0.5
    batch_size: int = 20
    n_seeds: int = 2
    n_steps: int = 10_000
    learning_rates: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    n_lbfgs_steps: int = 1000
    n_shown: int = 120


class Route(NamedTuple):
    """An optimizer of a learning rate and a strength, whose weights may be products `u v`."""

    make: Callable[[optax.Schedule, jax.Array], optax.GradientTransformation]
    of_products: bool = False


_ROUTES = {
    "subgradient, SGD": Route(lambda rate, s: optax.chain(coupled_l1(s), optax.sgd(rate))),
    "subgradient, Adam": Route(lambda rate, s: optax.chain(coupled_l1(s), optax.adam(rate))),
    "prox_sgd": Route(lambda rate, s: prox_sgd(rate, L1(s))),
    "prox_adam": Route(lambda rate, s: prox_adam(rate, L1(s))),
    "prox_adamw": Route(lambda rate, s: prox_adamw(rate, L1(s))),
    "spred, SGD": Route(lambda rate, s: sgd_l2(rate, s, mask=masks.everything), of_products=True),
    "spred, Adam": Route(lambda rate, s: adam_l2(rate, s, mask=masks.everything), of_products=True),
}


class Problem(NamedTuple):
    """Least squares, and the lasso that it is to end in, certified by its duality gap."""

    name: str
    X: np.ndarray
    y: np.ndarray
    lambda_: float
    batch_size: int | None
    coef: np.ndarray
    duality_gap: float


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return for every problem and route where it ends, beside the certified lasso."""
    sparse = _sparse_regression(config, key)
    data = dict(zip(_PROBLEMS, [_diabetes(), sparse, sparse], strict=True))
    sizes = dict(zip(_PROBLEMS, [None, None, config.batch_size], strict=True))
    problems = [_problem(name, data[name], sizes[name], config) for name in config.problems]
    records = []
    for problem in problems:
        if problem.batch_size is None:
            records += [_solver(name, problem, config) for name in _SOLVERS]
        # With all rows prox_sgd is proximal gradient descent.
        names = [name for name in _ROUTES if problem.batch_size or name != "prox_sgd"]
        records += [_optimizer(name, problem, config) for name in names]
    return records


def _diabetes() -> tuple[np.ndarray, np.ndarray]:
    frame, target = load_dataset("diabetes")
    return frame.drop(target).to_numpy().astype(float), frame[target].to_numpy().astype(float)


def _sparse_regression(config: Config, key: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return columns correlated with their neighbours, few of which make up the response."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    normals = rng.normal(size=(config.n_samples, config.n_features))
    X, rho = normals.copy(), config.correlation
    for j in range(1, config.n_features):
        X[:, j] = rho * X[:, j - 1] + np.sqrt(1 - rho**2) * normals[:, j]
    w = np.zeros(config.n_features)
    chosen = rng.choice(config.n_features, config.n_nonzero, replace=False)
    w[chosen] = rng.uniform(0.5, 2, config.n_nonzero) * rng.choice([-1, 1], config.n_nonzero)
    return X, X @ w + config.noise * rng.normal(size=config.n_samples)


def _problem(
    name: str, data: tuple[np.ndarray, np.ndarray], batch_size: int | None, config: Config
) -> Problem:
    X, y = ((part - part.mean(axis=0)) / part.std(axis=0) for part in data)
    lambda_ = config.strength * float(np.abs(X.T @ y).max()) / len(y)
    path = lasso_path(X, y, lambdas=[lambda_], fit_intercept=False, tol=1e-14)
    return Problem(name, X, y, lambda_, batch_size, path.coef[0], float(path.duality_gap[0]))


# --- solvers of composite objectives ---


def _descent(accelerate: bool) -> Callable[..., tuple[jax.Array, jax.Array]]:
    def solve(
        X: jax.Array, y: jax.Array, lambda_: jax.Array, config: Config
    ) -> tuple[jax.Array, jax.Array]:
        loss = least_squares(X, y)
        solution = proximal_gradient(
            loss.smooth(),
            L1(lambda_),
            jnp.zeros(X.shape[1], X.dtype),
            step_size=loss.largest_step(),
            max_steps=config.n_steps,
            accelerate=accelerate,
            record=True,
        )
        return solution.value, solution.history[1:]

    return solve


def _spred_lbfgs(
    X: jax.Array, y: jax.Array, lambda_: jax.Array, config: Config
) -> tuple[jax.Array, jax.Array]:
    """Return the weights `u v` and the objective after every step of L-BFGS on both factors."""
    smooth, optimizer = least_squares(X, y).smooth(), optax.lbfgs()

    def smoothed(factors: dict) -> jax.Array:
        return smooth(_weights(factors))[0] + l2_penalty(factors, lambda_)

    def step(carry: tuple, _: None) -> tuple:
        factors, state = carry
        value, gradient = optax.value_and_grad_from_state(smoothed)(factors, state=state)
        updates, state = optimizer.update(
            gradient, state, factors, value=value, grad=gradient, value_fn=smoothed
        )
        factors = optax.apply_updates(factors, updates)
        w = _weights(factors)
        return (factors, state), smooth(w)[0] + l1_penalty(w, lambda_)

    start = _factors(X.shape[1], X.dtype)
    carry = start, optimizer.init(start)
    (factors, _), objective = jax.lax.scan(step, carry, length=config.n_lbfgs_steps)
    return _weights(factors), objective


_SOLVERS = {
    "ISTA": _descent(accelerate=False),
    "FISTA": _descent(accelerate=True),
    "spred, L-BFGS": _spred_lbfgs,
}


def _factors(n_features: int, dtype: Any) -> dict:
    # Products of 0, with a slope: where both factors are 0 there is none.
    return {"u": jnp.ones(n_features, dtype), "v": jnp.zeros(n_features, dtype)}


def _weights(factors: dict) -> jax.Array:
    return factors["u"] * factors["v"]


def _solver(name: str, problem: Problem, config: Config) -> Record:
    def train(hyperparameters: dict, key: jax.Array, X: jax.Array, y: jax.Array) -> dict:
        w, objective = _SOLVERS[name](X, y, hyperparameters["lambda_"], config)
        return {"w": w, "objective": objective}

    lanes = {"lambda_": [problem.lambda_]}
    outputs = run_lanes(train, lanes, 1, problem.X, problem.y, dtype="float64").outputs
    return _record(name, problem, outputs["w"][:, 0], outputs["objective"][:, 0], None, config)


# --- optimizers ---


def _optimizer(name: str, problem: Problem, config: Config) -> Record:
    """Return the best of the learning rates tried."""
    route, batch_size = _ROUTES[name], problem.batch_size

    def train(hyperparameters: dict, key: jax.Array, X: jax.Array, y: jax.Array) -> dict:
        rate = optax.cosine_decay_schedule(hyperparameters["learning_rate"], config.n_steps)
        tx, smooth = route.make(rate, problem.lambda_), least_squares(X, y).smooth()
        read = _weights if route.of_products else lambda w: w
        start = jnp.zeros(X.shape[1], X.dtype)
        start = _factors(*start.shape, X.dtype) if route.of_products else start

        def loss(params: Any, rows: jax.Array) -> jax.Array:
            if batch_size is None:
                return smooth(read(params))[0]
            return jnp.mean((X[rows] @ read(params) - y[rows]) ** 2) / 2

        def step(carry: tuple, key: jax.Array) -> tuple:
            params, state = carry
            rows = jax.random.randint(key, (batch_size or 0,), 0, len(X))
            updates, state = tx.update(jax.grad(loss)(params, rows), state, params)
            params = optax.apply_updates(params, updates)
            w = read(params)
            return (params, state), smooth(w)[0] + l1_penalty(w, problem.lambda_)

        keys = jax.random.split(key, config.n_steps)
        (params, _), objective = jax.lax.scan(step, (start, tx.init(start)), keys)
        return {"w": read(params), "objective": objective}

    lanes = {"learning_rate": config.learning_rates}
    # One run tells all where nothing is drawn.
    seeds = config.n_seeds if batch_size else 1
    outputs = run_lanes(train, lanes, seeds, problem.X, problem.y, dtype="float64").outputs
    w, objective = outputs["w"], outputs["objective"]
    ends = np.nan_to_num(objective[..., -1].mean(axis=0), nan=np.inf)
    best = int(ends.argmin())
    rate = config.learning_rates[best]
    return _record(name, problem, w[:, best], objective[:, best], rate, config)


def _record(
    name: str,
    problem: Problem,
    w: np.ndarray,
    objective: np.ndarray,
    learning_rate: float | None,
    config: Config,
) -> Record:
    """Return means over seeds, the first axis, of what is above the optimum, and of zeros."""
    X, y, coef, lambda_ = problem.X, problem.y, problem.coef, problem.lambda_
    optimum = np.square(y - X @ coef).mean() / 2 + lambda_ * np.abs(coef).sum()
    start = np.square(y).mean() / 2
    # A solver that has stopped stays where it is.
    stopped = np.isnan(objective)
    objective = np.where(stopped, np.nanmin(objective, axis=1, keepdims=True), objective)
    above = ((objective - optimum) / (start - optimum)).mean(axis=0)
    reached = np.flatnonzero(above <= REACHED)
    shown = np.unique(np.geomspace(1, len(above), config.n_shown).astype(int)) - 1
    zeros = coef == 0
    return {
        "problem": problem.name,
        "route": name,
        "learning rate": learning_rate,
        "above the optimum": float(above[-1]),
        "steps": int(reached[0]) + 1 if len(reached) else None,
        "zeros of the lasso": int(zeros.sum()),
        "right zeros": float((w == 0)[:, zeros].sum(axis=1).mean()),
        "wrong zeros": float((w == 0)[:, ~zeros].sum(axis=1).mean()),
        "duality gap": problem.duality_gap,
        "shown": (shown + 1).tolist(),
        "above": above[shown].tolist(),
    }


_SUBGRADIENTS = ("subgradient, SGD", "subgradient, Adam")
_DESCENTS = ("ISTA", "FISTA")
_SPRED = ("spred, L-BFGS", "spred, SGD", "spred, Adam")


def claims(records: Sequence[Record]) -> list[Claim]:
    """Return where routes are said to end, with which zeros, and how soon."""
    exact = [record for record in records if "minibatches" not in record["problem"]]
    batches = [record for record in records if record not in exact]
    steps = [[record["steps"] for record in _of(exact, [name])] for name in _DESCENTS]
    ista, fista = ([step or np.inf for step in found] for found in steps)
    return [
        _no_zeros("L1 in the loss leaves no exact zero", _of(records, _SUBGRADIENTS)),
        _reaches("ISTA and FISTA end in the lasso", _of(exact, _DESCENTS)),
        _all_zeros("ISTA and FISTA have the lasso's zeros", _of(exact, _DESCENTS)),
        Claim(
            f"FISTA comes within {REACHED:g} of the optimum sooner than ISTA",
            "fewer steps",
            f"{steps[1]} for {steps[0]}",
            "none",
            all(f < i for f, i in zip(fista, ista, strict=True)),
        ),
        _reaches("prox_adam ends in the lasso", _of(exact, ["prox_adam"])),
        _all_zeros("prox_adam has the lasso's zeros", _of(exact, ["prox_adam"])),
        _all_zeros("prox_adam has them on minibatches", _of(batches, ["prox_adam"])),
        _all_zeros("prox_sgd has them on minibatches", _of(batches, ["prox_sgd"])),
        _elsewhere("prox_adamw does not end in the lasso", _of(records, ["prox_adamw"])),
        _reaches("spred ends in the lasso", _of(exact, _SPRED)),
        _no_zeros("spred leaves no exact zero", _of(records, _SPRED)),
    ]


def _of(records: Sequence[Record], routes: Sequence[str]) -> list[Record]:
    return [record for record in records if record["route"] in routes]


def _no_zeros(text: str, records: Sequence[Record]) -> Claim:
    most = max(record["right zeros"] + record["wrong zeros"] for record in records)
    return Claim(text, "0", f"at most {most:g}", "none", most == 0)


def _all_zeros(text: str, records: Sequence[Record]) -> Claim:
    found = [
        (record["right zeros"], record["wrong zeros"], record["zeros of the lasso"])
        for record in records
    ]
    obtained = "; ".join(f"{r:g} of {n}, {w:g} wrong" for r, w, n in found)
    holds = all(r == n and w == 0 for r, w, n in found)
    return Claim(text, "all, none wrong", obtained, "none", holds)


def _reaches(text: str, records: Sequence[Record]) -> Claim:
    most = max(0.0, *(record["above the optimum"] for record in records))
    obtained = f"at most {most:.1e} above"
    return Claim(text, "0 above the optimum", obtained, f"{REACHED:g}", most <= REACHED)


def _elsewhere(text: str, records: Sequence[Record]) -> Claim:
    least = min(record["above the optimum"] for record in records)
    obtained = f"at least {least:.2g}"
    return Claim(text, f"more than {ELSEWHERE:g} above", obtained, "none", least > ELSEWHERE)
