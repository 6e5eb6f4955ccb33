"""A quadratic loss, the steps of an optimizer on it, and the same steps in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

CURVATURE = np.array([0.5, 1.0, 2.0])
CENTRE = np.array([3.0, -0.5, 0.2])
START = np.array([[1.0, -1.0, 0.5], [-0.25, 2.0, 0.125]])
ARRAY = START[0]
TREE = {"dense": {"kernel": START, "bias": START[1]}, "norm": {"scale": START[0]}}


def slope(w):
    return (CURVATURE * (w - CENTRE)).astype(w.dtype)


def slopes(params):
    return jax.tree.map(slope, params)


def soft(v, threshold):
    return np.sign(v) * np.maximum(np.abs(v) - threshold, 0)


def cast(tree, dtype):
    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype), tree)


def assert_trees_close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def largest_gap(a, b):
    gaps = jax.tree.map(lambda x, y: float(np.abs(np.subtract(x, y)).max()), a, b)
    return max(jax.tree.leaves(gaps))


def walk(optimizer, start, n_steps, gradient):
    """Return the parameters after every step, stacked; traces, so that callers may jit and map."""

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    start = jax.tree.map(jnp.asarray, start)
    return jax.lax.scan(step, (start, optimizer.init(start)), length=n_steps)[1]


def descend(optimizer, params, n_steps, gradient=slopes):
    """The same as one program."""
    return jax.jit(lambda start: walk(optimizer, start, n_steps, gradient))(params)


def first_update(optimizer, params, gradient=None):
    """Return the update of the first step; without a gradient, of one that is zero."""
    zeros = jax.tree.map(np.zeros_like, params)

    def update(g, w):
        return optimizer.update(g, optimizer.init(w), w)[0]

    return jax.jit(update)(zeros if gradient is None else gradient, params)


def numpy_descend(finish, w, n_steps, gradient=slope):
    """Return `w` after every step of `w = finish(k, w, gradient)`, stacked."""
    path = []
    for k in range(n_steps):
        w = finish(k, w, gradient(w))
        path.append(w)
    return np.stack(path)


def numpy_adam(finish, w, n_steps, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0):
    """The same with `w = finish(k, w, direction, metric)`, both of them Adam's."""
    m = v = np.zeros_like(w)

    def step(k, w, g):
        nonlocal m, v
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        metric = np.sqrt(v / (1 - b2 ** (k + 1)) + eps_root) + eps
        return finish(k, w, m / (1 - b1 ** (k + 1)) / metric, metric)

    return numpy_descend(step, w, n_steps)
