"""Values and gradients of every penalty: closed forms, derivatives, the ends of a float's range."""

import functools

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
    by_turns,
    cases,
    pure,
    tolerance,
    weights,
    with_gradient,
    with_strength,
)

import regjax as rj


@functools.cache
def program(case):
    """Return one program for all that the tests below ask about a penalty."""

    def value(strength, w):
        return case.bind(strength, w).value(w)

    @jax.jit
    def found(strength, w, direction):
        if not case.has_gradient:
            height, slope = jax.value_and_grad(value)(strength, w)
            return {"value": height, "slope": slope}
        height, (slope, reverse) = jax.value_and_grad(value, argnums=(0, 1))(strength, w)
        forward = jax.jvp(lambda w: value(strength, w), (w,), (direction,))[1]
        hand = case.bind(strength, w).gradient(w)
        return {
            "value": height,
            "slope": slope,
            "hand": hand,
            "reverse": reverse,
            "forward": forward,
        }

    return found


def direction_like(w):
    return jax.tree.map(lambda x: 1 + 0.5 * np.cos(np.arange(x.size)).reshape(x.shape), w)


def found(case, weights, dtype):
    return program(case)(
        np.asarray(STRENGTH, dtype),
        as_dtype(weights, dtype),
        as_dtype(direction_like(weights), dtype),
    )


@by_turns()
@weights
def test_value_equals_the_closed_form(case, weights, dtype):
    value = found(case, weights, dtype)["value"]
    assert value.shape == ()
    expected = case.closed_form(as_float64(weights), STRENGTH)
    np.testing.assert_allclose(value, expected, rtol=tolerance(dtype))


@by_turns(lambda case: case.has_gradient)
@weights
def test_reverse_and_forward_derivatives_equal_the_hand_gradient(case, weights, dtype):
    by = found(case, weights, dtype)
    assert_close(by["reverse"], by["hand"], tolerance(dtype))
    pairs = zip(as_float64(by["hand"]), as_float64(direction_like(weights)), strict=True)
    expected = sum(np.vdot(g, d) for g, d in pairs)
    np.testing.assert_allclose(
        by["forward"], expected, rtol=tolerance(dtype), atol=tolerance(dtype)
    )


@by_turns(lambda case: case.has_gradient)
@weights
def test_gradient_is_zero_where_the_weights_are(case, weights, dtype):
    hand = found(case, weights, dtype)["hand"]
    for x, g in zip(as_float64(weights), as_float64(hand), strict=True):
        np.testing.assert_array_equal(g[x == 0], 0)


@with_gradient
def test_second_derivative_is_the_difference_of_gradients_and_finite_at_zeros(case, x64):
    w = WEIGHTS["dict"]
    # Along the non-zeros alone every penalty is smooth.
    along = jax.tree.map(lambda x: np.where(x != 0, 0.3 + x, 0), w)
    h = 1e-5

    @jax.jit
    def derivatives(w, along):
        penalty = case.bind(STRENGTH, w)
        ahead, behind = (
            penalty.gradient(jax.tree.map(lambda x, d, h=h: x + h * d, w, along)) for h in (h, -h)
        )
        difference = jax.tree.map(lambda a, b: (a - b) / (2 * h), ahead, behind)
        return jax.jvp(jax.grad(penalty.value), (w,), (along,))[1], difference

    assert_close(*derivatives(w, along), 1e-8)
    everywhere = jax.tree.map(np.ones_like, w)
    chex.assert_tree_all_finite(derivatives(w, everywhere)[0])


@by_turns(lambda case: case.has_strength)
@weights
def test_derivative_in_the_strength_is_the_value_at_strength_one(case, weights, dtype):
    slope = found(case, weights, dtype)["slope"]
    expected = case.closed_form(as_float64(weights), 1.0)
    np.testing.assert_allclose(slope, expected, rtol=tolerance(dtype))


@pure
def test_object_methods_equal_the_pure_functions(case):
    w = as_dtype(WEIGHTS["vector"], np.float32)
    penalty = case.bind(STRENGTH, w)

    @jax.jit
    def bound(w):
        gradient = penalty.gradient(w) if case.has_gradient else None
        return penalty.value(w), penalty.prox(w, 0.5), penalty.prox(w), gradient

    @jax.jit
    def pure(w):
        steps = (case.pure.prox(w, STRENGTH, step) for step in (0.5, 1.0))
        gradient = case.pure.gradient(w, STRENGTH) if case.has_gradient else None
        return case.pure.value(w, STRENGTH), *steps, gradient

    chex.assert_trees_all_equal(bound(w), pure(w))
    if not case.has_gradient:
        with pytest.raises(TypeError, match="proximal steps"):
            penalty.gradient(w)


@with_strength
def test_zero_strength_penalises_nothing(case):
    w = as_dtype(WEIGHTS["dict"], np.float32)
    penalty = case.bind(0.0, w)
    value, prox = jax.jit(lambda w: (penalty.value(w), penalty.prox(w)))(w)
    assert value == 0
    chex.assert_trees_all_equal(prox, w)


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
    of = jax.jit(lambda penalty, w: (penalty.value(w), penalty.gradient(w), penalty.prox(w, 0.5)))
    for ratio, other in [(1.0, rj.L1(STRENGTH)), (0.0, rj.L2(STRENGTH))]:
        chex.assert_trees_all_equal(of(rj.ElasticNet(STRENGTH, ratio), w), of(other, w))


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
    value = jax.jit(case.bind(strength, w).value)(jnp.asarray(w, jnp.float16))
    np.testing.assert_allclose(value, case.closed_form([w], strength), rtol=2e-3)
