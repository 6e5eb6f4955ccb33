"""Float32 weights beside short ones: what is lost without them and kept with them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from regjax import L1, masks
from regjax.transforms import (
    adamw,
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
    "adamw": adamw(RATE, STRENGTH),
    "muonw": muonw(RATE, STRENGTH, ns_steps=2),
    "prox_adam": prox_adam(RATE, L1(STRENGTH), mask=masks.everything),
    "optax.adam": optax.adam(RATE),
}


def tree(dtype):
    rng = np.random.default_rng(0)
    shapes = {"dense": {"kernel": (20, 10), "bias": (10,)}, "head": (10, 3)}
    return jax.tree.map(
        lambda s: jnp.asarray(rng.normal(size=s), dtype), shapes, is_leaf=lambda s: type(s) is tuple
    )


def gradients(params, n_steps):
    """Gradients of all steps whose entries every dtype holds, so that all runs see the same."""

    def of(x):
        waves = np.sin(1.0 + np.arange(x.size) * np.arange(1.0, n_steps + 1)[:, None])
        return (waves.astype(jnp.bfloat16) / 2).reshape(n_steps, *x.shape).astype(x.dtype)

    return jax.tree.map(of, params)


def walk(tx, start, n_steps=25):
    """Return the parameters and states after every step; traces, so that callers may jit."""

    def step(carry, g):
        w, state = carry
        updates, state = tx.update(g, state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), (w, state)

    return jax.lax.scan(step, (start, tx.init(start)), gradients(start, n_steps))[1]


def descend(tx, start, n_steps=25):
    """The same as one program."""
    return jax.jit(lambda w: walk(tx, w, n_steps))(start)


def cast(params, dtype):
    return jax.tree.map(lambda x: np.asarray(x).astype(dtype), params)


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(np.asarray(x, np.float64), np.asarray(y, np.float64))


# --- small steps ---


def test_a_decay_below_rounding_is_lost_without_and_kept_with_master_weights():
    n_steps, tx = 2000, sgdw(1e-3, 0.1, mask=masks.everything)
    w = {low.__name__: np.ones(3, low) for low in LOW}
    zeros = jax.tree.map(np.zeros_like, w)

    def end(tx):
        def step(carry, _):
            w, state = carry
            updates, state = tx.update(zeros, state, w)
            return (optax.apply_updates(w, updates), state), None

        return jax.lax.scan(step, (w, tx.init(w)), length=n_steps)[0][0]

    lost, kept = jax.jit(lambda: (end(tx), end(with_master_weights(tx))))()
    for low in LOW:
        np.testing.assert_array_equal(np.asarray(lost[low.__name__], np.float32), 1)
        found = kept[low.__name__]
        assert found.dtype == low
        np.testing.assert_allclose(
            np.asarray(found, np.float32),
            (1 - 1e-4) ** n_steps,
            rtol=float(jnp.finfo(low).eps) / 2,
        )


@functools.cache
def short_run(name, low):
    """Return weights and states of so many steps that many weights cross zero."""
    return descend(with_master_weights(OPTIMIZERS[name]), tree(low), 200)


N_EQUAL = 12
SHORT = [(name, jnp.bfloat16) for name in ("sgd_l2", "muonw", "prox_adam")]
SHORT.append(("sgd_l2", jnp.float16))


@pytest.mark.parametrize("case", SHORT, ids=lambda case: case[0])
def test_weights_are_those_of_a_float32_run_rounded_once(case):
    name, low = case
    short, state = short_run(name, low)
    # Where they cross zero, the weight before and the step are much larger than the weight after.
    assert_same(short, cast(state.master, low))
    wide, _ = descend(OPTIMIZERS[name], cast(tree(low), jnp.float32), N_EQUAL)
    # The two programs need not round alike; a master weight once replaced would be far off.
    for x, y in zip(jax.tree.leaves(state.master), jax.tree.leaves(wide), strict=True):
        np.testing.assert_allclose(x[:N_EQUAL], y, rtol=1e-6, atol=1e-7)


def test_updates_and_moments_are_kept_in_the_master_dtype():
    tx, start = with_master_weights(adamw(RATE, STRENGTH)), tree(jnp.bfloat16)
    updates, state = jax.eval_shape(lambda w: tx.update(w, tx.init(w), w), start)
    wide = [*jax.tree.leaves(updates), *jax.tree.leaves(state.master)]
    wide += jax.tree.leaves((state.optimizer.direction.mu, state.optimizer.direction.nu))
    assert {leaf.dtype for leaf in wide} == {jnp.dtype(jnp.float32)}


def test_exact_zeros_survive():
    short, state = short_run("prox_adam", jnp.bfloat16)
    short, master = (
        [np.asarray(leaf, np.float32) for leaf in jax.tree.leaves(params)]
        for params in (short, state.master)
    )
    for found, expected in zip(short, master, strict=True):
        np.testing.assert_array_equal(found == 0, expected == 0)
    zeros = sum(np.sum(leaf[25] == 0) for leaf in short)
    assert 10 < zeros < sum(leaf[25].size for leaf in short)


# --- what others do to the weights ---


def test_weights_changed_from_outside_are_taken_over():
    tx = with_master_weights(sgdw(1e-3, 0.1))
    w = jnp.asarray([1.0, 2.0, -3.0, 0.5], jnp.bfloat16)
    zeros = np.zeros(4, jnp.bfloat16)

    @jax.jit
    def step(w, state):
        updates, state = tx.update(zeros, state, w)
        return optax.apply_updates(w, updates), state

    state = jax.jit(tx.init)(w)
    for _ in range(3):
        w, state = step(w, state)
    kept = np.asarray(state.master)
    # The second is pruned and the third loaded anew.
    changed = np.array(w)
    changed[1:3] = 0.0, 7.0
    after, state = step(changed, state)
    expected = np.array([kept[0], 0.0, 7.0, kept[3]], np.float32) * np.float32(1 - 1e-4)
    np.testing.assert_allclose(state.master, expected, rtol=1e-7)
    assert_same(after, cast(state.master, jnp.bfloat16))
    assert np.asarray(after)[1] == 0


def test_weights_left_where_they_were_lose_nothing_of_the_master():
    # An update that is not applied is none: the model's weights decide.
    tx = with_master_weights(optax.sgd(1.0))

    def twice(w):
        _, moved = tx.update(jnp.full_like(w, 0.5), tx.init(w), w)
        return tx.update(jnp.full_like(w, 0.25), moved, w)[1].master

    np.testing.assert_array_equal(jax.jit(twice)(np.ones(1, jnp.bfloat16)), 0.75)


# --- leaves that are wide enough, and leaves that are no weights ---


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("adamw", np.float32), ("optax.adam", np.float64)],
    ids=["adamw", "optax.adam"],
    indirect=["dtype"],
)
def test_leaves_as_wide_as_the_master_are_left_to_the_optimizer(name, dtype):
    tx = OPTIMIZERS[name]
    plain, inner = descend(tx, tree(dtype))
    found, state = descend(with_master_weights(tx), tree(dtype))
    assert jax.tree.leaves(state.master) == []
    assert_same(found, plain)
    assert_same(state.optimizer, inner)


def test_short_and_wide_leaves_stand_side_by_side(x64):
    tx = sgdw(1e-3, 0.1, mask=masks.everything)
    start = {"a": np.ones(2, jnp.bfloat16), "b": np.ones(2), "c": np.ones(2, np.float32)}
    found, state = descend(with_master_weights(tx), start)
    assert state.master["b"] is None
    assert state.master["c"] is None
    assert state.master["a"].dtype == jnp.float32
    wide, _ = descend(tx, {**start, "a": np.ones(2, np.float32)})
    assert_same(found["a"], np.asarray(wide["a"]).astype(jnp.bfloat16))
    for key in "bc":
        assert_same(found[key], wide[key])


def test_the_master_may_be_float64(x64):
    tx = adamw(RATE, STRENGTH)
    wide, _ = descend(tx, cast(tree(jnp.float32), jnp.float64))
    short, state = descend(with_master_weights(tx, jnp.float64), tree(jnp.float32))
    assert_same(short, cast(state.master, jnp.float32))
    for x, y in zip(jax.tree.leaves(state.master), jax.tree.leaves(wide), strict=True):
        assert x.dtype == jnp.float64
        np.testing.assert_allclose(x, y, rtol=1e-13, atol=1e-14)


def test_integers_and_missing_leaves_pass_through():
    w = {"kernel": np.ones((2, 2), jnp.bfloat16), "steps": np.arange(3, dtype=np.int32)}
    w["none"] = None
    tx = with_master_weights(sgdw(0.5, 0.5))
    assert jax.eval_shape(tx.init, w).master["steps"] is None
    g = {**w, "steps": np.zeros(3, np.int32)}
    after = jax.jit(lambda g, w: optax.apply_updates(w, tx.update(g, tx.init(w), w)[0]))(g, w)
    np.testing.assert_array_equal(after["steps"], [0, 1, 2])
    assert after["steps"].dtype == jnp.int32
    assert after["none"] is None
    # 1 - .5 * 1 - .5 * .5 * 1, exact in binary.
    np.testing.assert_array_equal(np.asarray(after["kernel"], np.float32), 0.25)


# --- inside and around other transformations ---


def test_around_multi_steps_gradients_are_summed_in_float32():
    """Inside `MultiSteps` it works too, on a mean gradient rounded to the weights' dtype."""
    w = np.ones(4, jnp.bfloat16)
    # Their mean is 1 + 2^-9, which bfloat16 rounds to 1.
    first, second = np.ones(4, jnp.bfloat16), np.full(4, 1 + 2.0**-7, jnp.bfloat16)
    inner = optax.sgd(2.0**-7)
    for tx, mean in (
        (with_master_weights(optax.MultiSteps(inner, 2)), 1 + 2.0**-8),
        (optax.MultiSteps(with_master_weights(inner), 2), None),
    ):

        @jax.jit
        def step(g, w, state, tx=tx):
            updates, state = tx.update(g, state, w)
            return optax.apply_updates(w, updates), state

        p, state = step(first, w, jax.jit(tx.init)(w))
        assert_same(p, w)
        p, state = step(second, p, state)
        assert p.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(p, np.float32), 1 - 2.0**-7, rtol=2.0**-9)
        if mean is not None:
            np.testing.assert_allclose(state.master, 1 - 2.0**-7 * mean, rtol=1e-7)


