"""A multilayer perceptron in a sweep: Adam with L1, coupled L2 or decoupled decay."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from regjax._arrays import tree_norm
from regjax.losses import softmax_loss, squared_loss
from regjax.masks import weights as weights_mask
from regjax.penalties import L1
from regjax.sweeps.model import (
    Hyperparameters,
    Metrics,
    Params,
    Scaler,
    scale_features,
    scale_response,
)
from regjax.tables import Task
from regjax.transforms import adam_l2, adamw, prox_adam

Regularizer = Literal["l1", "l2", "decay"]


class Prepared(NamedTuple):
    """What all lanes of a seed share.

    Attributes:
        X: standardised features.
        y: response, standardised too in a regression.
        rows: row numbers of every batch, (n_steps, batch size).
        params: where training starts.
    """

    X: jax.Array
    y: jax.Array
    rows: jax.Array
    params: Params


class State(NamedTuple):
    """Parameters, and the optimizer's state."""

    params: Params
    optimizer: Any


@dataclasses.dataclass(frozen=True)
class MLPModel:
    """One hidden layer of ReLUs on standardised features, trained by Adam in steps.

    The learning rate falls along a cosine from `learning_rate` to 0. The regularizer is
    L1 by proximal steps in Adam's metric, L2 in the gradient, or decay beside the step;
    each acts on the weight matrices and leaves biases alone.
    """

    task: Task
    n_features: int
    n_outputs: int
    regularizer: Regularizer
    hidden: int = 64
    epochs: int = 100
    batch_size: int = 32
    dtype = "float32"

    def init(self, key: jax.Array) -> Params:
        """Return freshly initialised network parameters."""
        network = eqx.nn.MLP(self.n_features, self.n_outputs, self.hidden, depth=1, key=key)
        return eqx.filter(network, eqx.is_inexact_array)

    def batches(self, n_samples: int) -> tuple[int, int]:
        """Return the number of batches of an epoch, and their size."""
        size = min(self.batch_size, n_samples)
        return n_samples // size, size

    def n_steps(self, n_samples: int) -> int:
        """Return the number of steps of a training on so many rows."""
        return self.epochs * self.batches(n_samples)[0]

    def prepare(self, key: jax.Array, X: jax.Array, y: jax.Array) -> Prepared:
        """Return what all lanes of a seed share, for raw data."""
        scaler = scale_features(X)
        output = {}
        if self.task == "regression":
            y_mean, y_scale = scale_response(y)
            output = {"y_mean": y_mean, "y_scale": y_scale}
            y = (y - y_mean) / y_scale
        init_key, shuffle_key = jax.random.split(key)
        n_samples = X.shape[0]
        n_batches, size = self.batches(n_samples)
        kind = np.min_scalar_type(n_samples)
        orders = jax.lax.map(
            lambda key: jax.random.permutation(key, n_samples).astype(kind),
            jax.random.split(shuffle_key, self.epochs),
        )
        rows = orders[:, : n_batches * size].reshape(self.epochs * n_batches, size)
        return Prepared(
            scaler.apply(X), y, rows, {"scaler": scaler, "network": self.init(init_key), **output}
        )

    def start(self, hyperparameters: Hyperparameters, prepared: Prepared) -> State:
        """Return where training starts."""
        optimizer = self._optimizer(hyperparameters, prepared)
        return State(prepared.params, optimizer.init(prepared.params["network"]))

    def step(
        self, hyperparameters: Hyperparameters, state: State, index: jax.Array, prepared: Prepared
    ) -> State:
        """Return the state after the batch `index`."""
        rows = prepared.rows[index]
        X, y, network = prepared.X[rows], prepared.y[rows], state.params["network"]
        gradient = jax.grad(lambda n: self._loss(self._forward(n, X), y))(network)
        optimizer = self._optimizer(hyperparameters, prepared)
        updates, moments = optimizer.update(gradient, state.optimizer, network)
        return State(state.params | {"network": optax.apply_updates(network, updates)}, moments)

    def measure(self, params: Params) -> Metrics:
        """Return norm and exact zeros of the weights."""
        weights = self.penalized_weights(params)
        zeros = jnp.stack([jnp.sum(w == 0) for w in weights]).sum()
        return {
            "weight_norm": tree_norm(weights),
            "zero_share": zeros / sum(w.size for w in weights),
        }

    def predict(self, params: Params, X: jax.Array) -> jax.Array:
        """Return the response (n,), or logits (n, n_classes), for raw features."""
        outputs = self._forward(params["network"], params["scaler"].apply(X))
        if self.task == "regression":
            return outputs * params["y_scale"] + params["y_mean"]
        return outputs

    def penalized_weights(self, params: Params) -> list[jax.Array]:
        network = params["network"]
        selected = jax.tree.leaves(weights_mask.resolve(network))
        return [w for w, flag in zip(jax.tree.leaves(network), selected, strict=True) if flag]

    def shapes(self, n_features: int) -> Params:
        if n_features != self.n_features:
            raise ValueError(f"it takes {self.n_features} features and not {n_features}")
        vector = jax.ShapeDtypeStruct((n_features,), np.dtype(self.dtype))
        scalar = jax.ShapeDtypeStruct((), np.dtype(self.dtype))
        output = {"y_mean": scalar, "y_scale": scalar} if self.task == "regression" else {}
        network = jax.eval_shape(self.init, jax.random.key(0))
        return {"scaler": Scaler(vector, vector), "network": network, **output}

    def status_text(self, metrics: Metrics) -> np.ndarray:
        return np.where(np.isfinite(metrics["train_loss"]), "trained", "diverged")

    def _forward(self, network: Params, X: jax.Array) -> jax.Array:
        first, last = network.layers
        # Samples last: mapped over weights, no product needs anything transposed.
        hidden = jax.nn.relu(first.weight @ X.T + first.bias[:, None])
        outputs = last.weight @ hidden + last.bias[:, None]
        return outputs[0] if self.task == "regression" else outputs.T

    def _optimizer(
        self, hyperparameters: Hyperparameters, prepared: Prepared
    ) -> optax.GradientTransformation:
        schedule = optax.cosine_decay_schedule(hyperparameters["learning_rate"], len(prepared.rows))
        return _OPTIMIZERS[self.regularizer](schedule, hyperparameters["lambda_"])

    def _loss(self, outputs: jax.Array, y: jax.Array) -> jax.Array:
        return (squared_loss if self.task == "regression" else softmax_loss)(outputs, y)


_OPTIMIZERS: dict[Regularizer, Callable[..., optax.GradientTransformation]] = {
    "l1": lambda rate, lambda_: prox_adam(rate, L1(lambda_)),
    "l2": adam_l2,
    "decay": adamw,
}
