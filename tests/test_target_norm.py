"""Decay to a target norm."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from decay_problems import MAKERS, PARAMS, RATE, STRENGTH, assert_equal, gap, one_step, params, walk

from regjax import masks
from regjax.transforms import adamw, sgdw


@pytest.mark.parametrize("name", ["sgdw", "lionw"])
def test_a_target_of_zero_is_plain_decay_bit_for_bit(name):
    options = [{}, {"target_norm": 0.0}, {"target_norm": 1.0}]
    plain, to_zero, to_one = jax.jit(
        lambda w: [walk(MAKERS[name](RATE, STRENGTH, **each), w, 5) for each in options]
    )(params())
    assert gap(to_zero, plain) == 0
    assert gap(to_one, plain) > 1e-3


@pytest.mark.parametrize("target", [0.25, 1.0, 10.0])
def test_without_gradients_a_leaf_keeps_its_direction_and_reaches_the_target(target, x64):
    w, tx = params(), sgdw(0.5, 0.5, target_norm=target)
    zeros = jax.tree.map(np.zeros_like, w)

    def step(w, _):
        w = optax.apply_updates(w, tx.update(zeros, tx.init(w), w)[0])
        return w, optax.tree.norm(w["body"]["kernel"])

    end, found = jax.jit(lambda: jax.lax.scan(step, w, length=150))()
    for layer in ("body", "head"):
        unit = PARAMS[layer]["kernel"] / np.linalg.norm(PARAMS[layer]["kernel"])
        np.testing.assert_allclose(end[layer]["kernel"], target * unit, rtol=1e-14)
    np.testing.assert_array_equal(end["body"]["bias"], PARAMS["body"]["bias"])
    # The distance to the target shrinks by 1 - lr lambda each step.
    start = np.linalg.norm(PARAMS["body"]["kernel"])
    expected = target + (start - target) * 0.75 ** np.arange(1, 21)
    np.testing.assert_allclose(found[:20], expected, rtol=1e-12)


def test_targets_may_be_given_for_each_subtree(x64):
    w = params()
    tx = sgdw(RATE, STRENGTH, target_norm={"body": 2.0, "head": 0.0}, mask=masks.everything)
    found = one_step(tx, w, jax.tree.map(np.zeros_like, w))

    def expected(x, target):
        return x - RATE * STRENGTH * (1 - target / np.linalg.norm(x)) * x

    targets = {"body": {"kernel": 2.0, "bias": 2.0}, "head": {"kernel": 0.0}}
    assert_equal(found, jax.tree.map(expected, PARAMS, targets), rtol=1e-15)


@pytest.mark.parametrize("scaled_by", ["learning_rate", "schedule", "squared_learning_rate"])
def test_a_target_goes_with_every_scaling(scaled_by, x64):
    decays = {"learning_rate": 0.1 * 0.3, "schedule": 0.5 * 0.3, "squared_learning_rate": 0.015}
    w = np.array([3.0, 4.0])
    tx = sgdw(0.1, 0.3, scaled_by=scaled_by, peak_learning_rate=0.2, target_norm=2.0)
    expected = w - decays[scaled_by] * (1 - 2.0 / 5.0) * w
    np.testing.assert_allclose(one_step(tx, w, np.zeros(2)), expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("sgdw", np.float32), ("adamw", np.float64), ("lionw", np.float32)],
    ids=["sgdw", "adamw", "lionw"],
    indirect=["dtype"],
)
def test_a_zero_leaf_stays_at_zero_without_nan(name, dtype):
    w = {"kernel": np.zeros((2, 2), dtype), "other": {"kernel": np.ones((2, 2), dtype)}}
    tx = MAKERS[name](RATE, STRENGTH, target_norm=1.0)
    found = one_step(tx, w, jax.tree.map(np.zeros_like, w))
    np.testing.assert_array_equal(found["kernel"], 0)
    # Its norm is 2, twice the target.
    np.testing.assert_allclose(
        found["other"]["kernel"], 1 - RATE * STRENGTH / 2, rtol=2 * np.finfo(dtype).eps
    )


def test_a_step_towards_a_target_has_a_derivative_at_a_zero_leaf():
    w, tx = np.zeros(2, np.float32), sgdw(0.5, 0.5, target_norm=1.0)
    moved = jax.jit(jax.grad(lambda w: tx.update(jnp.ones(2), tx.init(w), w)[0].sum()))
    np.testing.assert_allclose(moved(w), -0.25, rtol=1e-6)


def test_the_norm_of_a_bfloat16_leaf_is_summed_in_float32():
    # In bfloat16 the sum of 10,000 squares of 1 stops at 256.
    w = np.ones((100, 100), jnp.bfloat16)
    found = one_step(sgdw(0.5, 0.5, target_norm=100.0), w, np.zeros_like(w))
    np.testing.assert_array_equal(np.asarray(found, np.float32), 1)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (-1.0, ValueError, "target_norm must be at least 0"),
        (np.nan, ValueError, "target_norm must be finite"),
        ("one", TypeError, "target_norm must be a number"),
        (jnp.ones(2), ValueError, "target_norm must be one scalar per leaf"),
        ({"body": 1.0}, ValueError, "target_norm must be a scalar or a tree prefix"),
    ],
    ids=["negative", "nan", "string", "array", "other_tree"],
)
def test_targets_that_are_none_raise_at_init(target, error, message):
    with pytest.raises(error, match=message):
        adamw(RATE, STRENGTH, target_norm=target).init(params())


def test_targets_map_in_one_trace():
    traces = []

    def final(target):
        traces.append(1)
        w = np.array([3.0, 4.0])
        return one_step(sgdw(0.5, 0.5, target_norm=target), w, np.zeros(2))

    lanes = jax.jit(jax.vmap(final))(np.array([0.0, 5.0, 10.0]))
    assert len(traces) == 1
    np.testing.assert_allclose(lanes, np.outer([0.75, 1.0, 1.25], [3.0, 4.0]), rtol=1e-6)
