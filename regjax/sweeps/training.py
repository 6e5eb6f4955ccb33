"""Models that train lane by lane, as trainings: split by the key, fit, measure."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from regjax.losses import accuracy, softmax_loss, squared_loss
from regjax.sweeps.lanes.training import Fit, Training, TrainingFunction
from regjax.sweeps.mlp import MLPModel, Prepared, State
from regjax.sweeps.model import Hyperparameters, Metrics, Params
from regjax.sweeps.softmax import SoftmaxModel

LaneModel = MLPModel | SoftmaxModel

_LOOKS = 10


class Split(NamedTuple):
    """Row numbers for training and for validation, and the key that is left for the fit."""

    train: jax.Array
    validation: jax.Array
    fit_key: jax.Array


Part = tuple[jax.Array, jax.Array]
"""Features and response of some rows."""


@functools.partial(jax.jit, static_argnames=("n_samples", "n_validation"))
def split_rows(key: jax.Array, n_samples: int, n_validation: int) -> Split:
    """Return the split that a seed's key draws at random."""
    split_key, fit_key = jax.random.split(key)
    order = jax.random.permutation(split_key, n_samples)
    return Split(order[n_validation:], order[:n_validation], fit_key)


@functools.cache
def holdout_training(
    model: LaneModel, n_samples: int, n_validation: int
) -> Training | TrainingFunction:
    """Return the training of `model` on `n_samples` rows with `n_validation` of them held out.

    Losses are those of the objective: half the mean squared error of the response divided
    by its standard deviation in the training rows, or the cross-entropy in nats. Scores
    are accuracy or R^2, which is NaN where the response of those rows is constant. The
    training is the same object for equal arguments, so that its compiled program is found
    again. With no rows held out nothing is measured.
    """

    def parts(key: jax.Array, X: jax.Array, y: jax.Array) -> tuple[jax.Array, dict[str, Part]]:
        split = split_rows(key, n_samples, n_validation)
        named = {"train": split.train, "validation": split.validation}
        return split.fit_key, {name: (X[rows], y[rows]) for name, rows in named.items()}

    def measure(params: Params, parts: dict[str, Part]) -> Metrics:
        measured = {}
        for name, (X, y) in parts.items() if n_validation else ():
            measured[f"{name}_loss"], measured[f"{name}_score"] = _measure(model, params, X, y)
        return measured

    if isinstance(model, MLPModel):
        return _stepped(model, n_samples - n_validation, parts, measure)

    def train(hyperparameters: Hyperparameters, key: jax.Array, X: jax.Array, y: jax.Array) -> Fit:
        fit_key, found = parts(key, X, y)
        fit = model.fit(hyperparameters, fit_key, *found["train"])
        return Fit(fit.params, measure(fit.params, found) | fit.metrics)

    return train


def _stepped(model: MLPModel, n_train: int, parts: Any, measure: Any) -> Training:
    n_batches, _ = model.batches(n_train)

    def prepare(key: jax.Array, X: jax.Array, y: jax.Array) -> tuple[Prepared, dict[str, Part]]:
        fit_key, found = parts(key, X, y)
        return model.prepare(fit_key, *found["train"]), found

    def evaluate(hp: Hyperparameters, state: State, key: jax.Array, *shared: Any) -> Metrics:
        return measure(state.params, shared[1]) | model.measure(state.params)

    return Training(
        init=lambda hp, key, prepared, parts: model.start(hp, prepared),
        step=lambda hp, state, index, key, prepared, parts: model.step(hp, state, index, prepared),
        evaluate=evaluate,
        n_steps=model.n_steps(n_train),
        # Whole epochs.
        evaluate_every=-(-model.epochs // _LOOKS) * n_batches,
        prepare=prepare,
        params=lambda state: state.params,
    )


def _measure(model: LaneModel, params: Params, X: jax.Array, y: jax.Array) -> tuple[Any, Any]:
    outputs = model.predict(params, X)
    if model.task == "classification":
        return softmax_loss(outputs, y), accuracy(outputs, y)
    loss = squared_loss(outputs, y)
    # The variance of a constant response may be a rounding error.
    varies = jnp.ptp(y) > 0
    score = jnp.where(varies, 1 - 2 * loss / jnp.where(varies, jnp.var(y), 1), jnp.nan)
    return loss / params["y_scale"] ** 2, score
