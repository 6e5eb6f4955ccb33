"""Perceptrons on the 8x8 digits: what the experiments on training share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

from regjax.losses import softmax_loss

Network = dict[str, Any]
"""`hidden`, a list of layers, and `head`; leaves are named so that `regjax.masks` knows them."""

EPS = 1e-6


def digits(key: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (1797, 64) in float32 and their labels, in random order."""
    data = load_digits()
    order = np.asarray(jax.random.permutation(key, len(data.data)))
    return data.data.astype(np.float32)[order], data.target[order]


def perceptron(
    key: jax.Array, sizes: Sequence[int], *, norm: bool = False, bias: bool = True
) -> Network:
    """Return a network of these layer sizes, its weights from He's normal distribution.

    Args:
        key: random key.
        sizes: inputs, hidden layers, outputs.
        norm: whether a layer normalisation stands between weights and ReLU.
        bias: whether hidden layers have a bias beside that of the normalisation.
    """
    shapes = list(itertools.pairwise(sizes))
    ends = np.cumsum([inputs * outputs for inputs, outputs in shapes])
    # One draw for all layers: every draw costs a second of compilation.
    draws = jnp.split(jax.random.normal(key, (int(ends[-1]),)), ends[:-1])
    *hidden, head = [
        {"weight": draw.reshape(shape) * jnp.sqrt(2 / shape[0])}
        for draw, shape in zip(draws, shapes, strict=True)
    ]
    for layer in hidden:
        width = layer["weight"].shape[1]
        if bias:
            layer["bias"] = jnp.zeros(width)
        if norm:
            layer["norm"] = {"scale": jnp.ones(width), "bias": jnp.zeros(width)}
    return {"hidden": hidden, "head": {**head, "bias": jnp.zeros(sizes[-1])}}


def logits(network: Network, x: jax.Array) -> jax.Array:
    """Return the outputs (n, n_outputs) of images (n, n_inputs)."""
    for layer in network["hidden"]:
        x = x @ layer["weight"]
        if "bias" in layer:
            x = x + layer["bias"]
        if "norm" in layer:
            x = x - jnp.mean(x, axis=1, keepdims=True)
            x = x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=1, keepdims=True) + EPS)
            x = x * layer["norm"]["scale"] + layer["norm"]["bias"]
        x = jax.nn.relu(x)
    return x @ network["head"]["weight"] + network["head"]["bias"]


def loss(network: Network, x: jax.Array, y: jax.Array) -> jax.Array:
    """Return the mean cross-entropy in nats."""
    return softmax_loss(logits(network, x), y)


def batches(key: jax.Array, rows: jax.Array, n_epochs: int, batch_size: int) -> jax.Array:
    """Return `rows` shuffled anew every epoch, (n_steps, batch_size); what is left over waits."""
    n_batches = len(rows) // batch_size
    order = jnp.argsort(jax.random.uniform(key, (n_epochs, len(rows))), axis=1)
    return rows[order[:, : n_batches * batch_size]].reshape(n_epochs * n_batches, batch_size)


def fit(
    network: Network,
    optimizer: optax.GradientTransformation,
    images: jax.Array,
    labels: jax.Array,
    batches: jax.Array,
) -> Network:
    """Return the network after one step for each row of `batches`."""

    def step(carry: tuple, rows: jax.Array) -> tuple:
        network, state = carry
        gradient = jax.grad(loss)(network, images[rows], labels[rows])
        updates, state = optimizer.update(gradient, state, network)
        return (optax.apply_updates(network, updates), state), None

    (network, _), _ = jax.lax.scan(step, (network, optimizer.init(network)), batches)
    return network
