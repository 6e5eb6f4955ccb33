"""Proximal steps: by hand, in both metrics, with exact zeros, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizer_problems import (
    ARRAY,
    TREE,
    cast,
    descend,
    largest_gap,
    numpy_adam,
    numpy_descend,
    slope,
    soft,
)

from regjax import L1, L2, GroupLasso, UnitNorm
from regjax.transforms import adam_direction, decoupled_weight_decay, proximal


@pytest.mark.parametrize(
    ("metric", "settings"),
    [
        ("adaptive", {}),
        ("adaptive", {"b1": 0.5, "b2": 0.9, "eps": 0.1, "eps_root": 0.01}),
        ("euclidean", {}),
    ],
    ids=["adaptive-defaults", "adaptive-others", "euclidean-defaults"],
)
def test_thresholds_after_adam_equal_numpy(metric, settings, x64):
    rate, strength = 0.05, 1.0

    def finish(k, w, d, m):
        return soft(w - rate * d, rate * strength / (m if metric == "adaptive" else 1))

    optimizer = proximal(adam_direction(**settings), rate, L1(strength), metric=metric)
    found = descend(optimizer, jnp.asarray(ARRAY), 120)
    expected = numpy_adam(finish, ARRAY, 120, **settings)
    assert (expected == 0).any()
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_adam_direction_is_scale_by_adam(dtype):
    params = cast(TREE, dtype)
    settings = {"b1": 0.8, "b2": 0.95, "eps": 1e-4, "eps_root": 1e-6}
    own = optax.chain(adam_direction(**settings), optax.scale(-0.1))
    theirs = optax.chain(optax.scale_by_adam(**settings), optax.scale(-0.1))
    assert largest_gap(descend(own, params, 10), descend(theirs, params, 10)) == 0


def test_adaptive_steps_see_clipped_gradients(x64):
    rate, strength, largest = 0.05, 0.3, 0.5

    def clipped(w):
        g = slope(w)
        return g * jnp.minimum(1, largest / jnp.sqrt(jnp.sum(g**2)))

    def optimizer(direction):
        return proximal(direction, rate, L1(strength), metric="adaptive")

    chain = optax.chain(optax.clip_by_global_norm(largest), adam_direction())
    params = jnp.asarray(ARRAY)
    found = descend(optimizer(chain), params, 40)
    by_hand = descend(optimizer(adam_direction()), params, 40, gradient=clipped)
    np.testing.assert_allclose(found, by_hand, rtol=1e-12)
    assert largest_gap(found, descend(optimizer(adam_direction()), params, 40)) > 1e-3


def test_proximal_l2_divides_by_one_plus_rate_times_strength(dtype):
    rate, strength = 0.1, 0.7
    path = descend(proximal(optax.identity(), rate, L2(strength)), cast(ARRAY, dtype), 20)
    expected = numpy_descend(lambda k, w, g: (w - rate * g) / (1 + rate * strength), ARRAY, 20)
    np.testing.assert_allclose(path, expected, atol=30 * np.finfo(dtype).eps)


def test_one_step_of_proximal_l2_and_of_adamw_differ_by_the_square_of_the_rate(x64):
    w = jnp.asarray(ARRAY)

    def gap(rate):
        a = descend(proximal(optax.scale_by_adam(), rate, L2(0.7)), w, 1)
        b = descend(decoupled_weight_decay(optax.scale_by_adam(), rate, 0.7), w, 1)
        return largest_gap(a, b)

    assert gap(1e-2) > 1e-6
    assert gap(1e-3) / gap(5e-4) == pytest.approx(4, rel=0.01)


def test_a_penalty_may_be_a_function_of_the_step_count(x64):
    def kind(k):
        return L1(0.1 * (k + 1)) + L2(0.2)

    def finish(k, w, g):
        return soft(w - 0.1 * g, 0.1 * 0.1 * (k + 1) / (1 + 0.1 * 0.2) * 1.02) / 1.02

    path = descend(proximal(optax.identity(), 0.1, kind), jnp.asarray(ARRAY), 15)
    np.testing.assert_allclose(path, numpy_descend(finish, ARRAY, 15), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("low", "accumulate", "metric"),
    [
        (jnp.bfloat16, 1, "euclidean"),
        (jnp.bfloat16, 2, "adaptive"),
        (jnp.float32, 1, "adaptive"),
        (jnp.float32, 2, "euclidean"),
    ],
)
def test_exact_zeros_survive_apply_updates(low, accumulate, metric):
    rng = np.random.default_rng(2)
    w = rng.normal(size=200).astype(low)
    gradient = rng.choice([-1.0, 1.0], size=200).astype(low)
    optimizer = proximal(adam_direction(eps=0.0), 0.25, L1(2.0), metric=metric)
    expected = np.asarray(w, np.float32) - 0.25 * np.asarray(gradient, np.float32)
    if accumulate > 1:
        optimizer = optax.MultiSteps(optimizer, accumulate)

    @jax.jit
    def step(state, w):
        updates, state = optimizer.update(gradient, state, w)
        return optax.apply_updates(w, updates), state

    state, found = jax.jit(optimizer.init)(w), w
    for _ in range(accumulate):
        np.testing.assert_array_equal(found, w)
        found, state = step(state, w)
    assert found.dtype == low
    found = np.asarray(found)
    # Adam's first direction is the sign and its metric is 1, so both thresholds are .5; the
    # entries within rounding of the threshold are left out.
    clear = np.abs(np.abs(expected) - 0.5) > 0.02
    np.testing.assert_array_equal((found == 0)[clear], (np.abs(expected) < 0.5)[clear])
    assert 20 < np.count_nonzero(found == 0) < 180


def test_group_lasso_steps_set_whole_columns_to_zero():
    kernel = np.float32([[3.0, 0.1], [4.0, -0.2]])
    penalty = GroupLasso(1.0, jnp.array([0, 1]), n_groups=2, weights=jnp.ones(2))
    optimizer = proximal(optax.identity(), optax.constant_schedule(0.5), penalty)
    # The first column has norm 5 and loses .5 of it.
    found = np.asarray(descend(optimizer, kernel, 1, gradient=lambda w: 0 * w))[0]
    np.testing.assert_allclose(found, [[2.7, 0.0], [3.6, 0.0]], rtol=1e-6)
    np.testing.assert_array_equal(found[:, 1], 0)


@pytest.mark.parametrize(
    ("direction", "penalty", "message"),
    [
        (optax.scale_by_adam(), L1(0.1), "adam_direction"),
        (optax.identity(), L1(0.1), "adam_direction"),
        (optax.chain(adam_direction(), adam_direction()), L1(0.1), "found 2"),
        (adam_direction(), UnitNorm(axis=None), "one step per coordinate"),
        (adam_direction(), L2(0.1) + UnitNorm(axis=None), "one step per coordinate"),
    ],
    ids=["scale_by_adam", "identity", "two", "unit_norm", "sum_with_unit_norm"],
)
def test_an_adaptive_metric_that_does_not_exist_raises_at_init(direction, penalty, message):
    optimizer = proximal(direction, 0.1, penalty, metric="adaptive")
    with pytest.raises(ValueError, match=message):
        optimizer.init(jnp.ones(3))
    proximal(direction, 0.1, penalty).init(jnp.ones(3))


def test_an_unknown_metric_and_a_penalty_that_is_none_raise():
    with pytest.raises(ValueError, match="metric"):
        proximal(optax.identity(), 0.1, L1(0.1), metric="adam")
    # A class could be taken for a schedule, and the step count for its strength.
    for penalty in (0.1, L1, None):
        with pytest.raises(TypeError, match="penalty object"):
            proximal(optax.identity(), 0.1, penalty)
    with pytest.raises(TypeError, match="penalty object"):
        proximal(optax.identity(), 0.1, lambda step: 0.1).init(jnp.ones(3))
