"""Where the monitor may stand: in chains, around and inside other transformations, in lanes."""

import jax
import numpy as np
import optax
import pytest
from monitor_problems import GRADIENTS, PARAMS, RATE, STRENGTH, G, W, measured, tree

from regjax import L1, masks
from regjax.transforms import adamw, monitor, proximal, read_metrics, sgdw, with_master_weights


def test_inside_a_chain_it_sees_what_reaches_it(x64):
    # The gradient's norm is sqrt(25 + 25): clipped to half of it.
    norm = float(np.sqrt(np.sum(G**2) + 25))
    tx = optax.chain(optax.clip_by_global_norm(norm / 2), monitor(sgdw(RATE, STRENGTH)))
    _, metrics = measured(tx)
    np.testing.assert_allclose(metrics.gradient_norm["kernel"], np.linalg.norm(G) / 2, rtol=1e-12)
    ratio = STRENGTH * np.linalg.norm(W) / (np.linalg.norm(G) / 2)
    np.testing.assert_allclose(metrics.decay_to_gradient["kernel"], ratio, rtol=1e-12)
    _, around = measured(
        monitor(optax.chain(optax.clip_by_global_norm(norm / 2), sgdw(RATE, STRENGTH)))
    )
    np.testing.assert_allclose(around.gradient_norm["kernel"], np.linalg.norm(G), rtol=1e-12)
    np.testing.assert_allclose(around.decay_to_gradient["kernel"], ratio, rtol=1e-12)


WRAPPED = {
    "around inject_hyperparams": lambda: monitor(
        optax.inject_hyperparams(sgdw)(RATE, STRENGTH, mask=masks.weights)
    ),
    "inside inject_hyperparams": lambda: optax.inject_hyperparams(
        lambda learning_rate, lambda_: monitor(sgdw(learning_rate, lambda_))
    )(RATE, STRENGTH),
    "around master weights": lambda: monitor(with_master_weights(sgdw(RATE, STRENGTH))),
    "around a masked": lambda: monitor(
        optax.masked(sgdw(RATE, STRENGTH), {"kernel": True, "bias": True})
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_the_ratio_is_known_through_other_transformations(name, x64):
    _, metrics = measured(WRAPPED[name]())
    ratio = STRENGTH * np.linalg.norm(W) / np.linalg.norm(G)
    np.testing.assert_allclose(metrics.decay_to_gradient["kernel"], ratio, rtol=1e-12)
    np.testing.assert_allclose(metrics.gradient_norm["kernel"], np.linalg.norm(G), rtol=1e-12)


def test_inside_multi_steps_it_measures_the_accumulated_step(x64):
    tx = optax.MultiSteps(monitor(sgdw(RATE, STRENGTH)), 2)
    update, state = jax.jit(tx.update), jax.jit(tx.init)(PARAMS)
    # The mean of 0 and twice the gradient is the gradient.
    updates, state = update(jax.tree.map(np.zeros_like, PARAMS), state, PARAMS)
    assert read_metrics(state).step == 0
    np.testing.assert_array_equal(updates["kernel"], 0)
    updates, state = update(jax.tree.map(lambda g: 2.0 * g, GRADIENTS), state, PARAMS)
    metrics = read_metrics(state)
    assert metrics.step == 1
    np.testing.assert_allclose(updates["kernel"], -RATE * (G + STRENGTH * W), rtol=1e-12)
    np.testing.assert_allclose(metrics.gradient_norm["kernel"], np.linalg.norm(G), rtol=1e-12)
    ratio = STRENGTH * np.linalg.norm(W) / np.linalg.norm(G)
    np.testing.assert_allclose(metrics.decay_to_gradient["kernel"], ratio, rtol=1e-12)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tx: optax.MultiSteps(tx, 2),
        lambda tx: optax.MultiSteps(tx, 2).gradient_transformation(),
        lambda tx: with_master_weights(optax.MultiSteps(tx, 2)),
    ],
    ids=["MultiSteps", "gradient_transformation", "nested"],
)
def test_around_multi_steps_it_raises_and_says_what_to_do(wrap):
    tx = monitor(wrap(adamw(RATE, STRENGTH)))
    with pytest.raises(ValueError, match="Put the monitor inside: optax.MultiSteps"):
        tx.init(tree(PARAMS))


