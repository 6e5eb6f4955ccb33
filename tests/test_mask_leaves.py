"""Leaves of every kind beside the weights: complex ones decay, all others are left alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizer_problems import assert_trees_close, first_update

from regjax import L0, L1, L2, Box, ElasticNet, GroupLasso, mask_penalty, masks
from regjax.diagnostics import magnitude_prune, sparsity, weight_statistics
from regjax.transforms import (
    adamw,
    coupled_l2,
    monitor,
    muonw,
    prox_adam,
    prox_sgd,
    sgdw,
)

Z = np.array([[3 + 4j, 0.0], [0.3 - 0.4j, -1.0]], np.complex64)
PARAMS = {"kernel": Z, "bias": Z[0], "real": {"kernel": np.abs(Z)}}


SLOPES = jax.tree.map(lambda leaf: np.asarray(0.5 * leaf + 0.1, leaf.dtype), PARAMS)
SGD = optax.scale(-0.1)


def test_complex_leaves_are_decayed_as_optax_does_and_listed():
    report = masks.weights.report(PARAMS)
    assert [row.path for row in report.rows if row.penalized] == ["kernel", "real/kernel"]
    assert report.n_parameters == 10
    pairs = [
        (adamw(0.1, 0.5), optax.adamw(0.1, weight_decay=0.5, mask=masks.weights.resolve)),
        (sgdw(0.1, 0.5, mask=masks.everything), optax.chain(optax.add_decayed_weights(0.5), SGD)),
        (
            optax.chain(coupled_l2(0.5), SGD),
            optax.chain(optax.add_decayed_weights(0.5, masks.weights.resolve), SGD),
        ),
    ]
    ends = jax.jit(lambda: [[first_update(tx, PARAMS, SLOPES) for tx in pair] for pair in pairs])()
    for found, expected in ends:
        assert_trees_close(found, expected, rtol=1e-5, atol=1e-6)


def test_norms_and_signs_of_complex_weights():
    w, zero = {"kernel": Z}, {"kernel": np.zeros_like(Z)}
    # The first gradient lies within a right angle of the weight, the second does not.
    turned = {"kernel": np.array([[1j, 1j]], np.complex64)}
    g = {"kernel": np.array([[1 + 0.1j, 1 - 0.1j]], np.complex64)}
    toward, cautious = jax.jit(
        lambda: (
            first_update(sgdw(1.0, 0.5, target_norm=1.0), w, zero)["kernel"],
            first_update(sgdw(1.0, 0.5, cautious=True), turned, g)["kernel"],
        )
    )()
    np.testing.assert_allclose(toward, -0.5 * (1 - 1 / np.linalg.norm(Z)) * Z, rtol=1e-5)
    np.testing.assert_allclose(cautious + g["kernel"], [[-0.5j, 0]], atol=1e-6)


def test_separable_penalties_act_on_magnitudes():
    step, size = np.full(Z.shape, 0.5, np.float32), np.abs(Z)
    phase = np.where(Z == 0, 0, Z / np.where(Z == 0, 1, size))
    penalties = (L1(0.7), L2(0.7), ElasticNet(0.7, 0.3), L0(0.7))

    def of(w):
        return [[p.value(w), p.lambda_max(w), p.prox(w, step)] for p in penalties]

    def slopes(w):
        return [[p.gradient(w), jnp.conj(jax.grad(p.value)(w))] for p in penalties[:3]]

    found, expected, gradients = jax.jit(lambda: (of(Z), of(size), (slopes(Z), slopes(size))))()
    for (value, entry, prox), (real_value, real_entry, real_prox) in zip(
        found, expected, strict=True
    ):
        assert value.dtype == entry.dtype == np.float32
        np.testing.assert_allclose([value, entry], [real_value, real_entry], rtol=1e-6)
        np.testing.assert_allclose(prox, phase * real_prox, rtol=1e-5)
        np.testing.assert_array_equal(prox == 0, real_prox == 0)
    # JAX's gradient of a real function is the conjugate of its direction.
    for (gradient, by_jax), (real, _) in zip(*gradients, strict=True):
        np.testing.assert_allclose(gradient, phase * real, rtol=1e-5)
        np.testing.assert_allclose(gradient, by_jax, rtol=1e-5)


def test_penalties_without_a_meaning_for_complex_weights_raise():
    for penalty in (Box(-1.0, 1.0), GroupLasso(0.1, np.array([0, 1]), 2)):
        with pytest.raises(TypeError, match=r"Complex.*iscomplexobj"):
            prox_sgd(0.1, penalty).init(PARAMS)
    real = masks.weights & masks.by_predicate(lambda path, leaf: not jnp.iscomplexobj(leaf))
    prox_sgd(0.1, Box(-1.0, 1.0), mask=real).init(PARAMS)


def test_monitor_muon_and_diagnostics_take_complex_weights():
    w = {"kernel": Z, "real": {"kernel": np.eye(2, dtype=np.float32)}}
    watched = monitor(muonw(0.1, 0.5, nesterov=False, ns_steps=1))
    updates, state = jax.jit(lambda: watched.update(w, watched.init(w), w))()
    np.testing.assert_allclose(state.metrics.gradient_norm["kernel"], np.linalg.norm(Z), rtol=1e-6)
    # Adam on the complex matrix, whose first direction is the gradient's phase.
    expected = -0.1 * np.where(Z == 0, 0, Z / np.maximum(np.abs(Z), 1e-9)) - 0.05 * Z
    np.testing.assert_allclose(updates["kernel"], expected, rtol=1e-4, atol=1e-6)
    [row] = weight_statistics({"kernel": Z})
    assert row.max_abs == 5
    assert sparsity({"kernel": Z}) == 0.25
    pruned = magnitude_prune({"kernel": Z}, keep=0.5)["kernel"]
    np.testing.assert_array_equal(pruned, [[3 + 4j, 0], [0, -1]])


# --- leaves that are not penalized do not matter ------------------------------------------

KERNEL = np.array([[1.0, -0.01], [0.5, 2.0]], np.float32)
BESIDE = {
    "integer": (np.arange(4, dtype=np.int32).reshape(2, 2), np.zeros((2, 2), np.int32)),
    "complex": (Z, Z),
    "nan": (KERNEL, np.full((2, 2), np.nan, np.float32)),
    "infinity": (KERNEL, np.full((2, 2), np.inf, np.float32)),
}


def test_leaves_that_are_not_penalized_are_not_checked():
    tx = prox_adam(0.1, L1(0.2))

    def tree(i, names):
        return {"kernel": KERNEL, "bias": {name: BESIDE[name][i] for name in names}}

    def update(names):
        params = tree(0, names)
        return tx.update(tree(1, names), tx.init(params), params)[0]

    eagerly = ("integer", "nan")
    eager = update(eagerly)
    compiled, more, alone = jax.jit(
        lambda: (update(eagerly), update(BESIDE), first_update(tx, KERNEL, KERNEL))
    )()
    assert_trees_close(eager, compiled, rtol=1e-5)
    for updates in (compiled, more):
        np.testing.assert_allclose(updates["kernel"], alone, rtol=1e-6)
    assert np.any(alone == -KERNEL)


@pytest.mark.parametrize("name", BESIDE)
def test_step_sizes_of_other_leaves_are_not_checked(name):
    leaf, step = BESIDE[name]
    masked = mask_penalty(L1(0.2), {"kernel": True, "bias": False})
    params, steps = {"kernel": KERNEL, "bias": leaf}, {"kernel": 0.1, "bias": step}
    assert masked.prox(params, steps)["bias"] is leaf
    with pytest.raises(ValueError, match="step_size must be at least 0"):
        masked.prox(params, {**steps, "kernel": -0.1})


def test_nan_in_a_penalized_weights_gradient_shows_eagerly_too():
    tx, g = prox_adam(0.1, L1(0.2)), jnp.array([[1.0, jnp.nan], [0.5, 2.0]])
    eager, _ = tx.update(g, tx.init(KERNEL), jnp.asarray(KERNEL))
    np.testing.assert_array_equal(np.isnan(eager), np.isnan(g))
    # A weight may be a scalar.
    assert np.isnan(L1(0.2).prox(jnp.ones(()), jnp.array(jnp.nan)))


@pytest.mark.parametrize("penalty", [L1(0.1), L2(0.1), L0(0.1), Box(0.0, 1.0)])
def test_a_random_key_is_named_as_one(penalty):
    with pytest.raises(TypeError, match="random key.*mask"):
        penalty.value({"w": jnp.ones(2), "key": jax.random.key(0)})
