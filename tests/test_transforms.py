"""What holds of every link: coupled, decoupled, proximal, with any strength, mask and dtype."""

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
    assert_trees_close,
    cast,
    descend,
    first_update,
    largest_gap,
    numpy_descend,
    slopes,
    soft,
)
from quick import one_dtype, quick

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

    found = descend(make(rate, strength, masks.weights), jnp.asarray(ARRAY), 20)
    expected = numpy_descend(lambda k, w, g: numpy_step(rate(k), strength(k), w, g), ARRAY, 20)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@one_dtype
def test_number_traced_scalar_and_schedule_of_one_strength_agree(make, dtype):
    params = cast(ARRAY, dtype)

    def last(strength):
        return descend(make(0.1, strength, masks.weights), params, 10)[-1]

    number = jax.jit(lambda: last(0.3))()
    tolerance = 20 * np.finfo(dtype).eps
    for other in (jax.jit(last)(0.3), jax.jit(lambda: last(lambda count: 0.3))()):
        np.testing.assert_allclose(other, number, rtol=tolerance, atol=tolerance)
        assert other.dtype == dtype


def test_vmap_over_strengths_equals_the_loop_with_one_trace(make):
    params = cast(TREE, jnp.float32)
    traces = []

    def last(strength):
        traces.append(strength)
        path = descend(make(0.1, strength, masks.weights), params, 10)
        return jax.tree.map(lambda leaf: leaf[-1], path)

    grid = [0.0, 0.01, 0.1, 0.5]
    single = jax.jit(last)
    loop = [single(strength) for strength in grid]
    assert len(traces) == 1
    lanes = jax.jit(jax.vmap(last))(jnp.array(grid))
    assert len(traces) == 2
    for i, one in enumerate(loop):
        lane = jax.tree.map(lambda leaf, i=i: leaf[i], lanes)
        assert_trees_close(lane, one, rtol=1e-5, atol=1e-6)
    assert largest_gap(loop[0], loop[-1]) > 1e-2


@pytest.mark.parametrize(
    ("mask", "penalized"),
    [
        (masks.weights, {"dense/kernel"}),
        (masks.everything, {"dense/kernel", "dense/bias", "norm/scale"}),
        (masks.by_path("*/bias"), {"dense/bias"}),
        ({"dense": {"kernel": False, "bias": True}, "norm": True}, {"dense/bias", "norm/scale"}),
    ],
    ids=["weights", "everything", "by_path", "tree"],
)
def test_leaves_outside_the_mask_are_left_alone_and_only_they(make, mask, penalized):
    update = first_update(make(0.1, 0.5, mask), cast(TREE, jnp.float32))
    for leaf in masks.tree_leaves(update):
        assert np.all(leaf.value != 0) == (leaf.path in penalized)
        assert np.any(leaf.value != 0) == (leaf.path in penalized)


def test_default_mask_is_weights():
    params = cast(TREE, jnp.float32)
    defaults = [
        optax.chain(coupled_l2(0.5), optax.sgd(0.1)),
        optax.chain(coupled_l1(0.5), optax.sgd(0.1)),
        decoupled_weight_decay(optax.identity(), 0.1, 0.5),
        proximal(optax.identity(), 0.1, L1(0.5)),
    ]
    for optimizer, (make, _) in zip(defaults, PLAIN.values(), strict=True):
        explicit = first_update(make(0.1, 0.5, masks.weights), params)
        assert largest_gap(first_update(optimizer, params), explicit) == 0


