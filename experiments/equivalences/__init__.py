"""Regularizers that are the same under another name, to rounding, and some that only look so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.equivalences.figure import draw
from experiments.report import Claim, Record
from regjax import L2, gaussian_log_prior, laplace_log_prior, lasso_path, masks, ridge_path
from regjax.sweeps import run_lanes
from regjax.transforms import (
    adam_l2,
    adamw,
    coupled_l2,
    decoupled_weight_decay,
    prox_adamw,
    sgd_l2,
    sgdw,
)

__all__ = ["RTOL", "Config", "claims", "draw", "run"]

RTOL = 1e-6


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.equivalences`, about 10 s on 2 cores.

    Optimizers walk along the same minibatches of a least-squares problem whose columns are scaled
    by factors up to `scale`, so that Adam's metric differs from the Euclidean one.
    """

    seed: int = 0
    n_samples: int = 50
    n_features: int = 8
    scale: float = 10.0
    noise: float = 0.1
    batch_size: int = 5
    lambda_: float = 0.5
    learning_rate: float = 0.005
    n_steps: int = 2000
    # L2 strengths tried in place of the decay, in units of `lambda_`.
    least_strength: float = 1e-3
    n_strengths: int = 121
    # The single step of AdamW and Adam-prox, after as many steps as its moments need.
    step_lambda: float = 0.5
    largest_rate: float = 0.4
    n_halvings: int = 8
    n_warm: int = 20
    gaussian_scale: float = 1.0
    laplace_scale: float = 0.005
    hidden: int = 16
    network_rate: float = 0.02
    network_lambda: float = 0.3
    network_eps: float = 1e-3
    network_factors: tuple[float, ...] = (7.0, 8.0)
    n_network_steps: int = 300


