"""Models that train lane by lane, as training functions: split by the key, fit, measure."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from regjax.losses import accuracy, softmax_loss, squared_loss
from regjax.sweeps.lanes.training import TrainingFunction
from regjax.sweeps.model import Fit, Hyperparameters, LaneModel


class Split(NamedTuple):
    """Row numbers for training and for validation, and the key that is left for the fit."""

    train: jax.Array
    validation: jax.Array
    fit_key: jax.Array


@functools.partial(jax.jit, static_argnames=("n_samples", "n_validation"))
def split_rows(key: jax.Array, n_samples: int, n_validation: int) -> Split:
    """Return the split that a seed's key draws at random."""
    split_key, fit_key = jax.random.split(key)
    order = jax.random.permutation(split_key, n_samples)
    return Split(order[n_validation:], order[:n_validation], fit_key)


@functools.cache
def holdout_training(model: LaneModel, n_validation: int) -> TrainingFunction:
    """Return the training function of `model` with `n_validation` rows held out.

    Losses are those of the objective: half the mean squared error of the response divided
    by its standard deviation in the training rows, or the cross-entropy in nats. Scores
    are accuracy or R^2, which is NaN where the response of those rows is constant. The
    function is the same object for equal arguments, so that its compiled program is found
    again.
    """

    def train(hyperparameters: Hyperparameters, key: jax.Array, X: jax.Array, y: jax.Array) -> Fit:
        split = split_rows(key, X.shape[0], n_validation)
        fit = model.fit(hyperparameters, split.fit_key, X[split.train], y[split.train])
        measured = {}
        for part, rows in (("train", split.train), ("validation", split.validation)):
            loss, score = _measure(model, fit, X[rows], y[rows])
            measured[f"{part}_loss"], measured[f"{part}_score"] = loss, score
        return Fit(fit.params, measured | fit.metrics)

    return train


@functools.cache
def full_training(model: LaneModel) -> TrainingFunction:
    """Return the training function of `model` on all rows, for the refit."""

    def train(hyperparameters: Hyperparameters, key: jax.Array, X: jax.Array, y: jax.Array) -> Fit:
        return model.fit(hyperparameters, jax.random.split(key)[1], X, y)

    return train


def _measure(model: LaneModel, fit: Fit, X: jax.Array, y: jax.Array) -> tuple[Any, Any]:
    outputs = model.predict(fit.params, X)
    if model.task == "classification":
        return softmax_loss(outputs, y), accuracy(outputs, y)
    loss = squared_loss(outputs, y)
    # The variance of a constant response may be a rounding error.
    varies = jnp.ptp(y) > 0
    score = jnp.where(varies, 1 - 2 * loss / jnp.where(varies, jnp.var(y), 1), jnp.nan)
    return loss / fit.params["y_scale"] ** 2, score
