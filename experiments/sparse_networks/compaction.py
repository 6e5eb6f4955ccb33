"""Compaction: a network without the neurons it does not need, and how much faster it is."""

from __future__ import annotations

import functools
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from experiments.report import Record
from experiments.sparse_networks.training import Network, forward

_BLOCK = 20


def compacted(network: Network) -> Network:
    """Return the network without the neurons that no weight enters or that no weight leaves.

    A neuron that no weight enters is constant, and its part of the output goes to the next bias.
    """
    first, last = network.layers
    entered, left = (first.weight != 0).any(axis=1), (last.weight != 0).any(axis=0)
    constant = np.where(entered, 0, np.maximum(first.bias, 0))
    kept = entered & left
    return eqx.tree_at(
        lambda n: [n.layers[0].weight, n.layers[0].bias, n.layers[1].weight, n.layers[1].bias],
        network,
        [
            first.weight[kept],
            first.bias[kept],
            last.weight[:, kept],
            last.bias + last.weight @ constant,
        ],
    )


_forward = jax.jit(forward)


def same_outputs(whole: Network, part: Network, images: np.ndarray) -> bool:
    """Return whether outputs differ by at most 1e-6 of the largest one."""
    expected, got = np.asarray(_forward(whole, images)), np.asarray(_forward(part, images))
    return bool(np.abs(got - expected).max() <= 1e-6 * np.abs(expected).max())


def milliseconds(
    whole: Network, part: Network, images: np.ndarray, size: int, n: int
) -> tuple[float, float]:
    """Return the times of a call of both networks on `size` images.

    They take turns, and the fastest turn of each counts: on a shared machine the others tell of
    its other users.
    """
    x = jnp.asarray(np.resize(images, (size, images.shape[1])))
    # As it would be deployed: the weights are constants of the program.
    calls = [jax.jit(functools.partial(forward, network)) for network in (whole, part)]
    seconds: list[list[float]] = [[], []]
    for _ in range(n):
        # In blocks, because a call's time depends on which program ran before it.
        for call, times in zip(calls, seconds, strict=True):
            started = time.perf_counter()
            for _ in range(_BLOCK):
                call(x).block_until_ready()
            times.append(time.perf_counter() - started)
    dense, compact = (1000 * min(times) / _BLOCK for times in seconds)
    return dense, compact


def speeds(record: Record) -> list[float]:
    """Return how many times faster than the dense network the compacted is, by images per call."""
    dense = (name for name in record if name.startswith("dense, "))
    return [record[name] / record[name.replace("dense", "compacted")] for name in dense]
