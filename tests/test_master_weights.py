"""Float32 weights beside short ones: what is lost without them and kept with them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from quick import every_second

from regjax import L1, masks
from regjax.transforms import (
    adam_l2,
    adamw,
    lionw,
    muonw,
    prox_adam,
    prox_sgd,
    sgd_l2,
    sgdw,
    with_master_weights,
)

RATE, STRENGTH = 0.05, 0.3
LOW = [jnp.bfloat16, jnp.float16]
OPTIMIZERS = {
    "sgd_l2": sgd_l2(RATE, STRENGTH, momentum=0.9),
    "sgdw": sgdw(RATE, STRENGTH),
    "adam_l2": adam_l2(RATE, STRENGTH),
    "adamw": adamw(RATE, STRENGTH),
    "lionw": lionw(RATE, STRENGTH),
    "muonw": muonw(RATE, STRENGTH, ns_steps=2),
    "prox_adam": prox_adam(RATE, L1(STRENGTH)),
    "optax.adam": optax.adam(RATE),
}


def tree(dtype):
    rng = np.random.default_rng(0)
    shapes = {"dense": {"kernel": (20, 10), "bias": (10,)}, "head": (10, 3)}
    return jax.tree.map(
        lambda s: jnp.asarray(rng.normal(size=s), dtype), shapes, is_leaf=lambda s: type(s) is tuple
    )


def gradients(params, k):
    """Gradients whose entries every dtype holds, so that all runs see the same."""
    return jax.tree.map(
        lambda x: (
            (jnp.sin(1.0 + jnp.arange(x.size) * (k + 1)).astype(jnp.bfloat16) / 2)
            .reshape(x.shape)
            .astype(x.dtype)
        ),
        params,
    )


def descend(tx, start, n_steps=25):
    """Return the parameters and states after every step."""

    def step(carry, k):
        w, state = carry
        updates, state = tx.update(gradients(w, k), state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), (w, state)

    steps = jnp.arange(n_steps)
    return jax.jit(lambda w: jax.lax.scan(step, (w, tx.init(w)), steps)[1])(start)


def cast(params, dtype):
    return jax.tree.map(lambda x: x.astype(dtype), params)


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(np.asarray(x, np.float64), np.asarray(y, np.float64))


# --- small steps ---


@pytest.mark.parametrize("low", LOW)
def test_a_decay_below_rounding_is_lost_without_and_kept_with_master_weights(low):
    w, n_steps = jnp.ones(3, low), 2000
    zeros = jnp.zeros(3, low)
    tx = sgdw(1e-3, 0.1)

    def end(tx):
        def step(carry, _):
            w, state = carry
            updates, state = tx.update(zeros, state, w)
            return (optax.apply_updates(w, updates), state), None

        return jax.jit(lambda: jax.lax.scan(step, (w, tx.init(w)), length=n_steps)[0][0])()

    np.testing.assert_array_equal(np.asarray(end(tx), np.float32), 1)
    found = end(with_master_weights(tx))
    assert found.dtype == low
    expected = (1 - 1e-4) ** n_steps
    np.testing.assert_allclose(
        np.asarray(found, np.float32), expected, rtol=float(jnp.finfo(low).eps) / 2
    )


SHORT = [*((name, jnp.bfloat16) for name in OPTIMIZERS), ("sgd_l2", jnp.float16)]


@pytest.mark.parametrize("case", every_second(SHORT), ids=lambda case: case[0])
def test_weights_are_those_of_a_float32_run_rounded_once(case):
    name, low = case
    tx = OPTIMIZERS[name]
    start = tree(low)
    wide, _ = descend(tx, cast(start, jnp.float32))
    short, state = descend(with_master_weights(tx), start)
    assert_same(short, cast(state.master, low))
    # The two programs need not round alike; a master weight once replaced would be far off.
    for x, y in zip(jax.tree.leaves(state.master), jax.tree.leaves(wide), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("low", LOW)
def test_steps_across_zero_are_not_rounded_twice(low):
    # There the weight before and the step are much larger than the weight after.
    short, state = descend(with_master_weights(OPTIMIZERS["sgd_l2"]), tree(low), 200)
    assert_same(short, cast(state.master, low))


def test_updates_and_moments_are_kept_in_the_master_dtype():
    start = tree(jnp.bfloat16)
    tx = with_master_weights(adamw(RATE, STRENGTH))
    state = tx.init(start)
    updates, state = tx.update(gradients(start, 0), state, start)
    wide = [*jax.tree.leaves(updates), *jax.tree.leaves(state.master)]
    wide += jax.tree.leaves((state.optimizer.direction.mu, state.optimizer.direction.nu))
    assert {leaf.dtype for leaf in wide} == {jnp.dtype(jnp.float32)}


def test_exact_zeros_survive():
    tx = prox_adam(RATE, L1(STRENGTH), mask=masks.everything)
    short, state = descend(with_master_weights(tx), tree(jnp.bfloat16))
    for found, master in zip(jax.tree.leaves(short), jax.tree.leaves(state.master), strict=True):
        np.testing.assert_array_equal(found == 0, master == 0)
    zeros = [int(jnp.sum(leaf[-1] == 0)) for leaf in jax.tree.leaves(short)]
    assert sum(zeros) > 10
    assert sum(zeros) < sum(leaf[-1].size for leaf in jax.tree.leaves(short))


# --- what others do to the weights ---


def test_weights_changed_from_outside_are_taken_over():
    tx = with_master_weights(sgdw(1e-3, 0.1))
    w = jnp.asarray([1.0, 2.0, -3.0, 0.5], jnp.bfloat16)
    zeros, state = jnp.zeros_like(w), tx.init(w)
    for _ in range(3):
        updates, state = tx.update(zeros, state, w)
        w = optax.apply_updates(w, updates)
    kept = np.asarray(state.master)
    # The second is pruned and the third loaded anew.
    w = w.at[1].set(0.0).at[2].set(7.0)
    updates, state = tx.update(zeros, state, w)
    expected = np.array([kept[0], 0.0, 7.0, kept[3]], np.float32) * np.float32(1 - 1e-4)
    np.testing.assert_allclose(state.master, expected, rtol=1e-7)
    after = optax.apply_updates(w, updates)
    assert_same(after, state.master.astype(jnp.bfloat16))
    assert after[1] == 0


def test_weights_left_where_they_were_lose_nothing_of_the_master():
    # An update that is not applied is none: the model's weights decide.
    tx = with_master_weights(optax.sgd(1.0))
    w = jnp.ones(1, jnp.bfloat16)
    state = tx.init(w)
    _, moved = tx.update(jnp.full(1, 0.5, jnp.bfloat16), state, w)
    _, again = tx.update(jnp.full(1, 0.25, jnp.bfloat16), moved, w)
    np.testing.assert_array_equal(again.master, 0.75)


# --- leaves that are wide enough, and leaves that are no weights ---


@pytest.mark.parametrize("name", ["adamw", "optax.adam"])
def test_leaves_as_wide_as_the_master_are_left_to_the_optimizer(name, dtype):
    tx = OPTIMIZERS[name]
    plain, inner = descend(tx, tree(dtype))
    found, state = descend(with_master_weights(tx), tree(dtype))
    assert jax.tree.leaves(state.master) == []
    assert_same(found, plain)
    assert_same(state.optimizer, inner)


def test_short_and_wide_leaves_stand_side_by_side(x64):
    tx = sgdw(1e-3, 0.1, mask=masks.everything)
    start = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(2), "c": jnp.ones(2, jnp.float32)}
    found, state = descend(with_master_weights(tx), start)
    assert state.master["b"] is None
    assert state.master["c"] is None
    assert state.master["a"].dtype == jnp.float32
    plain, _ = descend(tx, start)
    for key in "bc":
        assert_same(found[key], plain[key])
    wide, _ = descend(tx, {**start, "a": jnp.ones(2, jnp.float32)})
    assert_same(found["a"], wide["a"].astype(jnp.bfloat16))


def test_the_master_may_be_float64(x64):
    tx = adamw(RATE, STRENGTH)
    wide, _ = descend(tx, cast(tree(jnp.float32), jnp.float64))
    short, state = descend(with_master_weights(tx, jnp.float64), tree(jnp.float32))
    assert_same(short, cast(state.master, jnp.float32))
    for x, y in zip(jax.tree.leaves(state.master), jax.tree.leaves(wide), strict=True):
        assert x.dtype == jnp.float64
        np.testing.assert_allclose(x, y, rtol=1e-13, atol=1e-14)


def test_integers_and_missing_leaves_pass_through():
    w = {"kernel": jnp.ones((2, 2), jnp.bfloat16), "steps": jnp.arange(3), "none": None}
    tx = with_master_weights(sgdw(0.5, 0.5))
    state = tx.init(w)
    assert state.master["steps"] is None
    g = {**w, "steps": jnp.zeros(3, jnp.int32)}
    updates, state = jax.jit(tx.update)(g, state, w)
    after = optax.apply_updates(w, updates)
    np.testing.assert_array_equal(after["steps"], [0, 1, 2])
    assert after["steps"].dtype == jnp.int32
    assert after["none"] is None
    # 1 - .5 * 1 - .5 * .5 * 1, exact in binary.
    np.testing.assert_array_equal(np.asarray(after["kernel"], np.float32), 0.25)


# --- inside and around other transformations ---


def test_around_multi_steps_gradients_are_summed_in_float32():
    """Inside `MultiSteps` it works too, on a mean gradient rounded to the weights' dtype."""
    w = jnp.ones(4, jnp.bfloat16)
    # Their mean is 1 + 2^-9, which bfloat16 rounds to 1.
    first, second = jnp.ones(4, jnp.bfloat16), jnp.full(4, 1 + 2.0**-7, jnp.bfloat16)
    inner = optax.sgd(2.0**-7)
    for tx, mean in (
        (with_master_weights(optax.MultiSteps(inner, 2)), 1 + 2.0**-8),
        (optax.MultiSteps(with_master_weights(inner), 2), None),
    ):
        state, p = tx.init(w), w
        update = jax.jit(tx.update)
        updates, state = update(first, state, p)
        p = optax.apply_updates(p, updates)
        assert_same(p, w)
        updates, state = update(second, state, p)
        p = optax.apply_updates(p, updates)
        assert p.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(p, np.float32), 1 - 2.0**-7, rtol=2.0**-9)
        if mean is not None:
            np.testing.assert_allclose(state.master, 1 - 2.0**-7 * mean, rtol=1e-7)


