"""Coupled L2 and decoupled decay: where they are one, how the decay is scaled, injection."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizer_problems import (
    ARRAY,
    CENTRE,
    CURVATURE,
    START,
    TREE,
    assert_trees_close,
    cast,
    descend,
    first_update,
    largest_gap,
    numpy_adam,
    slopes,
)

from regjax import L2, masks, penalized_loss, sgd_with_weight_decay
from regjax.transforms import coupled_l2, decoupled_weight_decay


def scan(step, carry, n_steps):
    """Return what `step` gives, applied again and again, stacked."""

    def body(carry, _):
        carry = step(carry)
        return carry, carry

    return jax.jit(lambda carry: jax.lax.scan(body, carry, length=n_steps)[1])(carry)


@pytest.mark.parametrize(
    ("dtype", "params"),
    [(np.float32, ARRAY), (np.float64, TREE)],
    ids=["float32-array", "float64-tree"],
    indirect=["dtype"],
)
def test_coupled_l2_with_sgd_is_decay_and_is_descent_on_the_penalized_loss(params, dtype):
    params = cast(params, dtype)
    rate, strength = 0.1, 0.7

    def loss(p):
        terms = jax.tree.map(lambda w: jnp.sum(CURVATURE * (w - CENTRE) ** 2) / 2, p)
        return sum(jax.tree.leaves(terms))

    objective = penalized_loss(loss, L2(strength), masks.everything)

    def plain(p):
        return jax.tree.map(lambda w, g: w - rate * g, p, jax.grad(objective)(p))

    coupled = optax.chain(coupled_l2(strength, masks.everything), optax.sgd(rate))
    path = descend(coupled, params, 60)
    # Each step rounds a few times and the contraction forgets old rounding.
    tolerance = 50 * np.finfo(dtype).eps
    decayed = scan(lambda p: sgd_with_weight_decay(p, slopes(p), rate, strength), params, 60)
    assert_trees_close(path, decayed, rtol=tolerance, atol=tolerance)
    assert_trees_close(path, scan(plain, params, 60), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("direction", "equal"),
    [(optax.identity(), True), (optax.trace(0.9), False), (optax.scale_by_adam(), False)],
    ids=["sgd", "momentum", "adam"],
)
def test_coupled_and_decoupled_are_one_under_sgd_and_two_otherwise(direction, equal, x64):
    params = jnp.asarray(ARRAY)
    coupled = optax.chain(coupled_l2(0.5), direction, optax.scale(-0.02))
    decoupled = decoupled_weight_decay(direction, 0.02, 0.5)
    gap = largest_gap(descend(coupled, params, 50), descend(decoupled, params, 50))
    assert gap < 1e-13 if equal else gap > 0.05


@pytest.mark.parametrize("rate", [0.05, optax.cosine_decay_schedule(0.05, 40)])
def test_decay_beside_adam_is_adamw_of_optax_and_of_numpy(rate, x64):
    strength = 0.4

    def rate_at(k):
        return rate if isinstance(rate, float) else float(rate(k))

    def adamw(k, w, d, metric):
        return w - rate_at(k) * (d + strength * w)

    own = decoupled_weight_decay(optax.scale_by_adam(), rate, strength, mask=masks.everything)
    theirs = optax.adamw(rate, weight_decay=strength)
    path = descend(own, cast(TREE, jnp.float64), 40)
    assert_trees_close(path, descend(theirs, cast(TREE, jnp.float64), 40), rtol=1e-12, atol=1e-12)
    expected = jax.tree.map(lambda leaf: numpy_adam(adamw, leaf, 40), TREE)
    assert_trees_close(path, expected, rtol=1e-12, atol=1e-12)


def test_coupled_l2_before_adam_is_add_decayed_weights_before_adam(x64):
    params = cast(TREE, jnp.float64)
    own = optax.chain(coupled_l2(0.4, masks.everything), optax.adam(0.05))
    theirs = optax.chain(optax.add_decayed_weights(0.4), optax.adam(0.05))
    assert_trees_close(descend(own, params, 40), descend(theirs, params, 40), rtol=1e-12)


RATES = np.array([0.02, 0.05, 0.08, 0.04, 0.01, 0.0])
PEAK = 0.08
DECAYS = {
    "learning_rate": lambda rate, s, peak: rate * s,
    "schedule": lambda rate, s, peak: rate / peak * s,
    "squared_learning_rate": lambda rate, s, peak: rate**2 / peak * s,
}


@pytest.mark.parametrize("scaled_by", DECAYS)
def test_the_decay_is_scaled_as_the_table_says(scaled_by, x64):
    strength = 0.3
    optimizer = decoupled_weight_decay(
        optax.scale_by_adam(),
        lambda count: jnp.asarray(RATES)[count],
        strength,
        scaled_by=scaled_by,
        peak_learning_rate=PEAK,
    )

    def finish(k, w, d, metric):
        return w - RATES[k] * d - DECAYS[scaled_by](RATES[k], strength, PEAK) * w

    found = descend(optimizer, jnp.asarray(ARRAY), len(RATES))
    np.testing.assert_allclose(found, numpy_adam(finish, ARRAY, len(RATES)), rtol=1e-12)


@pytest.mark.parametrize("scaled_by", DECAYS)
@pytest.mark.parametrize("peak", [None, 0.2])
def test_a_constant_rate_is_its_own_peak_unless_one_is_given(scaled_by, peak, x64):
    optimizer = decoupled_weight_decay(
        optax.identity(), 0.1, 0.3, scaled_by=scaled_by, peak_learning_rate=peak
    )
    update = first_update(optimizer, jnp.array([2.0]))
    np.testing.assert_allclose(update, -2 * DECAYS[scaled_by](0.1, 0.3, peak or 0.1), rtol=1e-14)


@pytest.mark.parametrize("scaled_by", ["schedule", "squared_learning_rate"])
@pytest.mark.parametrize("rate", [optax.constant_schedule(0.1), np.array(0.1)])
def test_a_peak_that_cannot_be_read_off_the_rate_must_be_given(scaled_by, rate):
    with pytest.raises(ValueError, match="peak_learning_rate"):
        decoupled_weight_decay(optax.identity(), rate, 0.3, scaled_by=scaled_by)
    decoupled_weight_decay(optax.identity(), rate, 0.3)


@pytest.mark.parametrize("peak", [0.0, -0.1, np.nan])
def test_a_peak_that_is_not_positive_raises(peak):
    # A negative peak would turn the decay into growth.
    with pytest.raises(ValueError, match="peak_learning_rate"):
        decoupled_weight_decay(
            optax.identity(), 0.1, 0.3, scaled_by="schedule", peak_learning_rate=peak
        )


def test_an_unknown_scaling_raises():
    with pytest.raises(ValueError, match="scaled_by"):
        decoupled_weight_decay(optax.identity(), 0.1, 0.3, scaled_by="peak")


@pytest.mark.parametrize(
    "mask",
    [masks.weights, masks.by_ndim(2), masks.weights & masks.by_path("dense/*")],
    ids=["weights", "by_ndim", "combined"],
)
def test_decay_goes_on_under_inject_hyperparams_with_a_mask_object(mask):
    params = cast(TREE, jnp.float32)
    zeros = jax.tree.map(jnp.zeros_like, params)
    decay = optax.inject_hyperparams(decoupled_weight_decay)(
        optax.scale_by_adam(), learning_rate=0.1, lambda_=0.5, mask=mask
    )
    coupled = optax.inject_hyperparams(coupled_l2)(lambda_=0.5, mask=mask)
    for optimizer, factor in ((decay, -0.05), (coupled, 0.5)):
        state = optimizer.init(params)
        updates, state = optimizer.update(zeros, state, params)
        np.testing.assert_allclose(updates["dense"]["kernel"], factor * START, rtol=1e-6)
        assert largest_gap(updates["dense"]["bias"], jnp.zeros(3)) == 0
        state.hyperparams["lambda_"] = jnp.asarray(0.0)
        updates, _ = optimizer.update(zeros, state, params)
        assert largest_gap(updates, zeros) == 0


def test_schedules_of_strength_work_under_inject_hyperparams():
    optimizer = optax.inject_hyperparams(coupled_l2)(lambda_=lambda count: 0.5 * (count + 1))
    w = jnp.array([2.0])
    state = optimizer.init(w)
    for expected in (1.0, 2.0, 3.0):
        updates, state = optimizer.update(jnp.zeros(1), state, w)
        np.testing.assert_allclose(updates, expected)


def test_sgd_with_weight_decay_decays_every_leaf_and_keeps_dtypes():
    params = {"kernel": jnp.array([2.0], jnp.bfloat16), "bias": jnp.array([4.0])}
    gradient = {"kernel": jnp.array([1.0], jnp.bfloat16), "bias": jnp.array([-2.0])}
    stepped = sgd_with_weight_decay(params, gradient, 0.5, 0.25)
    assert stepped["kernel"].dtype == jnp.bfloat16
    # 2 - .5 * 1 - .5 * .25 * 2 and 4 + .5 * 2 - .5 * .25 * 4, exact in binary.
    assert float(stepped["kernel"][0]) == 1.25
    assert float(stepped["bias"][0]) == 4.5
    for lr, strength in ((-1.0, 0.0), (0.1, -1.0)):
        with pytest.raises(ValueError, match="at least 0"):
            sgd_with_weight_decay(params, gradient, lr, strength)