@pytest.mark.parametrize("low", quick([jnp.bfloat16, jnp.float32], jnp.bfloat16))
def test_dtypes_are_kept_under_scan_and_cond(make, low):
    params = cast(TREE, low)
    optimizer = make(optax.linear_schedule(0.1, 0.01, 5), 0.5, masks.weights)

    # scan and cond raise themselves when a state changes shape or dtype.
    @jax.jit
    def step(params, state, skip):
        def go():
            updates, new = optimizer.update(slopes(params), state, params)
            return updates, new

        def stay():
            return jax.tree.map(jnp.zeros_like, params), state

        return jax.lax.cond(skip, stay, go)

    state = optimizer.init(params)
    still, same = step(params, state, True)
    updates, new = step(params, state, False)
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(low)}
    assert largest_gap(still, jax.tree.map(jnp.zeros_like, params)) == 0
    before, after = jax.tree.leaves(state), jax.tree.leaves(new)
    assert [(x.shape, x.dtype) for x in before] == [(x.shape, x.dtype) for x in after]
    assert all(np.array_equal(x, y) for x, y in zip(before, jax.tree.leaves(same), strict=True))
    path = descend(optimizer, params, 5)
    assert {leaf.dtype for leaf in jax.tree.leaves(path)} == {jnp.dtype(low)}
    assert all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in jax.tree.leaves(path))


def test_coupled_gradients_keep_their_own_dtype_beside_params_of_another():
    for gradient, param in ((jnp.bfloat16, jnp.float32), (jnp.float32, jnp.bfloat16)):
        w, g = jnp.ones(3, param), jnp.ones(3, gradient)
        for link in (coupled_l2(0.5), coupled_l1(0.5)):
            update = first_update(link, w, g)
            assert update.dtype == gradient
            np.testing.assert_array_equal(np.asarray(update, np.float32), 1.5)


def test_missing_params_raise(make):
    optimizer = make(0.1, 0.5, masks.weights)
    params = cast(ARRAY, jnp.float32)
    with pytest.raises(ValueError, match="params"):
        optimizer.update(params, optimizer.init(params))


@pytest.mark.parametrize(
    ("strength", "error"),
    [(-0.1, ValueError), (np.nan, ValueError), (np.inf, ValueError), ("a", TypeError)],
)
def test_strengths_that_are_no_strengths_raise(make, strength, error):
    with pytest.raises(error, match="lambda_"):
        first_update(make(0.1, strength, masks.weights), jnp.ones(3))


@pytest.mark.parametrize("rate", [-0.1, np.nan])
@pytest.mark.parametrize("name", ["decoupled", "proximal"])
def test_learning_rates_that_are_none_raise(name, rate):
    with pytest.raises(ValueError, match="learning_rate"):
        MAKERS[name](rate, 0.1, masks.weights)


def test_an_array_of_strengths_raises_and_does_not_broadcast(make):
    # As many strengths as the trailing axis is long: broadcasting would go unnoticed.
    strengths = jnp.array([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="lambda_"):
        first_update(make(0.1, strengths, masks.weights), jnp.ones(3))


def test_equinox_modules_are_regularized_in_their_weights_alone(make):
    model = eqx.nn.MLP(2, 3, 4, 1, key=jax.random.key(0))
    params = eqx.filter(model, eqx.is_inexact_array)
    optimizer = make(0.1, 0.5, masks.weights)
    stepped = eqx.apply_updates(model, first_update(optimizer, params))
    for before, after in zip(model.layers, stepped.layers, strict=True):
        assert jnp.sum(jnp.abs(after.weight)) < jnp.sum(jnp.abs(before.weight)) - 1e-2
        np.testing.assert_array_equal(after.bias, before.bias)


def test_nnx_states_are_regularized_in_their_weights_alone(make):
    layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.ones(3)
    params = nnx.state(layer, nnx.Param)
    optimizer = make(0.1, 0.5, masks.weights)
    after = nnx.to_pure_dict(optax.apply_updates(params, first_update(optimizer, params)))
    before = nnx.to_pure_dict(params)
    assert jnp.sum(jnp.abs(after["kernel"])) < jnp.sum(jnp.abs(before["kernel"])) - 1e-2
    np.testing.assert_array_equal(after["bias"], np.ones(3))


def test_extra_arguments_reach_the_direction():
    def update(updates, state, params=None, *, value, **extra):
        return jax.tree.map(lambda g: g * value, updates), state

    direction = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    w = jnp.ones(3)
    for optimizer in (
        decoupled_weight_decay(direction, 0.1, 0.0),
        proximal(direction, 0.1, L1(0.0)),
    ):
        updates, _ = optimizer.update(w, optimizer.init(w), w, value=3.0)
        np.testing.assert_allclose(updates, -0.3 * w, rtol=1e-6)
