"""Every property on every row of problems.PENALTIES, then what is particular to one penalty."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from problems import (
    GROUP_WEIGHTS,
    N_GROUPS,
    PENALTIES,
    WEIGHTS,
    as_dtype,
    as_float64,
    assert_close,
    group_labels,
)

import regjax as rj

STRENGTH = 0.7


def cases(keep=lambda case: True):
    kept = [case for case in PENALTIES if keep(case)]
    return pytest.mark.parametrize("case", kept, ids=[case.name for case in kept])


every = cases()
with_gradient = cases(lambda case: case.has_gradient)
with_strength = cases(lambda case: case.has_strength)
per_leaf = cases(lambda case: case.per_leaf and case.has_strength)
separable = cases(lambda case: case.separable)
diagonal = cases(lambda case: case.diagonal)
pure = cases(lambda case: case.pure is not None)
weights = pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)


GROUPS = rj.GroupLasso(0.4, np.array([0, 0, 1, 1, 0, 1]), 2)


def tolerance(dtype):
    # A handful of rounded operations on numbers of order one to ten.
    return 32 * float(jnp.finfo(dtype).eps)


# --- value and derivatives ---------------------------------------------------------------


@every
@weights
def test_value_equals_the_closed_form(case, weights, dtype):
    w = as_dtype(weights, dtype)
    value = case.bind(STRENGTH, w).value(w)
    assert value.shape == ()
    expected = case.closed_form(as_float64(weights), STRENGTH)
    np.testing.assert_allclose(value, expected, rtol=tolerance(dtype))


@with_gradient
@weights
def test_reverse_and_forward_derivatives_equal_the_hand_gradient(case, weights, dtype):
    w = as_dtype(weights, dtype)
    penalty = case.bind(STRENGTH, w)
    hand = penalty.gradient(w)
    assert_close(jax.grad(penalty.value)(w), hand, tolerance(dtype))
    direction = jax.tree.map(lambda x: 1 + 0.5 * jnp.cos(jnp.arange(x.size)).reshape(x.shape), w)
    _, forward = jax.jvp(penalty.value, (w,), (as_dtype(direction, dtype),))
    expected = sum(
        np.vdot(g, d) for g, d in zip(as_float64(hand), as_float64(direction), strict=True)
    )
    np.testing.assert_allclose(forward, expected, rtol=tolerance(dtype), atol=tolerance(dtype))


@with_gradient
@weights
def test_gradient_is_zero_where_the_weights_are(case, weights):
    w = as_dtype(weights, np.float32)
    for x, g in zip(as_float64(w), as_float64(case.bind(STRENGTH, w).gradient(w)), strict=True):
        np.testing.assert_array_equal(g[x == 0], 0)


@with_gradient
@pytest.mark.parametrize("weights", [WEIGHTS["vector"], WEIGHTS["dict"]], ids=["vector", "dict"])
def test_second_derivative_is_the_difference_of_gradients_and_finite_at_zeros(case, weights, x64):
    w = as_dtype(weights, np.float64)
    penalty = case.bind(STRENGTH, w)
    # Along the non-zeros alone every penalty is smooth.
    along = jax.tree.map(lambda x: jnp.where(x != 0, 0.3 + x, 0), w)
    _, product = jax.jvp(jax.grad(penalty.value), (w,), (along,))
    h = 1e-5
    ahead, behind = (
        penalty.gradient(jax.tree.map(lambda x, d, h=h: x + h * d, w, along)) for h in (h, -h)
    )
    difference = jax.tree.map(lambda a, b: (a - b) / (2 * h), ahead, behind)
    assert_close(product, difference, 1e-8)
    everywhere = jax.tree.map(jnp.ones_like, w)
    _, product = jax.jvp(jax.grad(penalty.value), (w,), (everywhere,))
    chex.assert_tree_all_finite(product)


@with_strength
@weights
def test_derivative_in_the_strength_is_the_value_at_strength_one(case, weights, dtype):
    w = as_dtype(weights, dtype)
    slope = jax.grad(lambda s: case.bind(s, w).value(w))(jnp.asarray(STRENGTH, dtype))
    expected = case.closed_form(as_float64(weights), 1.0)
    np.testing.assert_allclose(slope, expected, rtol=tolerance(dtype))


@pure
@pytest.mark.parametrize("name", ["vector", "dict"])
def test_object_methods_equal_the_pure_functions(case, name):
    w = as_dtype(WEIGHTS[name], np.float32)
    penalty = case.bind(STRENGTH, w)
    chex.assert_trees_all_equal(penalty.value(w), case.pure.value(w, STRENGTH))
    chex.assert_trees_all_equal(penalty.prox(w, 0.5), case.pure.prox(w, STRENGTH, 0.5))
    chex.assert_trees_all_equal(penalty.prox(w), case.pure.prox(w, STRENGTH, 1.0))
    if case.has_gradient:
        chex.assert_trees_all_equal(penalty.gradient(w), case.pure.gradient(w, STRENGTH))
    else:
        with pytest.raises(TypeError, match="proximal steps"):
            penalty.gradient(w)


@with_strength
def test_zero_strength_penalises_nothing(case):
    w = as_dtype(WEIGHTS["dict"], np.float32)
    penalty = case.bind(0.0, w)
    assert penalty.value(w) == 0
    chex.assert_trees_all_equal(penalty.prox(w), w)


# --- proximal operators ------------------------------------------------------------------


@with_gradient
@weights
@pytest.mark.parametrize("step_size", [0.25, 3.0])
def test_prox_satisfies_the_optimality_condition_off_zero(case, weights, step_size, dtype):
    v = as_dtype(jax.tree.map(lambda x: 2 * x + 0.5, weights), dtype)
    penalty = case.bind(STRENGTH, v)
    p = penalty.prox(v, step_size)
    for x, y, g in zip(as_float64(v), as_float64(p), as_float64(penalty.gradient(p)), strict=True):
        residual = np.where(y != 0, (y - x) / step_size + g, 0)
        np.testing.assert_allclose(residual, 0, atol=8 * tolerance(dtype))


@separable
@pytest.mark.parametrize("step_size", [0.25, 1.0, 3.0])
def test_prox_is_the_minimiser_on_a_grid(case, step_size, x64):
    for v in (-2.5, -1.3, -0.4, 0.0, 0.15, 0.9, 2.0):
        p = float(case.bind(STRENGTH, np.zeros(1)).prox(jnp.array([v]), step_size)[0])

        def objective(w, v=v):
            return (w - v) ** 2 / (2 * step_size) + case.closed_form([np.array([w])], STRENGTH)

        grid = np.linspace(-3, 3, 2401)
        heights = np.array([objective(w) for w in grid])
        assert objective(p) <= heights.min() + 1e-14
        # Without convexity two far points may be equally low.
        if case.convex:
            assert abs(p - grid[heights.argmin()]) <= grid[1] - grid[0]


finite = st.floats(-8, 8, width=32)
shaped = st.sampled_from([(1,), (5,), (3, 2)])
vectors = shaped.flatmap(lambda shape: arrays(np.float64, shape, elements=finite))
pairs = shaped.flatmap(lambda shape: st.tuples(*2 * [arrays(np.float64, shape, elements=finite)]))
positive = st.sampled_from([0.1, 0.5, 1.0, 4.0])


@every
@settings(max_examples=25, deadline=None)
@given(pair=pairs, strength=positive, step_size=positive, scale=st.sampled_from([1e-3, 0.1, 1.0]))
def test_no_point_beats_the_prox(case, pair, strength, step_size, scale):
    v, direction = pair
    with jax.enable_x64(True):
        p = np.asarray(case.bind(strength, v).prox(jnp.asarray(v), step_size))

    def objective(w):
        return np.sum((w - v) ** 2) / (2 * step_size) + case.closed_form([w], strength)

    slack = 1e-12 * (1 + abs(objective(p)))
    for other in (p + scale * direction, (1 - scale) * p, v, 0 * v, np.where(p == 0, v, p)):
        assert objective(p) <= objective(other) + slack


@cases(lambda case: case.convex)
@settings(max_examples=25, deadline=None)
@given(pair=pairs, strength=positive, step_size=positive)
def test_prox_brings_points_no_further_apart(case, pair, strength, step_size):
    u, v = pair
    with jax.enable_x64(True):
        penalty = case.bind(strength, u)
        p, q = (np.asarray(penalty.prox(jnp.asarray(x), step_size)) for x in (u, v))
    # Firmly so: |p - q|^2 <= <p - q, u - v>.
    assert np.sum((p - q) ** 2) <= np.sum((p - q) * (u - v)) + 1e-12


@settings(max_examples=25, deadline=None)
@given(v=vectors, strength=positive, step_size=positive)
def test_moreau_l1_prox_and_the_projection_onto_the_dual_box_add_to_the_identity(
    v, strength, step_size
):
    with jax.enable_x64(True):
        p = np.asarray(rj.l1_prox(jnp.asarray(v), strength, step_size))
    projection = np.clip(v / step_size, -strength, strength)
    np.testing.assert_allclose(p + step_size * projection, v, rtol=1e-14, atol=1e-14)


@settings(max_examples=25, deadline=None)
@given(v=vectors, strength=positive, step_size=positive)
def test_moreau_group_prox_and_the_projection_onto_the_dual_balls_add_to_the_identity(
    v, strength, step_size
):
    labels = group_labels(v)
    with jax.enable_x64(True):
        penalty = rj.GroupLasso(strength, labels, N_GROUPS, GROUP_WEIGHTS)
        p = np.asarray(penalty.prox(jnp.asarray(v), step_size))
    dual = v / step_size
    norms = np.sqrt([np.sum(dual[labels == g] ** 2) for g in range(N_GROUPS)])
    radii = strength * GROUP_WEIGHTS
    shrink = np.minimum(1, radii / np.where(norms > 0, norms, 1))
    np.testing.assert_allclose(p + step_size * dual * shrink[labels], v, rtol=1e-12, atol=1e-12)


@separable
def test_an_array_step_size_is_one_scalar_step_per_coordinate(case, dtype):
    v = as_dtype(np.array([1.5, -0.4, 2.0, 0.25, -3.0]), dtype)
    steps = as_dtype(np.array([0.1, 0.5, 1.0, 2.0, 4.0]), dtype)
    penalty = case.bind(STRENGTH, v)
    one_by_one = [penalty.prox(v, float(step))[i] for i, step in enumerate(steps)]
    assert_close(penalty.prox(v, steps), jnp.stack(one_by_one), tolerance(dtype))


@cases(lambda case: not case.diagonal)
def test_an_array_step_size_raises_where_there_is_no_diagonal_metric(case):
    v = jnp.ones(5)
    with pytest.raises(ValueError, match="one scalar step_size"):
        case.bind(STRENGTH, v).prox(v, jnp.ones(5))


@every
def test_an_attribute_tells_whether_a_step_per_coordinate_is_allowed(case):
    assert case.bind(STRENGTH, np.ones(5)).diagonal_prox is case.diagonal


@separable
def test_step_sizes_may_be_a_tree_prefix(case):
    v = as_dtype(WEIGHTS["nested"], np.float32)
    penalty = case.bind(STRENGTH, v)
    by_layer = penalty.prox(v, {"head": 0.5, "layers": [2.0, {"w": 0.1, "b": 1.0}]})
    assert_close(by_layer["head"], penalty.prox(v, 0.5)["head"], 0)
    assert_close(by_layer["layers"][0], penalty.prox(v, 2.0)["layers"][0], 0)
    assert_close(by_layer["layers"][1]["w"], penalty.prox(v, 0.1)["layers"][1]["w"], 0)


@diagonal
@pytest.mark.parametrize(
    ("step_size", "message"),
    [
        (-1.0, "step_size must be at least 0"),
        (np.nan, "step_size must be finite"),
        (np.ones(3), "scalar or have the shape"),
        ({"a": 1.0}, "prefix"),
    ],
)
def test_faulty_step_sizes_raise(case, step_size, message):
    v = jnp.ones(5)
    with pytest.raises(ValueError, match=message):
        case.bind(STRENGTH, v).prox(v, step_size)


@cases(lambda case: case.gives_zeros)
def test_prox_returns_exact_zeros(case, dtype):
    v = as_dtype(np.array([-0.01, -0.02, -0.03, -0.02, -0.01]), dtype)
    p = case.bind(STRENGTH, v).prox(v)
    np.testing.assert_array_equal(np.asarray(p), 0)


def test_l2_prox_returns_no_zeros(dtype):
    v = as_dtype(np.array([-0.01, 0.02]), dtype)
    assert np.all(np.asarray(rj.l2_prox(v, 100.0)) != 0)


# --- a diagonal metric -------------------------------------------------------------------


@cases(lambda case: case.diagonal and case.convex)
@settings(max_examples=25, deadline=None)
@given(data=st.data(), pair=pairs, strength=positive, scale=st.sampled_from([1e-3, 0.1, 1.0]))
def test_no_point_beats_the_prox_in_a_diagonal_metric(case, data, pair, strength, scale):
    v, direction = pair
    steps = data.draw(arrays(np.float64, v.shape, elements=st.sampled_from([1e-3, 0.5, 1.0, 40.0])))
    with jax.enable_x64(True):
        p = np.asarray(case.bind(strength, v).prox(jnp.asarray(v), jnp.asarray(steps)))

    def objective(w):
        return np.sum((w - v) ** 2 / (2 * steps)) + case.closed_form([w], strength)

    slack = 1e-12 * (1 + abs(objective(p)))
    for other in (p + scale * direction, (1 - scale) * p, v, 0 * v, np.where(p == 0, v, p)):
        assert objective(p) <= objective(other) + slack


@diagonal
@pytest.mark.parametrize("step", [0.0, 0.3, 2.0])
def test_equal_steps_are_one_step(case, step, dtype):
    v = as_dtype(WEIGHTS["nested"], dtype)
    penalty = case.bind(STRENGTH, v)
    steps = jax.tree.map(lambda x: jnp.full_like(x, step), v)
    assert_close(penalty.prox(v, steps), penalty.prox(v, step), tolerance(dtype))


@pytest.mark.parametrize("penalty", [GROUPS, rj.MaxNorm(0.5, axis=None)], ids=["group", "norm"])
def test_the_diagonal_prox_has_the_derivative_of_its_root(penalty, x64):
    v = jnp.array([1.5, -0.3, 0.8, 0.02, -1.0, 0.01])
    steps = jnp.array([0.5, 2.0, 0.1, 1.0, 0.03, 0.7])
    jax.test_util.check_grads(penalty.prox, (v, steps), order=1, modes=["fwd", "rev"])
    zero = jnp.zeros_like(v)
    assert np.all(np.isfinite(jax.jacobian(penalty.prox)(zero, steps)))


@pytest.mark.parametrize("penalty", [GROUPS, rj.MaxNorm(0.5, axis=None)], ids=["group", "norm"])
@pytest.mark.parametrize("exponent", [-30, 30])
def test_the_diagonal_prox_neither_overflows_nor_vanishes(penalty, exponent, dtype):
    v = as_dtype(np.array([1.5, -0.3, 0.8, 0.02, -1.0, 0.01]), dtype)
    steps = as_dtype(np.array([0.5, 2.0, 0.1, 1.0, 0.03, 0.7]), dtype)
    scale = 10.0**exponent
    scaled = jax.tree.map(lambda x: x if isinstance(x, np.ndarray) else x * scale, penalty)
    assert_close(scaled.prox(v * scale, steps) / scale, penalty.prox(v, steps), tolerance(dtype))


def test_a_box_holds_its_own_projection_in_short_dtypes():
    box = rj.Box(jnp.float32(-0.1), jnp.float32(0.3))
    v = jnp.array([-1.0, 0.2, 1.0], jnp.bfloat16)
    assert box.value(box.prox(v)) == 0
    assert box.value(jnp.array([0.35], jnp.bfloat16)) == np.inf


@every
def test_nan_does_not_vanish_in_a_prox(case):
    v = jnp.array([jnp.nan, 0.1, 0.1, 0.1, 0.1])
    penalty = case.bind(STRENGTH, v)
    assert np.isnan(penalty.prox(v)[0])
    if case.diagonal:
        assert np.isnan(penalty.prox(v, jnp.ones(5))[0])


def test_penalties_of_one_shape_have_different_structures():
    # A jitted function must never take one for another.
    a = [rj.L1(0.2), rj.L2(0.2), rj.L0(0.2)]
    assert len({jax.tree.structure(penalty) for penalty in a}) == 3
    b = [rj.Box(-1.0, 1.0), rj.ElasticNet(-1.0, 1.0), rj.L1(1.0) + rj.L1(1.0)]
    assert all(
        (jax.tree.structure(x) == jax.tree.structure(y)) is (x is y) for x in a + b for y in a + b
    )


# --- the strength at which everything is zero --------------------------------------------


@with_strength
@pytest.mark.parametrize("name", ["vector", "matrix", "dict"])
def test_zero_is_optimal_at_lambda_max_and_not_just_below(case, name, x64):
    gradient = as_dtype(WEIGHTS[name], np.float64)
    largest = float(case.bind(STRENGTH, gradient).lambda_max(gradient))
    step = jax.tree.map(jnp.negative, gradient)

    def anything_moves(strength):
        after = as_float64(case.bind(strength, gradient).prox(step))
        # A leaf that a mask leaves out moves whatever the strength.
        penalised = [p for p, s in zip(after, as_float64(step), strict=True) if np.any(p != s)]
        assert penalised
        return any(np.any(p != 0) for p in penalised)

    if np.isinf(largest):
        assert anything_moves(1e6)
    else:
        assert not anything_moves(largest * (1 + 1e-14))
        assert anything_moves(0.99 * largest)


PAIR, SPLIT = np.array([0, 0]), np.array([0, 1])


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (rj.L1(7.0), 4.0),
        (rj.ElasticNet(7.0, 0.25), 16.0),
        (rj.ElasticNet(7.0, {"a": 0.5, "b": 1.0}), 6.0),
        (rj.ElasticNet(7.0, 0.0), np.inf),
        (rj.L2(7.0), np.inf),
        (rj.L0(7.0), 8.0),
        (rj.GroupLasso(7.0, {"a": PAIR, "b": 1}, 2), 4.0),
        (rj.GroupLasso(7.0, {"a": PAIR, "b": 0}, 1, np.ones(1)), 5.0),
        (rj.GroupLasso(7.0, {"a": SPLIT, "b": 1}, 2, np.array([1.0, 2.5])), 3.0),
        (rj.GroupLasso(7.0, {"a": SPLIT, "b": 1}, 2, np.array([0.0, 1.0])), np.inf),
        (rj.mask_penalty(rj.L1(7.0), {"a": True, "b": False}), 3.0),
    ],
    ids=lambda x: type(x).__name__,
)
def test_lambda_max_equals_the_value_by_hand(penalty, expected):
    gradient = {"a": jnp.array([-3.0, 0.0]), "b": jnp.array([4.0])}
    np.testing.assert_allclose(penalty.lambda_max(gradient), expected, rtol=1e-6)


@with_strength
def test_lambda_max_of_a_zero_gradient_is_zero(case):
    gradient = as_dtype({"a": np.zeros(5), "b": np.zeros((3, 2))}, np.float32)
    assert case.bind(STRENGTH, gradient).lambda_max(gradient) == 0


@with_strength
def test_lambda_max_passes_over_empty_leaves(case):
    gradient = {"a": jnp.array([0.5]), "b": jnp.array([3.0, 4.0]), "empty": jnp.zeros(0)}
    without = {"a": jnp.array([0.5]), "b": jnp.array([3.0, 4.0])}
    assert case.bind(1.0, gradient).lambda_max(gradient) == case.bind(1.0, without).lambda_max(
        without
    )


def test_a_constraint_has_no_lambda_max():
    with pytest.raises(TypeError, match="no strength"):
        rj.NonNegative().lambda_max(jnp.ones(3))


# --- transformations ---------------------------------------------------------------------


def everything_of(case, strength, w):
    penalty = case.bind(strength, w)
    gradient = penalty.gradient(w) if case.has_gradient else None
    return penalty.value(w), gradient, penalty.prox(w, 0.5)


@with_strength
def test_vmap_over_strengths_equals_the_loop(case, dtype):
    w = as_dtype(WEIGHTS["dict"], dtype)
    strengths = jnp.asarray([0.0, 0.1, 1.0, 10.0], dtype)
    lanes = jax.vmap(lambda s: everything_of(case, s, w))(strengths)
    loop = [everything_of(case, s, w) for s in strengths]
    assert_close(lanes, jax.tree.map(lambda *x: jnp.stack(x), *loop), tolerance(dtype))


@with_strength
def test_one_program_serves_all_strengths(case):
    w = as_dtype(WEIGHTS["vector"], np.float32)

    traces = []

    @jax.jit
    def program(penalty, w):
        traces.append(penalty)
        return penalty.value(w), penalty.prox(w)

    values = [program(case.bind(s, w), w)[0] for s in (0.1, 0.2, 0.4)]
    assert len(traces) == 1
    np.testing.assert_allclose(values[1], 2 * values[0], rtol=1e-6)
    np.testing.assert_allclose(values[2], 4 * values[0], rtol=1e-6)


# --- trees and dtypes --------------------------------------------------------------------


@per_leaf
def test_strengths_by_subtree_penalise_each_leaf_with_its_own(case, x64):
    w = as_dtype(WEIGHTS["nested"], np.float64)
    by_subtree = {"head": 0.3, "layers": [{"w": 2.0, "b": 0.5}, 0.0]}
    whole = case.bind(by_subtree, w)
    total = 0.0
    for i, strength in enumerate(jax.tree.leaves(jax.tree.broadcast(by_subtree, w))):
        alone = case.bind(strength, w)
        assert_close(leaf(whole.prox(w), i), leaf(alone.prox(w), i), 1e-15)
        if case.has_gradient:
            assert_close(leaf(whole.gradient(w), i), leaf(alone.gradient(w), i), 1e-15)
        leaves, structure = jax.tree.flatten(w)
        only = [x if i == j else jnp.zeros_like(x) for j, x in enumerate(leaves)]
        total += alone.value(structure.unflatten(only))
    assert total > 0
    np.testing.assert_allclose(whole.value(w), total, rtol=1e-14)


def leaf(tree, i):
    return jax.tree.leaves(tree)[i]


def test_elastic_net_takes_a_mixing_weight_by_subtree():
    w = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([3.0])}
    value = rj.elastic_net_penalty(w, 2.0, {"a": 1.0, "b": 0.0})
    np.testing.assert_allclose(value, 2 * 3 + 2 * 9 / 2)
    value = rj.elastic_net_penalty(w, {"a": 2.0, "b": 4.0}, {"a": 1.0, "b": 0.0})
    np.testing.assert_allclose(value, 2 * 3 + 4 * 9 / 2)


STRENGTH_TYPES = [float, np.float32, np.float64, lambda x: jnp.asarray(x, jnp.float32)]


@every
@pytest.mark.parametrize("kind", STRENGTH_TYPES, ids=["python", "float32", "float64", "jax"])
@pytest.mark.parametrize("leaf_dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64])
def test_dtype_is_that_of_the_weights(case, kind, leaf_dtype, x64):
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, leaf_dtype), WEIGHTS["dict"])
    # The strength is closed over, so that its own type is what is tested.
    out = jax.eval_shape(lambda w: everything_of(case, kind(STRENGTH), w), shapes)
    assert {leaf.dtype for leaf in jax.tree.leaves(out)} == {jnp.dtype(leaf_dtype)}


@every
def test_leaves_keep_their_own_dtypes_in_a_mixed_tree(case):
    w = {
        "a": jax.ShapeDtypeStruct((5,), jnp.bfloat16),
        "b": jax.ShapeDtypeStruct((3, 2), jnp.float32),
    }
    penalty = case.bind(STRENGTH, w)
    assert jax.eval_shape(penalty.prox, w) == w
    if case.has_gradient:
        assert jax.eval_shape(penalty.gradient, w) == w


@every
def test_integers_become_the_default_float(case):
    w = {"a": np.array([1, -2, 0, 3, 1]), "b": jnp.array([[1, 0], [2, -1], [4, 4]])}
    floats = as_dtype(w, np.float32)
    penalty = case.bind(STRENGTH, floats)
    assert penalty.value(w).dtype == np.float32
    np.testing.assert_allclose(penalty.value(w), penalty.value(floats))


# --- faults ------------------------------------------------------------------------------


@with_strength
@pytest.mark.parametrize(
    ("strength", "error", "message"),
    [
        (-1.0, ValueError, "at least 0"),
        (-1, ValueError, "at least 0"),
        (np.array(-1.0), ValueError, "at least 0"),
        (np.nan, ValueError, "finite"),
        (np.inf, ValueError, "finite"),
        (np.float32(np.nan), ValueError, "finite"),
        (True, TypeError, "number"),
        (np.bool_(True), TypeError, "number"),
        ("0.1", TypeError, "number"),
        (1j, TypeError, "number"),
        (jnp.array([0.1, 0.2, 0.3]), ValueError, "vmap"),
        (np.array([0.1, 0.2, 0.3]), ValueError, "vmap"),
    ],
    ids=repr,
)
def test_faulty_strengths_raise(case, strength, error, message):
    w = jnp.ones(5)
    penalty = case.bind(strength, w)
    methods = [penalty.value, penalty.prox] + case.has_gradient * [penalty.gradient]
    for method in methods:
        with pytest.raises(error, match=message):
            method(w)


@per_leaf
def test_strengths_of_another_structure_raise(case):
    w = {"a": jnp.ones(5), "b": jnp.ones(5)}
    for strength in ({"a": 0.1}, {"a": 0.1, "c": 0.1}, [0.1, 0.1], None):
        with pytest.raises(ValueError, match="prefix"):
            case.bind(strength, w).value(w)


@every
def test_weights_that_are_no_real_arrays_raise(case):
    w = {"a": jnp.ones(5), "b": jnp.ones(5)}
    penalty = case.bind(STRENGTH, w)
    methods = [penalty.value, penalty.prox] + case.has_gradient * [penalty.gradient]
    for method in methods:
        with pytest.raises(TypeError, match="Complex"):
            method({**w, "b": jnp.ones(5, jnp.complex64)})
        for leaf in (jnp.tanh, "relu", object()):
            with pytest.raises(TypeError, match="no array"):
                method({**w, "b": leaf})


@pytest.mark.parametrize("l1_ratio", [-0.1, 1.1, np.nan, np.array(2.0)], ids=repr)
def test_l1_ratio_outside_zero_to_one_raises(l1_ratio):
    w = jnp.ones(5)
    penalty = rj.ElasticNet(STRENGTH, l1_ratio)
    for method in (penalty.value, penalty.gradient, penalty.prox, penalty.lambda_max):
        with pytest.raises(ValueError, match="l1_ratio must be"):
            method(w)


def test_l1_ratio_that_is_no_number_raises():
    for l1_ratio in (True, "0.5"):
        with pytest.raises(TypeError, match="l1_ratio must be a number"):
            rj.elastic_net_penalty(jnp.ones(2), STRENGTH, l1_ratio)


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
    for ratio, other in [(1.0, rj.L1(STRENGTH)), (0.0, rj.L2(STRENGTH))]:
        mixed = rj.ElasticNet(STRENGTH, ratio)
        chex.assert_trees_all_equal(mixed.value(w), other.value(w))
        chex.assert_trees_all_equal(mixed.gradient(w), other.gradient(w))
        chex.assert_trees_all_equal(mixed.prox(w, 0.5), other.prox(w, 0.5))


def test_elastic_net_strengths_split_the_strength():
    assert rj.penalties.elastic_net_strengths(2.0, 0.25) == (0.5, 1.5)


# --- where float32 overflows -------------------------------------------------------------


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
    value = case.bind(strength, w).value(jnp.asarray(w, jnp.float16))
    np.testing.assert_allclose(value, case.closed_form([w], strength), rtol=2e-3)


@every
def test_a_tree_without_leaves_has_no_penalty(case):
    penalty = case.bind(STRENGTH, {})
    assert penalty.value({}) == 0
    assert penalty.prox({}) == {}
    if case.has_strength:
        assert penalty.lambda_max({}) == 0


# --- group lasso -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-25, 1.0, 1e25])
def test_group_norms_neither_vanish_nor_overflow(size):
    w = size * jnp.array([3.0, 4.0, 0.0, 0.0], jnp.float32)
    penalty = rj.GroupLasso(2.0, np.array([0, 0, 1, 1]), 2, np.ones(2))
    np.testing.assert_allclose(penalty.value(w), 10 * size, rtol=1e-6)
    for gradient in (penalty.gradient(w), jax.grad(penalty.value)(w)):
        np.testing.assert_allclose(gradient, [1.2, 1.6, 0.0, 0.0], rtol=1e-6)
    p = rj.group_lasso_prox(w, size, np.array([0, 0, 1, 1]), 2, np.ones(2))
    np.testing.assert_allclose(p / np.float32(size), [2.4, 3.2, 0.0, 0.0], rtol=1e-6)


@pytest.mark.parametrize("leaf_dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_norms_of_large_groups_are_right_in_short_floats(leaf_dtype):
    # A running sum of ones stops growing at 256 in bfloat16 and at 2048 in float16.
    w = jnp.ones(4096, leaf_dtype)
    penalty = rj.GroupLasso(32.0, np.zeros(4096, int), 1, np.ones(1))
    assert penalty.value(w) == 32 * 64
    np.testing.assert_array_equal(penalty.gradient(w), 0.5)
    np.testing.assert_array_equal(penalty.prox(w), 0.5)


@pytest.mark.parametrize(("first", "second"), [("float32", "float16"), ("float16", "float32")])
def test_group_norms_span_leaves_of_different_dtypes(first, second):
    size = {"float32": 1e6, "float16": 1.0}
    w = {"a": jnp.array([size[first]], first), "b": jnp.array([size[second]], second)}
    np.testing.assert_allclose(rj.group_lasso_penalty(w, 1.0, 0, 1, np.ones(1)), 1e6, rtol=1e-6)


def test_group_lasso_is_never_nan_at_zero_groups(dtype):
    penalty = rj.GroupLasso(1.0, np.array([0, 0, 1, 1]), 2)

    @jax.jit
    def derivatives(w):
        f = penalty.value
        zeros = jax.grad(f)(w), jax.jacfwd(f)(w), jax.hessian(f)(w), penalty.prox(w)
        return zeros, jax.jacfwd(penalty.gradient)(w)

    zeros, of_gradient = derivatives(jnp.zeros(4, dtype))
    for derivative in zeros:
        np.testing.assert_array_equal(derivative, 0)
    chex.assert_tree_all_finite(of_gradient)


def test_groups_span_leaves_of_a_tree():
    w = {"a": jnp.array([3.0, 1.0]), "b": jnp.array([[4.0], [0.0]])}
    groups = {"a": np.array([0, 1]), "b": np.array([[0], [1]])}
    penalty = rj.GroupLasso(1.0, groups, 2)
    np.testing.assert_allclose(penalty.value(w), np.sqrt(2) * (5 + 1), rtol=1e-6)
    p = penalty.prox(w, 1 / np.sqrt(2))
    assert_close(p, {"a": np.array([2.4, 0.0]), "b": np.array([[3.2], [0.0]])}, 1e-6)


def test_rows_of_a_matrix_enter_and_leave_together():
    w = jnp.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    penalty = rj.GroupLasso(1.0, jnp.arange(3)[:, None], 3, np.ones(3))
    np.testing.assert_allclose(penalty.value(w), 5.5, rtol=1e-6)
    np.testing.assert_allclose(penalty.prox(w), [[2.4, 3.2], [0, 0], [0, 0]], rtol=1e-6)


def test_default_group_weights_are_the_square_roots_of_the_sizes():
    w = jnp.array([3.0, 4.0, 2.0])
    groups = np.array([1, 1, 0])
    sizes = np.sqrt([1.0, 2.0, 0.0])
    value = rj.group_lasso_penalty(w, 1.0, groups, 3)
    np.testing.assert_allclose(value, 2 + np.sqrt(2) * 5, rtol=1e-6)
    np.testing.assert_allclose(value, rj.group_lasso_penalty(w, 1.0, groups, 3, sizes))


@pytest.mark.parametrize(
    ("groups", "weights", "message"),
    [
        (np.array([0, 2]), None, r"\[0, 2\)"),
        (np.array([-1, 0]), None, r"\[0, 2\)"),
        (np.array([0.0, 1.0]), None, "integer"),
        (np.array([True, False]), None, "integer"),
        (np.array([0, 1, 1]), None, "broadcast"),
        ({"a": np.array([0, 1])}, None, "structure"),
        (np.array([0, 1]), np.ones(3), r"shape \(2,\)"),
        (np.array([0, 1]), -np.ones(2), "weights"),
        (np.array([0, 1]), np.array([1.0, np.nan]), "weights"),
    ],
)
def test_faulty_groups_and_group_weights_raise(groups, weights, message):
    penalty = rj.GroupLasso(1.0, groups, 2, weights)
    for method in (penalty.value, penalty.gradient, penalty.prox, penalty.lambda_max):
        with pytest.raises(ValueError, match=message):
            method(jnp.ones(2))


# --- L0 and non-negativity ---------------------------------------------------------------


def test_l0_is_differentiable_in_its_strength_alone():
    w = jnp.array([1.0, 0.0, 2.0])
    for function in (rj.l0_penalty, jax.jit(rj.l0_penalty)):
        assert jax.grad(function, argnums=1)(w, 0.5) == 2
        with pytest.raises(TypeError, match="no gradient"):
            jax.grad(function)(w, 0.5)
        with pytest.raises(TypeError, match="no gradient"):
            jax.jvp(lambda w, f=function: f(w, 0.5), (w,), (w,))


def test_l0_counts_inside_a_differentiated_function_once_stopped():
    def loss(w):
        return jnp.sum(w) + rj.l0_penalty(jax.lax.stop_gradient(w), 0.5)

    value, gradient = jax.value_and_grad(loss)(jnp.array([1.0, 0.0, 2.0]))
    assert value == 4
    np.testing.assert_array_equal(gradient, 1)


def test_hard_threshold_is_the_root_of_twice_the_strength():
    v = jnp.array([1.9, 2.0, 2.1, -2.1, np.nan])
    np.testing.assert_array_equal(rj.l0_prox(v, 2.0)[:4], jnp.array([0.0, 0.0, 2.1, -2.1]))
    np.testing.assert_array_equal(rj.l0_prox(v, 4.0, 0.5)[:4], jnp.array([0.0, 0.0, 2.1, -2.1]))


def test_non_negative_is_infinite_for_nan_and_projects():
    assert rj.non_negative_penalty(jnp.array([1.0, np.nan])) == np.inf
    assert rj.non_negative_penalty({"a": jnp.ones(2), "b": jnp.array([-1e-30])}) == np.inf
    np.testing.assert_array_equal(rj.non_negative_prox(jnp.array([-1.0, 0.0, 2.0])), [0, 0, 2])
