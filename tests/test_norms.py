"""Norms of numbers near the ends of the range of float32, whose squares are 0 or infinity."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import regjax as rj
from regjax._arrays import norms, tree_norm, unit_vectors
from regjax.diagnostics import weight_statistics
from regjax.transforms import monitor, read_metrics, sgdw

# Sums of such squares, and reciprocals of the largest, are no normal numbers of float32.
SIZES = [1e-33, 1e-25, 1e-19, 1.0, 1e19, 1e30, 1e38]
ENTRIES = np.array([[1.0, -1.0, 0.125, 0.0], [0.5, 1.0, -1.0, 0.5]])
RTOL = 3e-6


def at(size, entries=ENTRIES):
    return jnp.asarray(size * entries, jnp.float32)


def unit(x, axis):
    return x / np.linalg.norm(x, axis=axis, keepdims=True)


@pytest.mark.parametrize("axis", [None, 1])
def test_norms_and_directions_are_right_at_every_size(axis):
    @jax.jit
    def found(w):
        slope = jax.grad(lambda w: jnp.sum(norms(w, axis)))(w)
        return norms(w, axis), tree_norm([w, w[0]]), unit_vectors(w, axis), slope

    along = (0, 1) if axis is None else axis
    whole = np.sqrt(np.sum(ENTRIES**2) + np.sum(ENTRIES[0] ** 2))
    for size in SIZES:
        norm, of_tree, *directions = found(at(size))
        expected = size * np.linalg.norm(ENTRIES, axis=along, keepdims=True)
        np.testing.assert_allclose(norm, expected, rtol=RTOL)
        np.testing.assert_allclose(of_tree, size * whole, rtol=RTOL)
        for direction in directions:
            np.testing.assert_allclose(direction, unit(ENTRIES, along), rtol=RTOL)
    np.testing.assert_array_equal(found(at(0.0))[3], 0)


def nearest(v, radius, steps, axis):
    """Return `v / (1 + t steps)` of norm `radius`, with `t` by bisection."""
    low, high = np.zeros((2, 1)), np.full((2, 1), 1e9)
    for _ in range(100):
        middle = (low + high) / 2
        outside = np.linalg.norm(v / (1 + middle * steps), axis=axis, keepdims=True) > radius
        low, high = np.where(outside, middle, low), np.where(outside, high, middle)
    return v / (1 + low * steps)


def test_norm_constraints_project_at_every_size():
    steps = np.array([1.0, 2.0, 4.0, 8.0]) * np.ones((2, 1))
    bent = nearest(ENTRIES, 1e-3, steps, 1)

    @jax.jit
    def found(w, radius, steps):
        ball, sphere = rj.MaxNorm(radius, 1), rj.UnitNorm(1)
        return ball.value(w), ball.prox(w), ball.prox(w, steps), sphere.prox(w)

    for size in SIZES:
        for unit_of_steps in (1e-30, 1.0, 2e37):
            radius = np.float32(1e-3 * size)
            value, straight, diagonal, sphere = found(at(size), radius, at(unit_of_steps, steps))
            assert value == np.inf
            np.testing.assert_allclose(straight, radius * unit(ENTRIES, 1), rtol=RTOL)
            np.testing.assert_allclose(diagonal, size * bent, rtol=RTOL)
            np.testing.assert_allclose(sphere, unit(ENTRIES, 1), rtol=RTOL)


def test_a_sphere_and_a_ball_take_the_largest_numbers():
    w = jnp.array([3e38, 3e38, 3e38, 3e38], jnp.float32)
    np.testing.assert_array_equal(rj.UnitNorm(None).prox(w), 0.5)
    np.testing.assert_array_equal(rj.MaxNorm(1.0, None).prox(w), 0.5)
    first = jnp.array([3e38, 0.0, 0.0, 0.0], jnp.float32)
    np.testing.assert_array_equal(rj.UnitNorm(None).prox(first), [1.0, 0.0, 0.0, 0.0])


def test_groups_shrink_at_every_size():
    groups, weights = np.arange(2)[:, None], np.ones(2)

    @jax.jit
    def found(w, lambda_, steps):
        penalty = rj.GroupLasso(lambda_, groups, 2, weights)
        hand, automatic = penalty.gradient(w), jax.grad(penalty.value)(w)
        return penalty.value(w), hand, automatic, penalty.prox(w), penalty.prox(w, steps)

    norm = np.linalg.norm(ENTRIES, axis=1, keepdims=True)
    for size in SIZES:
        strength = np.float32(size)
        # Gradients and values have the strength as a factor, proximal steps have it beside w.
        value, hand, automatic, *_ = found(at(size), 1.0, at(1.0, np.ones((2, 4))))
        np.testing.assert_allclose(value, size * norm.sum(), rtol=RTOL)
        for gradient in (hand, automatic):
            np.testing.assert_allclose(gradient, ENTRIES / norm, rtol=RTOL)
        expected = size * ENTRIES * (1 - 1 / norm)
        *_, scalar, diagonal = found(at(size), strength, at(1.0, np.ones((2, 4))))
        for shrunk in (scalar, diagonal):
            np.testing.assert_allclose(shrunk, expected, rtol=RTOL)


def test_the_monitor_measures_at_every_size():
    tx = monitor(sgdw(0.5, 0.5))

    @jax.jit
    def found(w, g):
        return read_metrics(tx.update(g, tx.init(w), w)[1])

    norm = np.linalg.norm(ENTRIES)
    for size in SIZES[1:]:
        metrics = found(at(size), at(size))
        np.testing.assert_allclose(metrics.weight_norm, 0.25 * size * norm, rtol=RTOL)
        np.testing.assert_allclose(metrics.gradient_norm, size * norm, rtol=RTOL)
        np.testing.assert_allclose(metrics.effective_learning_rate, 0.75, rtol=RTOL)
        np.testing.assert_allclose(metrics.decay_to_gradient, 0.5, rtol=RTOL)


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1.0, 1e200, 1e308])
def test_weight_statistics_are_right_at_every_size(size):
    w = size * np.array([1.0, 0.0, -1.0, 0.0])
    [row] = weight_statistics({"kernel": w})
    np.testing.assert_allclose(row.norm / size, np.sqrt(2), rtol=1e-3 if size < 1e-300 else 1e-15)
    np.testing.assert_allclose([row.mean_abs, row.max_abs], [size / 2, size], rtol=1e-15)


def test_a_target_norm_is_reached_from_every_size():
    tx = sgdw(1.0, 1.0, target_norm=2.0)
    step = jax.jit(lambda w: optax.apply_updates(w, tx.update(0 * w, tx.init(w), w)[0]))
    for size in SIZES:
        w = step(at(size))
        # Where the target is far below, the step cancels to the rounding of the weights.
        np.testing.assert_allclose(w, 2 * unit(ENTRIES, (0, 1)), rtol=RTOL, atol=1e-6 * size)