def test_small_decays_are_kept_with_multi_steps_in_either_order():
    w, tx = np.ones(2, jnp.bfloat16), sgdw(1e-3, 0.1)

    def end(tx):
        def step(carry, _):
            p, state = carry
            updates, state = tx.update(np.zeros_like(w), state, p)
            return (optax.apply_updates(p, updates), state), None

        return jax.lax.scan(step, (jnp.asarray(w), tx.init(w)), length=2000)[0][0]

    around = with_master_weights(optax.MultiSteps(tx, 2))
    inside = optax.MultiSteps(with_master_weights(tx), 2)
    for p in jax.jit(lambda: (end(around), end(inside)))():
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
        path, _ = walk(with_master_weights(prox_sgd(RATE, L1(strength))), tree(jnp.bfloat16), 5)
        return path["head"][-1]

    lanes = np.asarray(jax.jit(jax.vmap(final))(np.array([0.0, 2.0])), np.float32)
    assert len(traces) == 1
    single = jax.jit(final)
    for strength, lane in zip([0.0, 2.0], lanes, strict=True):
        np.testing.assert_allclose(lane, np.asarray(single(strength), np.float32), rtol=0.01)
    assert np.count_nonzero(lanes[1] == 0) > np.count_nonzero(lanes[0] == 0)


def test_extra_arguments_reach_the_optimizer():
    def update(updates, state, params=None, *, value, **extra):
        return jax.tree.map(lambda g: g * value, updates), state

    scaled = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    tx, w = with_master_weights(scaled), np.ones(2, jnp.bfloat16)
    _, state = jax.jit(lambda w: tx.update(w, tx.init(w), w, value=2.0))(w)
    np.testing.assert_array_equal(state.master, 3)


def test_missing_params_raise():
    tx, w = with_master_weights(optax.sgd(RATE)), np.ones(2, jnp.bfloat16)
    with pytest.raises(ValueError, match="params"):
        tx.update(w, tx.init(w))


def test_a_dtype_that_is_no_floating_point_one_raises():
    with pytest.raises(ValueError, match="floating-point"):
        with_master_weights(optax.sgd(0.1), jnp.int32)
