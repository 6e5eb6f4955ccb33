"""One step small enough to be followed by hand, and what the monitor says of it."""

import jax
import jax.numpy as jnp
import numpy as np

from regjax import GroupLasso
from regjax.transforms import read_metrics

RATE, STRENGTH = 0.1, 0.5
W = np.array([[3.0, -4.0], [0.25, 0.0]])
G = np.array([[1.0, 2.0], [-2.0, 4.0]])
PARAMS = {"kernel": W, "bias": np.array([2.0, 0.0])}
GRADIENTS = {"kernel": G, "bias": np.array([3.0, 4.0])}
# Adam's first direction, its eps set to 0, is the sign of the gradient and its metric |g|.
SIGN = np.sign(G)


def columns(strength):
    return GroupLasso(strength, jnp.array([[0, 1]]), 2, jnp.ones(2))


def tree(values, dtype=None):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), values)


def measured(tx):
    """Return updates and metrics of the first step."""
    updates, state = jax.jit(lambda g, w: tx.update(g, tx.init(w), w))(GRADIENTS, PARAMS)
    return jax.tree.map(np.asarray, (updates, read_metrics(state)))
