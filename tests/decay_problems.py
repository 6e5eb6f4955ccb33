"""Parameters of two layers, the optimizers with decoupled decay, and runs of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from regjax import masks
from regjax.transforms import adamw, lionw, muonw, sgdw

RATE, STRENGTH = 0.05, 0.4
PARAMS = {
    "body": {"kernel": np.array([[1.0, -2.0], [0.5, 3.0]]), "bias": np.array([1.0, -1.0])},
    "head": {"kernel": np.array([[-0.5, 0.0], [2.0, 0.25]])},
}

SCHEDULE = optax.cosine_decay_schedule(0.1, 20)
BODY, HEAD = masks.by_path("body/*"), masks.by_path("head/*")
MAKERS = {"sgdw": sgdw, "adamw": adamw, "lionw": lionw, "muonw": muonw}
VARIANTS = {
    "target_norm": {"target_norm": 0.5},
    "cautious": {"cautious": True},
    "both": {"target_norm": 0.5, "cautious": True},
    "scaled_by": {
        "scaled_by": {"squared_learning_rate": masks.by_path("body/*")},
        "peak_learning_rate": 0.1,
    },
}


def params(dtype=None):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), PARAMS)


def run(tx, start, n_steps=20):
    """Return the parameters after every step along gradients that change sign."""
    return jax.jit(lambda w: walk(tx, w, n_steps))(start)


def walk(tx, start, n_steps=20):
    """The same, traced: callers may jit several as one program."""

    def waves(x):
        numbers = np.arange(x.size).reshape(x.shape)
        return np.stack([np.sin(3 * k + numbers) for k in range(n_steps)]).astype(x.dtype)

    def step(carry, wave):
        w, state = carry
        g = jax.tree.map(lambda x, e: 0.3 * x + e, w, wave)
        updates, state = tx.update(g, state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), w

    return jax.lax.scan(step, (start, tx.init(start)), jax.tree.map(waves, start))[1]


def last(path):
    return jax.tree.map(lambda leaf: leaf[-1], path)


def one_step(tx, w, g):
    def step(w, g):
        return optax.apply_updates(w, tx.update(g, tx.init(w), w)[0])

    return jax.jit(step)(w, g)


def assert_equal(a, b, **tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def gap(a, b):
    return max(
        jax.tree.leaves(jax.tree.map(lambda x, y: float(np.abs(np.subtract(x, y)).max()), a, b))
    )
