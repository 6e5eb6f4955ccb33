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

    def step(carry, k):
        w, state = carry
        g = jax.tree.map(
            lambda x: (0.3 * x + jnp.sin(3 * k + jnp.arange(x.size).reshape(x.shape))).astype(
                x.dtype
            ),
            w,
        )
        updates, state = tx.update(g, state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), w

    steps = jnp.arange(n_steps)
    return jax.jit(lambda w: jax.lax.scan(step, (w, tx.init(w)), steps)[1])(start)


def last(path):
    return jax.tree.map(lambda leaf: leaf[-1], path)


def one_step(tx, w, g):
    updates, _ = jax.jit(tx.update)(g, tx.init(w), w)
    return optax.apply_updates(w, updates)


def assert_equal(a, b, **tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def gap(a, b):
    return max(
        jax.tree.leaves(jax.tree.map(lambda x, y: float(np.abs(np.subtract(x, y)).max()), a, b))
    )