@pytest.mark.parametrize("order", ["around", "inside"])
def test_small_decays_are_kept_with_multi_steps_in_either_order(order):
    w, zeros = jnp.ones(2, jnp.bfloat16), jnp.zeros(2, jnp.bfloat16)
    tx = sgdw(1e-3, 0.1)
    if order == "around":
        tx = with_master_weights(optax.MultiSteps(tx, 2))
    else:
        tx = optax.MultiSteps(with_master_weights(tx), 2)

    def step(carry, _):
        p, state = carry
        updates, state = tx.update(zeros, state, p)
        return (optax.apply_updates(p, updates), state), None

    (p, _), _ = jax.jit(lambda: jax.lax.scan(step, (w, tx.init(w)), length=2000))()
    np.testing.assert_allclose(np.asarray(p, np.float32), (1 - 1e-4) ** 1000, rtol=2.0**-8)


def test_injected_numbers_keep_float32_beside_bfloat16_weights():
    # optax casts what it injects to the dtype of the parameters, and .999 in bfloat16 is 1.
    start = tree(jnp.bfloat16)
    injected = optax.inject_hyperparams(adamw)(RATE, STRENGTH, mask=masks.weights)
    bare, _ = descend(injected, start, 5)
    assert not np.isfinite(np.asarray(bare["head"], np.float32)).all()
    found, state = descend(with_master_weights(injected), start, 5)
    plain, _ = descend(with_master_weights(adamw(RATE, STRENGTH)), start, 5)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(np.asarray(x, np.float32), np.asarray(y, np.float32), rtol=0.01)
    assert state.optimizer.hyperparams["b2"].dtype == jnp.float32


