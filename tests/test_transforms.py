"""What holds of every link: coupled, decoupled, proximal, with any strength, mask and dtype."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from optimizer_problems import (
    ARRAY,
    TREE,
    cast,
    descend,
    first_update,
    largest_gap,
    numpy_descend,
    slopes,
    soft,
    walk,
)

from regjax import L1, masks
from regjax.transforms import (
    adam_direction,
    coupled_l1,
    coupled_l2,
    decoupled_weight_decay,
    proximal,
)


def l1_at(strength):
    return (lambda k: L1(strength(k))) if callable(strength) else L1(strength)


# Name: (transformation, the step it takes on a gradient g, in NumPy).
PLAIN = {
    "coupled_l2": (
        lambda r, s, m: optax.chain(coupled_l2(s, m), optax.sgd(r)),
        lambda r, s, w, g: w - r * (g + s * w),
    ),
    "coupled_l1": (
        lambda r, s, m: optax.chain(coupled_l1(s, m), optax.sgd(r)),
        lambda r, s, w, g: w - r * (g + s * np.sign(w)),
    ),
    "decoupled": (
        lambda r, s, m: decoupled_weight_decay(optax.identity(), r, s, mask=m),
        lambda r, s, w, g: w - r * g - r * s * w,
    ),
    "proximal": (
        lambda r, s, m: proximal(optax.identity(), r, l1_at(s), mask=m),
        lambda r, s, w, g: soft(w - r * g, r * s),
    ),
}
MAKERS = {
    **{name: make for name, (make, _) in PLAIN.items()},
    "coupled_l2_adam": lambda r, s, m: optax.chain(coupled_l2(s, m), optax.adam(r)),
    "adamw": lambda r, s, m: decoupled_weight_decay(optax.scale_by_adam(), r, s, mask=m),
    "adaptive": lambda r, s, m: proximal(adam_direction(), r, l1_at(s), metric="adaptive", mask=m),
}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


@pytest.mark.parametrize("name", PLAIN)
def test_steps_with_scheduled_rate_and_strength_equal_numpy(name, x64):
    make, numpy_step = PLAIN[name]

    def rate(k):
        return 0.2 / (1 + k)

    def strength(k):
        return 0.7 * 0.9**k

    found = descend(make(rate, strength, masks.weights), ARRAY, 20)
    expected = numpy_descend(lambda k, w, g: numpy_step(rate(k), strength(k), w, g), ARRAY, 20)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, (np.float32, np.float64)[i % 2]) for i, name in enumerate(MAKERS)],
    ids=MAKERS,
    indirect=["dtype"],
)
def test_number_traced_scalar_and_schedule_of_one_strength_agree(name, dtype):
    params = cast(ARRAY, dtype)

    def last(strength):
        return walk(MAKERS[name](0.1, strength, masks.weights), params, 10, slopes)[-1]

    number, *others = jax.jit(lambda s: [last(0.3), last(s), last(lambda count: 0.3)])(0.3)
    tolerance = 20 * np.finfo(dtype).eps
    for other in others:
        np.testing.assert_allclose(other, number, rtol=tolerance, atol=tolerance)
        assert other.dtype == dtype


def test_vmap_over_strengths_equals_the_loop_with_one_trace(make):
    params = cast(ARRAY, np.float32)
    traces = []

    def last(strength):
        traces.append(strength)
        return walk(make(0.1, strength, masks.weights), params, 10, slopes)[-1]

    grid = np.array([0.0, 0.01, 0.1, 0.5])
    single = jax.jit(last)
    loop = [single(strength) for strength in grid]
    assert len(traces) == 1
    lanes = jax.jit(jax.vmap(last))(grid)
    assert len(traces) == 2
    np.testing.assert_allclose(lanes, loop, rtol=1e-5, atol=1e-6)
    assert largest_gap(loop[0], loop[-1]) > 1e-2


# Masks, and the leaves that they select.
SELECTED = [
    (masks.weights, {"dense/kernel"}),
    (masks.everything, {"dense/kernel", "dense/bias", "norm/scale"}),
    (masks.by_path("*/bias"), {"dense/bias"}),
    ({"dense": {"kernel": False, "bias": True}, "norm": True}, {"dense/bias", "norm/scale"}),
]


def test_leaves_outside_the_mask_are_left_alone_and_only_they(make):
    def updates(w):
        links = [make(0.1, 0.5, mask) for mask, _ in SELECTED]
        zeros = jax.tree.map(jnp.zeros_like, w)
        return [tx.update(zeros, tx.init(w), w)[0] for tx in links]

    found = jax.jit(updates)(cast(TREE, np.float32))
    for update, (_, penalized) in zip(found, SELECTED, strict=True):
        for leaf in masks.tree_leaves(update):
            value = np.asarray(leaf.value)
            assert np.all(value != 0) == (leaf.path in penalized)
            assert np.any(value != 0) == (leaf.path in penalized)


def test_default_mask_is_weights():
    params = cast(TREE, np.float32)
    defaults = [
        optax.chain(coupled_l2(0.5), optax.sgd(0.1)),
        optax.chain(coupled_l1(0.5), optax.sgd(0.1)),
        decoupled_weight_decay(optax.identity(), 0.1, 0.5),
        proximal(optax.identity(), 0.1, L1(0.5)),
    ]
    for optimizer, (make, _) in zip(defaults, PLAIN.values(), strict=True):
        explicit = first_update(make(0.1, 0.5, masks.weights), params)
        assert largest_gap(first_update(optimizer, params), explicit) == 0


def test_dtypes_are_kept_under_scan_and_cond(make):
    params = cast(TREE, jnp.bfloat16)
    optimizer = make(optax.linear_schedule(0.1, 0.01, 5), 0.5, masks.weights)

    # scan and cond raise themselves when a state changes shape or dtype.
    def step(params, state, skip):
        def go():
            updates, new = optimizer.update(slopes(params), state, params)
            return updates, new

        def stay():
            return jax.tree.map(jnp.zeros_like, params), state

        return jax.lax.cond(skip, stay, go)

    @jax.jit
    def all_of_it(params, skip):
        state = optimizer.init(params)
        return state, step(params, state, skip), walk(optimizer, params, 5, slopes)

    state, (still, same), path = all_of_it(params, True)
    _, (updates, new), _ = all_of_it(params, False)
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(jnp.bfloat16)}
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(still))
    before, after = jax.tree.leaves(state), jax.tree.leaves(new)
    assert [(x.shape, x.dtype) for x in before] == [(x.shape, x.dtype) for x in after]
    assert all(np.array_equal(x, y) for x, y in zip(before, jax.tree.leaves(same), strict=True))
    assert {leaf.dtype for leaf in jax.tree.leaves(path)} == {jnp.dtype(jnp.bfloat16)}
    assert all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in jax.tree.leaves(path))


def test_coupled_gradients_keep_their_own_dtype_beside_params_of_another():
    for gradient, param in ((jnp.bfloat16, jnp.float32), (jnp.float32, jnp.bfloat16)):
        w, g = np.ones(3, param), np.ones(3, gradient)
        for link in (coupled_l2(0.5), coupled_l1(0.5)):
            update = first_update(link, w, g)
            assert update.dtype == gradient
            np.testing.assert_array_equal(np.asarray(update, np.float32), 1.5)


def test_missing_params_raise(make):
    optimizer = make(0.1, 0.5, masks.weights)
    params = cast(ARRAY, np.float32)
    with pytest.raises(ValueError, match="params"):
        jax.eval_shape(lambda w: optimizer.update(w, optimizer.init(w)), params)


@pytest.mark.parametrize(
    ("strength", "error"),
    [(-0.1, ValueError), (np.nan, ValueError), (np.inf, ValueError), ("a", TypeError)],
)
def test_strengths_that_are_no_strengths_raise(make, strength, error):
    with pytest.raises(error, match="lambda_"):
        first_update(make(0.1, strength, masks.weights), np.ones(3))


@pytest.mark.parametrize("rate", [-0.1, np.nan])
@pytest.mark.parametrize("name", ["decoupled", "proximal"])
def test_learning_rates_that_are_none_raise(name, rate):
    with pytest.raises(ValueError, match="learning_rate"):
        MAKERS[name](rate, 0.1, masks.weights)


def test_an_array_of_strengths_raises_and_does_not_broadcast(make):
    # As many strengths as the trailing axis is long: broadcasting would go unnoticed.
    strengths = np.array([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="lambda_"):
        first_update(make(0.1, strengths, masks.weights), np.ones(3))


@functools.cache
def equinox_parameters():
    model = eqx.nn.MLP(2, 3, 4, 1, key=jax.random.key(0))
    return eqx.filter(model, eqx.is_inexact_array)


def test_equinox_modules_are_regularized_in_their_weights_alone(make):
    params = equinox_parameters()
    update = first_update(make(0.1, 0.5, masks.weights), params)
    stepped = jax.tree.map(np.add, params, update)
    for before, after in zip(params.layers, stepped.layers, strict=True):
        assert np.abs(after.weight).sum() < np.abs(before.weight).sum() - 1e-2
        np.testing.assert_array_equal(after.bias, before.bias)


@functools.cache
def nnx_parameters():
    layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    layer.bias[...] = np.ones(3, np.float32)
    return nnx.state(layer, nnx.Param)


def test_nnx_states_are_regularized_in_their_weights_alone(make):
    params = nnx_parameters()
    update = first_update(make(0.1, 0.5, masks.weights), params)
    assert jax.tree.structure(update) == jax.tree.structure(params)
    before, change = (jax.tree.map(np.asarray, nnx.to_pure_dict(x)) for x in (params, update))
    after = before["kernel"] + change["kernel"]
    assert np.abs(after).sum() < np.abs(before["kernel"]).sum() - 1e-2
    np.testing.assert_array_equal(change["bias"], 0)


def test_extra_arguments_reach_the_direction():
    def update(updates, state, params=None, *, value, **extra):
        return jax.tree.map(lambda g: g * value, updates), state

    direction = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    w = np.ones(3)
    for optimizer in (
        decoupled_weight_decay(direction, 0.1, 0.0),
        proximal(direction, 0.1, L1(0.0)),
    ):
        update = functools.partial(optimizer.update, value=3.0)
        updates, _ = jax.jit(update)(w, optimizer.init(w), w)
        np.testing.assert_allclose(updates, -0.3 * w, rtol=1e-6)
