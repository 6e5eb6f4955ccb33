"""Proximal operators of every penalty: minimisers, for one step size and in a diagonal metric."""

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
    STRENGTH,
    WEIGHTS,
    as_dtype,
    as_float64,
    assert_close,
    by_turns,
    cases,
    diagonal,
    every,
    group_labels,
    separable,
    tolerance,
)

import regjax as rj

# The properties below are asked of many arrays of few shapes.
prox_of = jax.jit(lambda penalty, *arguments: penalty.prox(*arguments))


@by_turns(lambda case: case.has_gradient, first=np.float64)
def test_prox_satisfies_the_optimality_condition_off_zero(case, dtype):
    v = as_dtype(jax.tree.map(lambda x: 2 * x + 0.5, WEIGHTS["nested"]), dtype)

    @jax.jit
    def found(v, step_size):
        penalty = case.bind(STRENGTH, v)
        p = penalty.prox(v, step_size)
        return p, penalty.gradient(p)

    for step_size in (0.25, 3.0):
        found_at = map(as_float64, found(v, step_size))
        for x, y, g in zip(as_float64(v), *found_at, strict=True):
            residual = np.where(y != 0, (y - x) / step_size + g, 0)
            np.testing.assert_allclose(residual, 0, atol=8 * tolerance(dtype))


@separable
@pytest.mark.parametrize("step_size", [0.25, 1.0, 3.0])
def test_prox_is_the_minimiser_on_a_grid(case, step_size, x64):
    grid = np.linspace(-3, 3, 2401)
    penalties = np.array([case.closed_form([np.array([w])], STRENGTH) for w in grid])
    for v in (-2.5, -1.3, -0.4, 0.0, 0.15, 0.9, 2.0):
        p = float(prox_of(case.bind(STRENGTH, np.zeros(1)), np.array([v]), step_size)[0])

        def objective(w, v=v):
            return (w - v) ** 2 / (2 * step_size) + case.closed_form([np.array([w])], STRENGTH)

        heights = (grid - v) ** 2 / (2 * step_size) + penalties
        assert objective(p) <= heights.min() + 1e-14
        # Without convexity two far points may be equally low.
        if case.convex:
            assert abs(p - grid[heights.argmin()]) <= grid[1] - grid[0]


finite = st.floats(-8, 8, width=32)
shaped = st.sampled_from([(1,), (3, 2)])
vectors = shaped.flatmap(lambda shape: arrays(np.float64, shape, elements=finite))
pairs = shaped.flatmap(lambda shape: st.tuples(*2 * [arrays(np.float64, shape, elements=finite)]))
positive = st.sampled_from([0.1, 0.5, 1.0, 4.0])


@every
@settings(max_examples=25, deadline=None)
@given(pair=pairs, strength=positive, step_size=positive, scale=st.sampled_from([1e-3, 0.1, 1.0]))
def test_no_point_beats_the_prox(case, pair, strength, step_size, scale):
    v, direction = pair
    with jax.enable_x64(True):
        p = np.asarray(prox_of(case.bind(strength, v), v, step_size))

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
        p, q = (np.asarray(prox_of(penalty, x, step_size)) for x in (u, v))
    # Firmly so: |p - q|^2 <= <p - q, u - v>.
    assert np.sum((p - q) ** 2) <= np.sum((p - q) * (u - v)) + 1e-12


@settings(max_examples=25, deadline=None)
@given(v=vectors, strength=positive, step_size=positive)
def test_moreau_l1_prox_and_the_projection_onto_the_dual_box_add_to_the_identity(
    v, strength, step_size
):
    with jax.enable_x64(True):
        p = np.asarray(prox_of(rj.L1(strength), v, step_size))
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
        p = np.asarray(prox_of(penalty, v, step_size))
    dual = v / step_size
    norms = np.sqrt([np.sum(dual[labels == g] ** 2) for g in range(N_GROUPS)])
    radii = strength * GROUP_WEIGHTS
    shrink = np.minimum(1, radii / np.where(norms > 0, norms, 1))
    np.testing.assert_allclose(p + step_size * dual * shrink[labels], v, rtol=1e-12, atol=1e-12)


@by_turns(lambda case: case.gives_zeros)
def test_prox_returns_exact_zeros(case, dtype):
    v = as_dtype(np.array([-0.01, -0.02, -0.03, -0.02, -0.01]), dtype)
    np.testing.assert_array_equal(prox_of(case.bind(STRENGTH, v), v, 1.0), 0)


def test_l2_prox_returns_no_zeros(dtype):
    v = as_dtype(np.array([-0.01, 0.02]), dtype)
    assert np.all(np.asarray(rj.l2_prox(v, 100.0)) != 0)


@every
def test_nan_does_not_vanish_in_a_prox(case):
    v = np.array([np.nan, 0.1, 0.1, 0.1, 0.1], np.float32)
    penalty = case.bind(STRENGTH, v)
    assert np.isnan(np.asarray(prox_of(penalty, v, 1.0))[0])
    if case.diagonal:
        assert np.isnan(np.asarray(prox_of(penalty, v, np.ones(5, np.float32)))[0])


