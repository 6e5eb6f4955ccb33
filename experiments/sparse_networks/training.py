"""Training: one network for every seed and strength, all strengths of a seed as lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from regjax import L1, GroupLasso, masks
from regjax.losses import softmax_loss
from regjax.sweeps import run_lanes
from regjax.sweeps.model import scale_features
from regjax.transforms import coupled_l1, coupled_l2, prox_adam

if TYPE_CHECKING:
    from experiments.sparse_networks import Config

Network = Any
"""An `equinox.nn.MLP` with one hidden layer, of arrays alone."""


def _optimizer(
    name: str, rate: optax.Schedule, lambda_: jax.Array, hidden: int
) -> optax.GradientTransformation:
    match name:
        case "none":
            return optax.adam(rate)
        case "L1, proximal":
            return prox_adam(rate, L1(lambda_))
        case "group lasso, proximal":
            neurons = jnp.arange(hidden)[:, None]
            penalty = GroupLasso(lambda_, neurons, hidden)
            return prox_adam(rate, penalty, mask=masks.by_path("layers/0/weight"))
        case "L1, subgradient":
            return optax.chain(coupled_l1(lambda_), optax.adam(rate))
        case _:
            return optax.chain(coupled_l2(lambda_), optax.adam(rate))


def train_grid(
    name: str, lambdas: Sequence[float], config: Config, images: np.ndarray, labels: np.ndarray
) -> dict:
    """Return accuracies and networks, with leading axes (seeds, lambdas)."""
    n_held_out = round(config.share_held_out * len(images))
    n_train = len(images) - 2 * n_held_out
    n_batches = n_train // config.batch_size
    rate = optax.cosine_decay_schedule(config.learning_rate, config.n_epochs * n_batches)

    def train(hyperparameters: dict, key: jax.Array, images: jax.Array, labels: jax.Array) -> dict:
        split_key, init_key, batch_key = jax.random.split(key, 3)
        order = jax.random.permutation(split_key, len(images))
        rows, validation, test = jnp.split(order, [n_train, n_train + n_held_out])
        images = scale_features(images[rows]).apply(images)
        network = eqx.nn.MLP(images.shape[1], 10, config.hidden, depth=1, key=init_key)
        network = eqx.filter(network, eqx.is_inexact_array)
        optimizer = _optimizer(name, rate, hyperparameters["lambda_"], config.hidden)

        def loss(network: Network, x: jax.Array, y: jax.Array) -> jax.Array:
            return softmax_loss(forward(network, x), y)

        def step(carry: tuple, rows: jax.Array) -> tuple:
            network, state = carry
            gradient = jax.grad(loss)(network, images[rows], labels[rows])
            updates, state = optimizer.update(gradient, state, network)
            return (optax.apply_updates(network, updates), state), None

        def epoch(carry: tuple, key: jax.Array) -> tuple:
            shuffled = jax.random.permutation(key, rows)[: n_batches * config.batch_size]
            return jax.lax.scan(step, carry, shuffled.reshape(n_batches, config.batch_size))

        keys = jax.random.split(batch_key, config.n_epochs)
        (network, _), _ = jax.lax.scan(epoch, (network, optimizer.init(network)), keys)

        def accuracy(rows: jax.Array) -> jax.Array:
            return jnp.mean(jnp.argmax(forward(network, images[rows]), axis=1) == labels[rows])

        return {
            "network": network,
            "validation": accuracy(validation),
            "test": accuracy(test),
        }

    lanes = {"lambda_": lambdas}
    return run_lanes(train, lanes, range(config.n_seeds), images, labels).outputs


def forward(network: Network, x: jax.Array) -> jax.Array:
    """Return the logits (n, 10) of images (n, 64)."""
    first, last = network.layers
    return jax.nn.relu(x @ first.weight.T + first.bias) @ last.weight.T + last.bias