def test_around_another_conditional_it_raises_at_the_first_update():
    w, tx = tree(PARAMS), monitor(optax.apply_if_finite(sgdw(RATE, STRENGTH), 3))
    state = jax.jit(tx.init)(w)
    with pytest.raises(ValueError, match="Put the monitor inside"):
        tx.update(tree(GRADIENTS), state, w)
    with pytest.raises(jax.errors.UnexpectedTracerError):
        jax.jit(tx.update)(tree(GRADIENTS), state, w)
    inside = optax.apply_if_finite(monitor(sgdw(RATE, STRENGTH)), 3)
    _, metrics = measured(inside)
    ratio = STRENGTH * np.linalg.norm(W) / np.linalg.norm(G)
    np.testing.assert_allclose(metrics.decay_to_gradient["kernel"], ratio, rtol=1e-6)


def test_around_an_optimizer_of_optax_that_takes_no_extra_arguments_the_ratio_is_zero():
    _, metrics = measured(monitor(optax.adamw(RATE, weight_decay=STRENGTH)))
    assert metrics.decay_to_gradient == {"kernel": 0, "bias": 0}
    assert metrics.gradient_norm["bias"] == 5


def test_extra_arguments_reach_the_optimizer_beside_the_watch():
    def update(updates, state, params=None, *, value, **extra):
        return jax.tree.map(lambda g: g * value, updates), state

    direction = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    tx, w = monitor(proximal(direction, RATE, L1(0.0))), np.ones(3)
    updates, _ = jax.jit(lambda w: tx.update(w, tx.init(w), w, value=3.0))(w)
    np.testing.assert_allclose(updates, -0.3 * w, rtol=1e-6)


def test_strengths_map_in_one_trace_with_their_metrics(x64):
    traces = []

    def ratio(strength):
        traces.append(1)
        tx, w = monitor(adamw(RATE, strength, eps=0.0), every=2), tree(PARAMS)
        _, state = tx.update(tree(GRADIENTS), tx.init(w), w)
        return state.metrics.decay_to_gradient["kernel"]

    grid = np.array([0.0, 0.1, 0.5])
    lanes = jax.jit(jax.vmap(ratio))(grid)
    assert len(traces) == 1
    np.testing.assert_allclose(lanes, grid * np.linalg.norm(W) / 2, rtol=1e-12)


def test_lanes_may_have_step_counts_of_their_own():
    tx, w = monitor(sgdw(RATE, STRENGTH), every=2), np.array([3.0, 4.0])
    init, update = jax.jit(tx.init), jax.jit(lambda g, state: tx.update(g, state, w)[1])
    once = update(np.ones(2), init(w))
    states = jax.tree.map(lambda a, b: np.stack([a, b]), init(w), once)
    states = jax.jit(jax.vmap(lambda s: update(np.zeros(2), s)))(states)
    np.testing.assert_array_equal(states.step, [1, 2])
    np.testing.assert_array_equal(states.metrics.step, [1, 1])
    np.testing.assert_allclose(states.metrics.gradient_norm, [0, np.sqrt(2)], rtol=1e-6)


def test_parts_that_see_some_leaves_alone_are_added_where_they_belong(x64):
    w = {"a": np.array([3.0, 4.0]), "b": np.array([[1.0], [2.0]]), "c": np.ones(1)}
    g = jax.tree.map(np.ones_like, w)
    parts = {"x": sgdw(RATE, 0.5, mask=masks.everything), "y": optax.sgd(RATE)}
    tx = monitor(optax.partition(parts, {"a": "y", "b": "x", "c": "x"}))
    _, state = jax.jit(lambda g, w: tx.update(g, tx.init(w), w))(g, w)
    found = read_metrics(state).decay_to_gradient
    assert found["a"] == 0
    np.testing.assert_allclose(found["b"], 0.5 * np.sqrt(5) / np.sqrt(2), rtol=1e-12)
    np.testing.assert_allclose(found["c"], 0.5, rtol=1e-12)
