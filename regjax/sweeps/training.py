"""Models that train lane by lane, as trainings: split by the key, fit, measure."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from regjax.losses import accuracy, softmax_loss, squared_loss
from regjax.sweeps.lanes.training import Fit, Training, TrainingFunction
from regjax.sweeps.mlp import MLPModel, Prepared
from regjax.sweeps.model import Hyperparameters, Model, Params
from regjax.sweeps.softmax import SoftmaxModel


class Split(NamedTuple):
    """Row numbers for training and for validation, and the key that is left for the fit."""

    train: jax.Array
    validation: jax.Array
    fit_key: jax.Array


class Parts(NamedTuple):
    """The rows of a split: features and response of both parts."""

    X_train: jax.Array
    y_train: jax.Array
    X_validation: jax.Array
    y_validation: jax.Array


@functools.partial(jax.jit, static_argnames=("n_samples", "n_validation"))
def split_rows(key: jax.Array, n_samples: int, n_validation: int) -> Split:
    """Return the split that a seed's key draws at random."""
    split_key, fit_key = jax.random.split(key)
    order = jax.random.permutation(split_key, n_samples)
    return Split(order[n_validation:], order[:n_validation], fit_key)


@functools.cache
def holdout_training(
    model: MLPModel | SoftmaxModel, n_validation: int
) -> Training | TrainingFunction:
    """Return the training of `model` with `n_validation` rows held out.

    Losses are those of the objective: half the mean squared error of the response divided
    by its standard deviation in the training rows, or the cross-entropy in nats. Scores
    are accuracy or R^2, which is NaN where the response of those rows is constant. The
    training is the same object for equal arguments, so that its compiled program is found
    again.
    """
    if isinstance(model, SoftmaxModel):
        return _holdout_function(model, n_validation)

    def prepare(key: jax.Array, X: jax.Array, y: jax.Array) -> tuple[Prepared, Parts]:
        split = split_rows(key, X.shape[0], n_validation)
        parts = _parts(split, X, y)
        return model.prepare(split.fit_key, parts.X_train, parts.y_train), parts

    def evaluate(
        hyperparameters: Hyperparameters,
        state: Any,
        key: jax.Array,
        prepared: Prepared,
        parts: Parts,
    ) -> dict[str, jax.Array]:
        params = model.params(state)
        return _measure_parts(model, params, parts) | model.measure(params)

    return Training(
        init=lambda hp, key, prepared, parts: model.start(hp, prepared),
        step=lambda hp, state, i, key, prepared, parts: model.step(hp, state, i, prepared),
        evaluate=evaluate,
        n_steps=model.n_steps,
        checkpoint_every=None,
        prepare=prepare,
        params=model.params,
    )