def test_strengths_map_in_one_trace():
    traces = []

    def final(strength):
        traces.append(1)
        path, _ = descend(with_master_weights(prox_sgd(RATE, L1(strength))), tree(jnp.bfloat16), 5)
        return path["head"][-1]

    lanes = jax.jit(jax.vmap(final))(jnp.array([0.0, 2.0]))
    assert len(traces) == 1
    for strength, lane in zip([0.0, 2.0], lanes, strict=True):
        np.testing.assert_allclose(
            np.asarray(lane, np.float32), np.asarray(final(strength), np.float32), rtol=0.01
        )
    assert np.count_nonzero(lanes[1] == 0) > np.count_nonzero(lanes[0] == 0)


def test_extra_arguments_reach_the_optimizer():
    def update(updates, state, params=None, *, value, **extra):
        return jax.tree.map(lambda g: g * value, updates), state

    scaled = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    tx, w = with_master_weights(scaled), jnp.ones(2, jnp.bfloat16)
    _, state = tx.update(w, tx.init(w), w, value=2.0)
    np.testing.assert_array_equal(state.master, 3)


def test_missing_params_raise():
    tx, w = with_master_weights(optax.sgd(RATE)), jnp.ones(2, jnp.bfloat16)
    with pytest.raises(ValueError, match="params"):
        tx.update(w, tx.init(w))


def test_a_dtype_that_is_no_floating_point_one_raises():
    with pytest.raises(ValueError, match="floating-point"):
        with_master_weights(optax.sgd(0.1), jnp.int32)
