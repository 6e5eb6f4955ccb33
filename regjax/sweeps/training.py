"""Models as training functions: split by the key, fit, measure on both parts."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from regjax.losses import accuracy, softmax_loss, squared_loss
from regjax.sweeps.lanes import TrainingFunction
from regjax.sweeps.model import Fit, Hyperparameters, Model, Params


class Outcome(NamedTuple):
    """What one lane leaves: its parameters and the scalars of its row in the table."""

    params: Params
    metrics: dict[str, jax.Array]


def split_rows(key: jax.Array, n_samples: int, n_validation: int) -> tuple[jax.Array, jax.Array]:
    """Return the row numbers for training and for validation, drawn at random."""
    order = jax.random.permutation(key, n_samples)
    return order[n_validation:], order[:n_validation]


@functools.cache
def holdout_training(model: Model, n_validation: int) -> TrainingFunction:
    """Return the training function of `model` with `n_validation` rows held out.

    Losses are those of the objective: half the mean squared error of the response divided
    by its standard deviation in the training rows, or the cross-entropy in nats. Scores
    are accuracy or R^2, which is NaN where the response of those rows is constant. The
    function is the same object for equal arguments, so that its compiled program is found
    again.
    """

    def train(
        hyperparameters: Hyperparameters, key: jax.Array, X: jax.Array, y: jax.Array
    ) -> Outcome:
        split_key, fit_key = jax.random.split(key)
        train_rows, validation_rows = split_rows(split_key, X.shape[0], n_validation)
        fit = model.fit(hyperparameters, fit_key, X[train_rows], y[train_rows])
        measured = {}
        for part, rows in (("train", train_rows), ("validation", validation_rows)):
            loss, score = _measure(model, fit, X[rows], y[rows])
            measured[f"{part}_loss"], measured[f"{part}_score"] = loss, score
        return Outcome(fit.params, measured | fit.metrics)

    return train


@functools.cache
def full_training(model: Model) -> TrainingFunction:
    """Return the training function of `model` on all rows, for the refit."""

    def train(
        hyperparameters: Hyperparameters, key: jax.Array, X: jax.Array, y: jax.Array
    ) -> Outcome:
        fit = model.fit(hyperparameters, jax.random.split(key)[1], X, y)
        return Outcome(fit.params, fit.metrics)

    return train


def _measure(model: Model, fit: Fit, X: jax.Array, y: jax.Array) -> tuple[Any, Any]:
    outputs = model.predict(fit.params, X)
    if model.task == "classification":
        return softmax_loss(outputs, y), accuracy(outputs, y)
    loss = squared_loss(outputs, y)
    variance = jnp.var(y)
    score = jnp.where(variance > 0, 1 - 2 * loss / jnp.where(variance > 0, variance, 1), jnp.nan)
    return loss / fit.params["y_scale"] ** 2, score
