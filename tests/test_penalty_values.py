"""Values and gradients of every penalty: closed forms, derivatives, the ends of a float's range."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import (
    STRENGTH,
    WEIGHTS,
    as_dtype,
    as_float64,
    assert_close,
    cases,
    every,
    pure,
    tolerance,
    weights,
    with_gradient,
    with_strength,
)
from quick import one_dtype

import regjax as rj


@every
@weights
def test_value_equals_the_closed_form(case, weights, dtype):
    w = as_dtype(weights, dtype)
    value = case.bind(STRENGTH, w).value(w)
    assert value.shape == ()
    expected = case.closed_form(as_float64(weights), STRENGTH)
    np.testing.assert_allclose(value, expected, rtol=tolerance(dtype))


@with_gradient
@weights
@one_dtype
def test_reverse_and_forward_derivatives_equal_the_hand_gradient(case, weights, dtype):
    w = as_dtype(weights, dtype)
    penalty = case.bind(STRENGTH, w)
    hand = penalty.gradient(w)
    assert_close(jax.grad(penalty.value)(w), hand, tolerance(dtype))
    direction = jax.tree.map(lambda x: 1 + 0.5 * jnp.cos(jnp.arange(x.size)).reshape(x.shape), w)
    _, forward = jax.jvp(penalty.value, (w,), (as_dtype(direction, dtype),))
    expected = sum(
        np.vdot(g, d) for g, d in zip(as_float64(hand), as_float64(direction), strict=True)
    )
    np.testing.assert_allclose(forward, expected, rtol=tolerance(dtype), atol=tolerance(dtype))


@with_gradient
@weights
def test_gradient_is_zero_where_the_weights_are(case, weights):
    w = as_dtype(weights, np.float32)
    for x, g in zip(as_float64(w), as_float64(case.bind(STRENGTH, w).gradient(w)), strict=True):
        np.testing.assert_array_equal(g[x == 0], 0)


@with_gradient
@pytest.mark.parametrize("weights", [WEIGHTS["vector"], WEIGHTS["dict"]], ids=["vector", "dict"])
def test_second_derivative_is_the_difference_of_gradients_and_finite_at_zeros(case, weights, x64):
    w = as_dtype(weights, np.float64)
    penalty = case.bind(STRENGTH, w)
    # Along the non-zeros alone every penalty is smooth.
    along = jax.tree.map(lambda x: jnp.where(x != 0, 0.3 + x, 0), w)
    _, product = jax.jvp(jax.grad(penalty.value), (w,), (along,))
    h = 1e-5
    ahead, behind = (
        penalty.gradient(jax.tree.map(lambda x, d, h=h: x + h * d, w, along)) for h in (h, -h)
    )
    difference = jax.tree.map(lambda a, b: (a - b) / (2 * h), ahead, behind)
    assert_close(product, difference, 1e-8)
    everywhere = jax.tree.map(jnp.ones_like, w)
    _, product = jax.jvp(jax.grad(penalty.value), (w,), (everywhere,))
    chex.assert_tree_all_finite(product)


@with_strength
@weights
def test_derivative_in_the_strength_is_the_value_at_strength_one(case, weights, dtype):
    w = as_dtype(weights, dtype)
    slope = jax.grad(lambda s: case.bind(s, w).value(w))(jnp.asarray(STRENGTH, dtype))
    expected = case.closed_form(as_float64(weights), 1.0)
    np.testing.assert_allclose(slope, expected, rtol=tolerance(dtype))


@pure
@pytest.mark.parametrize("name", ["vector", "dict"])
def test_object_methods_equal_the_pure_functions(case, name):
    w = as_dtype(WEIGHTS[name], np.float32)
    penalty = case.bind(STRENGTH, w)
    chex.assert_trees_all_equal(penalty.value(w), case.pure.value(w, STRENGTH))
    chex.assert_trees_all_equal(penalty.prox(w, 0.5), case.pure.prox(w, STRENGTH, 0.5))
    chex.assert_trees_all_equal(penalty.prox(w), case.pure.prox(w, STRENGTH, 1.0))
    if case.has_gradient:
        chex.assert_trees_all_equal(penalty.gradient(w), case.pure.gradient(w, STRENGTH))
    else:
        with pytest.raises(TypeError, match="proximal steps"):
            penalty.gradient(w)


@with_strength
def test_zero_strength_penalises_nothing(case):
    w = as_dtype(WEIGHTS["dict"], np.float32)
    penalty = case.bind(0.0, w)
    assert penalty.value(w) == 0
    chex.assert_trees_all_equal(penalty.prox(w), w)


# --- values from the literature and from the specification -------------------------------


def test_seed_values(dtype):
    eps = float(jnp.finfo(dtype).eps)
    w = jnp.asarray([1, 2, 3], dtype)
    np.testing.assert_allclose(rj.l2_penalty(w, 0.1), 0.7, rtol=2 * eps)
    np.testing.assert_allclose(rj.l2_gradient(w, 0.1), [0.1, 0.2, 0.3], rtol=2 * eps)
    np.testing.assert_allclose(
        rj.l1_penalty(jnp.asarray([1, -2, 3], dtype), 0.1), 0.6, rtol=2 * eps
    )
    gradient = rj.l1_gradient(jnp.asarray([1, -2, 0], dtype), 0.1)
    np.testing.assert_allclose(gradient, [0.1, -0.1, 0.0], rtol=2 * eps)


def test_elastic_net_is_l1_at_ratio_one_and_l2_at_ratio_zero(dtype):
    w = as_dtype(WEIGHTS["nested"], dtype)
    for ratio, other in [(1.0, rj.L1(STRENGTH)), (0.0, rj.L2(STRENGTH))]:
        mixed = rj.ElasticNet(STRENGTH, ratio)
        chex.assert_trees_all_equal(mixed.value(w), other.value(w))
        chex.assert_trees_all_equal(mixed.gradient(w), other.gradient(w))
        chex.assert_trees_all_equal(mixed.prox(w, 0.5), other.prox(w, 0.5))


def test_elastic_net_strengths_split_the_strength():
    assert rj.penalties.elastic_net_strengths(2.0, 0.25) == (0.5, 1.5)


# --- where short floats overflow or vanish -----------------------------------------------


def test_l2_overflows_in_value_and_not_in_gradient():
    w = jnp.array([1e20, -1e20, 1.0], jnp.float32)
    assert rj.l2_penalty(w, 0.5) == np.inf
    expected = np.float32([5e19, -5e19, 0.5])
    np.testing.assert_allclose(rj.l2_gradient(w, 0.5), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(rj.l2_penalty)(w, 0.5), expected, rtol=1e-6)


def test_l1_gradient_is_bounded_by_the_strength():
    w = jnp.array([1e38, -1e-37, np.inf, -np.inf, 0.0], jnp.float32)
    expected = np.float32(0.5) * np.array([1, -1, 1, -1, 0])
    np.testing.assert_array_equal(rj.l1_gradient(w, 0.5), expected)
    np.testing.assert_array_equal(jax.grad(rj.l1_penalty)(w[:2], 0.5), expected[:2])


def test_a_term_of_strength_zero_adds_nothing_to_weights_whose_square_overflows():
    w = jnp.array([1e20], jnp.float32)
    np.testing.assert_allclose(rj.elastic_net_penalty(w, 0.5, 1.0), 5e19, rtol=1e-6)
    assert rj.l2_penalty(w, 0.0) == 0


@cases(lambda case: case.has_gradient)
def test_values_of_many_small_weights_do_not_vanish_in_float16(case):
    # Each term is far below the least positive float16, their sum is not.
    w = np.full(65536, 2.0**-7)
    strength = 2.0**-13
    value = case.bind(strength, w).value(jnp.asarray(w, jnp.float16))
    np.testing.assert_allclose(value, case.closed_form([w], strength), rtol=2e-3)