# --- a step size per coordinate: a diagonal metric ---------------------------------------


@by_turns(lambda case: case.separable)
def test_an_array_step_size_is_one_scalar_step_per_coordinate(case, dtype):
    v = as_dtype(np.array([1.5, -0.4, 2.0, 0.25, -3.0]), dtype)
    steps = as_dtype(np.array([0.1, 0.5, 1.0, 2.0, 4.0]), dtype)
    penalty = case.bind(STRENGTH, v)
    one_by_one = [np.asarray(prox_of(penalty, v, step))[i] for i, step in enumerate(steps.tolist())]
    assert_close(prox_of(penalty, v, steps), np.stack(one_by_one), tolerance(dtype))


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
    by_layer = prox_of(penalty, v, {"head": 0.5, "layers": [{"w": 0.1, "b": 2.0}]})
    assert_close(by_layer["head"], prox_of(penalty, v, 0.5)["head"], 0)
    for name, step in (("w", 0.1), ("b", 2.0)):
        expected = prox_of(penalty, v, step)["layers"][0][name]
        assert_close(by_layer["layers"][0][name], expected, 0)


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


@cases(lambda case: case.diagonal and case.convex)
@settings(max_examples=25, deadline=None)
@given(data=st.data(), pair=pairs, strength=positive, scale=st.sampled_from([1e-3, 0.1, 1.0]))
def test_no_point_beats_the_prox_in_a_diagonal_metric(case, data, pair, strength, scale):
    v, direction = pair
    steps = data.draw(arrays(np.float64, v.shape, elements=st.sampled_from([1e-3, 0.5, 1.0, 40.0])))
    with jax.enable_x64(True):
        p = np.asarray(prox_of(case.bind(strength, v), v, steps))

    def objective(w):
        return np.sum((w - v) ** 2 / (2 * steps)) + case.closed_form([w], strength)

    slack = 1e-12 * (1 + abs(objective(p)))
    for other in (p + scale * direction, (1 - scale) * p, v, 0 * v, np.where(p == 0, v, p)):
        assert objective(p) <= objective(other) + slack


@by_turns(lambda case: case.diagonal)
def test_equal_steps_are_one_step(case, dtype):
    v = as_dtype(WEIGHTS["nested"], dtype)

    @jax.jit
    def both(v, step):
        penalty = case.bind(STRENGTH, v)
        return penalty.prox(v, jax.tree.map(lambda x: jnp.full_like(x, step), v)), penalty.prox(
            v, step
        )

    for step in (0.0, 0.3, 2.0):
        assert_close(*both(v, step), tolerance(dtype))


GROUPS = rj.GroupLasso(0.4, np.array([0, 0, 1, 1, 0, 1]), 2)


@pytest.mark.parametrize("penalty", [GROUPS, rj.MaxNorm(0.5, axis=None)], ids=["group", "norm"])
def test_the_diagonal_prox_has_the_derivative_of_its_root(penalty, x64):
    v = np.array([1.5, -0.3, 0.8, 0.02, -1.0, 0.01])
    steps = np.array([0.5, 2.0, 0.1, 1.0, 0.03, 0.7])
    slopes = jax.jit(jax.jacobian(penalty.prox, argnums=(0, 1)))
    forward = jax.jit(lambda *along: jax.jvp(penalty.prox, (v, steps), along)[1])
    along = np.cos(np.arange(6.0)), np.sin(np.arange(6.0)) + 0.5
    h = 1e-6
    ahead, behind = (
        np.asarray(prox_of(penalty, v + d * along[0], steps + d * along[1])) for d in (h, -h)
    )
    by_rows = sum(np.asarray(slope) @ d for slope, d in zip(slopes(v, steps), along, strict=True))
    for derivative in (by_rows, forward(*along)):
        np.testing.assert_allclose(derivative, (ahead - behind) / (2 * h), rtol=1e-7, atol=1e-9)
    assert np.all(np.isfinite(slopes(np.zeros(6), steps)[0]))


@pytest.mark.parametrize("penalty", [GROUPS, rj.MaxNorm(0.5, axis=None)], ids=["group", "norm"])
@pytest.mark.parametrize("exponent", [-30, 30])
def test_the_diagonal_prox_neither_overflows_nor_vanishes(penalty, exponent, dtype):
    v = np.array([1.5, -0.3, 0.8, 0.02, -1.0, 0.01], dtype)
    steps = np.array([0.5, 2.0, 0.1, 1.0, 0.03, 0.7], dtype)
    scale = dtype(10.0) ** exponent
    scaled = jax.tree.map(lambda x: x if isinstance(x, np.ndarray) else x * scale, penalty)
    found = np.asarray(prox_of(scaled, v * scale, steps)) / scale
    assert_close(found, prox_of(penalty, v, steps), tolerance(dtype))