EQUAL, DIFFERENT, SECOND_ORDER = "equal", "different", "equal up to O(lr^2)"
# Rounding of a few thousand steps in float64; and what nobody would call rounding.
ROUNDING, APART = 1e-11, 1e-2
ORDER_TOLERANCE = 0.02


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return for every pair how far the two come apart, relative to the weights."""
    with jax.enable_x64(True):
        data_key, network_key, step_key = jax.random.split(key, 3)
        problem = _problem(config, data_key)
        records = [
            _record(pair, source, relation, _walks(make, problem, config))
            for pair, (source, relation, make) in _WALKS.items()
        ]
        records += [_best_strength(kind, problem, config) for kind in _DIRECTIONS]
        records += [_single_steps(config, step_key), *_modes(problem, config)]
        return records + _rescaled_networks(problem, config, network_key)


class Problem(NamedTuple):
    """Least squares, and the rows that each step sees."""

    X: jax.Array
    y: jax.Array
    rows: jax.Array


def _problem(config: Config, key: jax.Array) -> Problem:
    data_key, noise_key, row_key = jax.random.split(key, 3)
    X = jax.random.normal(data_key, (config.n_samples, config.n_features), jnp.float64)
    X = X * _metric(config)
    noise = jax.random.normal(noise_key, (config.n_samples,), jnp.float64)
    shape = config.n_steps, config.batch_size
    rows = jax.random.randint(row_key, shape, 0, config.n_samples)
    return Problem(X, X.sum(axis=1) + config.noise * noise, rows)


def _record(
    pair: str, source: str, relation: str, gaps: np.ndarray, x: Sequence[float] | None = None
) -> Record:
    """Return gaps over steps, thinned, or over `x`."""
    if x is None:
        kept = np.unique(np.geomspace(1, len(gaps), 60).astype(int)) - 1
        x, shown = (kept + 1).tolist(), gaps[kept]
    else:
        shown = gaps
    return {
        "pair": pair,
        "source": source,
        "relation": relation,
        "largest gap": float(np.max(gaps)),
        "last gap": float(gaps[-1]),
        "x": [float(value) for value in x],
        "gaps": shown.tolist(),
    }


# --- walks of two optimizers from one start ---

Pair = tuple[optax.GradientTransformation, optax.GradientTransformation]


def _precondition(config: Config) -> optax.GradientTransformation:
    return optax.stateless(lambda g, _: g / _metric(config))


def _metric(config: Config) -> jax.Array:
    return jnp.geomspace(1 / config.scale, 1.0, config.n_features)


def _weighted(config: Config, constant: float) -> Pair:
    """Return descent on `loss + constant ||w sqrt(s)||^2` and decay, both divided by `s`."""
    s, rate = _metric(config), config.learning_rate
    penalty = jax.grad(lambda w: constant * jnp.sum((w * jnp.sqrt(s)) ** 2))
    return (
        optax.chain(
            optax.stateless(lambda g, w: g + penalty(w)), _precondition(config), optax.scale(-rate)
        ),
        decoupled_weight_decay(_precondition(config), rate, config.lambda_),
    )


_HUTTER = "Loshchilov and Hutter 2019, "
_WALKS: dict[str, tuple[str, str, Callable[[Config], Pair]]] = {
    "SGD: L2, decay": (
        _HUTTER + "proposition 1",
        EQUAL,
        lambda c: (sgd_l2(c.learning_rate, c.lambda_), sgdw(c.learning_rate, c.lambda_)),
    ),
    "momentum: L2, decay": (
        _HUTTER + "algorithm 1",
        DIFFERENT,
        lambda c: (
            sgd_l2(c.learning_rate, c.lambda_, momentum=0.9),
            sgdw(c.learning_rate, c.lambda_, momentum=0.9),
        ),
    ),
    "momentum: L2, 10 x decay": (
        "the same fixed point",
        DIFFERENT,
        lambda c: (
            sgd_l2(c.learning_rate, c.lambda_, momentum=0.9),
            sgdw(c.learning_rate, 10 * c.lambda_, momentum=0.9),
        ),
    ),
    "Adam: L2, decay": (
        _HUTTER + "proposition 2",
        DIFFERENT,
        lambda c: (adam_l2(c.learning_rate, c.lambda_), adamw(c.learning_rate, c.lambda_)),
    ),
    # The decay of a step, `learning_rate * lambda_` here, is what the paper calls lambda.
    "fixed metric: L2 weighted by it, decay": (
        _HUTTER + "proposition 3 as proved",
        EQUAL,
        lambda c: _weighted(c, c.lambda_ / 2),
    ),
    "fixed metric: L2 as printed, decay": (
        _HUTTER + "proposition 3 as printed",
        EQUAL,
        lambda c: _weighted(c, c.lambda_ / (2 * c.learning_rate)),
    ),
    "AdamW: target norm 0, none": (
        "Loshchilov 2023",
        EQUAL,
        lambda c: (
            adamw(c.learning_rate, c.lambda_, target_norm=0.0),
            adamw(c.learning_rate, c.lambda_),
        ),
    ),
}


def _walks(make: Callable[[Config], Pair], problem: Problem, config: Config) -> np.ndarray:
    start = jnp.ones(config.n_features, jnp.float64)
    first, second = (jax.jit(partial(_walk, tx, _squared))(start, problem) for tx in make(config))
    return np.asarray(_gaps(first, second))


def _squared(w: jax.Array, X: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean((X @ w - y) ** 2) / 2


def _walk(
    tx: optax.GradientTransformation,
    loss: Callable[[Any, jax.Array, jax.Array], jax.Array],
    start: Any,
    problem: Problem,
) -> Any:
    """Return the weights after every step, stacked."""

    def step(carry: tuple, rows: jax.Array) -> tuple:
        w, state = carry
        gradient = jax.grad(loss)(w, problem.X[rows], problem.y[rows])
        updates, state = tx.update(gradient, state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), w

    return jax.lax.scan(step, (start, tx.init(start)), problem.rows)[1]


def _gaps(path: jax.Array, other: jax.Array) -> jax.Array:
    return jnp.linalg.norm(path - other, axis=1) / jnp.linalg.norm(other, axis=1)


_DIRECTIONS = {
    "Adam": lambda config: optax.scale_by_adam(),
    "fixed metric": _precondition,
}


def _best_strength(kind: str, problem: Problem, config: Config) -> Record:
    """Return the gap between decay and L2 at the strength where it is smallest."""

    def train(hyperparameters: dict, key: jax.Array, *problem: jax.Array) -> dict:
        direction, rate = _DIRECTIONS[kind](config), config.learning_rate
        l2 = optax.chain(coupled_l2(hyperparameters["lambda_"]), direction, optax.scale(-rate))
        decay = decoupled_weight_decay(direction, rate, config.lambda_)
        start = jnp.ones(config.n_features, jnp.float64)
        return {
            "gaps": _gaps(*(_walk(tx, _squared, start, Problem(*problem)) for tx in (l2, decay)))
        }

    strengths = config.lambda_ * np.geomspace(
        config.least_strength, 1 / config.least_strength, config.n_strengths
    )
    lanes = run_lanes(train, {"lambda_": strengths}, 1, *problem, dtype="float64")
    gaps = lanes.outputs["gaps"][0]
    # Strong L2 diverges.
    best = np.nan_to_num(gaps.max(axis=1), nan=np.inf).argmin()
    return _record(
        f"{kind}: best L2 strength, decay", _HUTTER + "proposition 2", DIFFERENT, gaps[best]
    )


# --- one step of AdamW and of Adam-prox ---


def _single_steps(config: Config, key: jax.Array) -> Record:
    """Return the gap after one step from the same weights and moments, by learning rate."""
    start_key, gradient_key = jax.random.split(key)
    start = jax.random.normal(start_key, (config.n_features,), jnp.float64)
    shape = (config.n_warm + 1, config.n_features)
    gradients = 1 + jax.random.normal(gradient_key, shape, jnp.float64)

    def train(hyperparameters: dict, key: jax.Array, start: jax.Array, gs: jax.Array) -> dict:
        def rate(count: jax.Array) -> jax.Array:
            # Moments without a step: all rates start from the same state.
            return jnp.where(count < config.n_warm, 0, hyperparameters["learning_rate"])

        def end(tx: optax.GradientTransformation) -> jax.Array:
            w, state = start, tx.init(start)
            for g in gs:
                updates, state = tx.update(g, state, w)
                w = optax.apply_updates(w, updates)
            return w

        decay = end(adamw(rate, config.step_lambda))
        proximal = end(prox_adamw(rate, L2(config.step_lambda)))
        return {"gap": jnp.linalg.norm(decay - proximal) / jnp.linalg.norm(decay)}

    rates = config.largest_rate / 2.0 ** np.arange(config.n_halvings)
    lanes = run_lanes(train, {"learning_rate": rates}, 1, start, gradients, dtype="float64")
    return _record(
        "AdamW, Adam-prox: one step",
        "Zhuang and others 2022",
        SECOND_ORDER,
        lanes.outputs["gap"][0],
        rates,
    )


def order(record: Record) -> float:
    """Return the power of the learning rate that the gap follows between the two smallest."""
    (a, b), (x, z) = record["gaps"][-2:], record["x"][-2:]
    return float(np.log(a / b) / np.log(x / z))


# --- posterior modes ---


def _modes(problem: Problem, config: Config) -> list[Record]:
    """Return how far a Newton step on the log posterior moves the penalised fit, relatively.

    For the Laplace prior that is a step of the weights that are not 0; a zero one is at rest
    while the slope of its likelihood is at most `1 / scale`, and what is above counts as a gap.
    """
    X, y, _ = problem
    tau, b, noise = config.gaussian_scale, config.laplace_scale, config.noise
    data, n = (np.asarray(X), np.asarray(y)), config.n_samples
    ridge = ridge_path(*data, lambdas=[noise**2 / (tau**2 * n)], fit_intercept=False)
    lasso = lasso_path(*data, lambdas=[noise**2 / (b * n)], fit_intercept=False, tol=1e-14)
    records = []
    for pair, w, log_prior in (
        ("Gaussian prior, L2", ridge.coef[0], partial(gaussian_log_prior, scale=tau)),
        ("Laplace prior, L1", lasso.coef[0], partial(laplace_log_prior, scale=b)),
    ):

        def log_posterior(w: jax.Array, log_prior: Callable = log_prior) -> jax.Array:
            return gaussian_log_prior(y - X @ w, noise) + log_prior(w)

        derivatives = jax.jit(lambda w, f=log_posterior: (jax.grad(f)(w), jax.hessian(f)(w)))
        slope, curvature = map(np.asarray, derivatives(w))
        alive = w != 0
        step = np.linalg.solve(curvature[np.ix_(alive, alive)], slope[alive])
        # The prior's own slope at 0 counts as 0.
        above = np.max(np.abs(slope[~alive]) * b, initial=1.0) - 1
        gap = max(np.linalg.norm(step) / np.linalg.norm(w), above)
        records.append(_record(pair, "MAP", EQUAL, np.array([gap]), [int(alive.sum())]))
    return records


# --- a network that does not feel the scale of its weights ---


def _rescaled_networks(problem: Problem, config: Config, key: jax.Array) -> list[Record]:
    """Return AdamW from `c w0`, divided by `c`, beside AdamW from `w0`."""
    problem = problem._replace(rows=problem.rows[: config.n_network_steps])
    shapes = (config.n_features, config.hidden), (config.hidden, 1)
    keys = jax.random.split(key)
    start = [jax.random.normal(k, s, jnp.float64) for k, s in zip(keys, shapes, strict=True)]

    def loss(w: list[jax.Array], X: jax.Array, y: jax.Array) -> jax.Array:
        first, last = (x / jnp.linalg.norm(x) for x in w)
        return jnp.mean((4 * jnp.tanh(4 * X @ first) @ last - y[:, None]) ** 2)

    @jax.jit
    def path(c: float, eps: float) -> jax.Array:
        rate, decay = c * config.network_rate, config.network_lambda / c
        tx = adamw(rate, decay, eps=eps, mask=masks.everything)
        leaves = _walk(tx, loss, jax.tree.map(lambda x: c * x, start), problem)
        return jnp.concatenate([x.reshape(len(x), -1) for x in leaves], axis=1) / c

    eps, name = (
        config.network_eps,
        "scale-invariant network: (lr, wd, w0, eps), (c lr, wd / c, c w0",
    )
    plain, records = path(1.0, eps), []
    for c in config.network_factors:
        gaps = np.asarray(_gaps(path(c, eps / c), plain))
        records.append(_record(f"{name}, eps / c), c = {c:g}", "algebra", EQUAL, gaps))
    gaps = np.asarray(_gaps(path(c, eps), plain))
    return [*records, _record(f"{name}, eps), c = {c:g}", "eps forgotten", DIFFERENT, gaps)]


def claims(records: Sequence[Record]) -> list[Claim]:
    """Return every pair: the same to rounding, or apart by more."""
    return [_claim(record) for record in records]


def _claim(record: Record) -> Claim:
    text, gap = f"{record['pair']} ({record['source']})", record["largest gap"]
    if record["relation"] == SECOND_ORDER:
        power = order(record)
        return Claim(
            f"{text}: the gap is O(lr^2)",
            "lr^2",
            f"lr^{power:.3f}",
            str(ORDER_TOLERANCE),
            abs(power - 2) <= ORDER_TOLERANCE,
        )
    if record["relation"] == EQUAL:
        return Claim(f"{text}: equal", "0", f"{gap:.1e}", str(ROUNDING), gap <= ROUNDING)
    return Claim(f"{text}: different", f"> {APART}", f"{gap:.2g}", "none", gap > APART)
