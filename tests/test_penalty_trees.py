"""Penalties under vmap and jit, on trees, and in every dtype."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import (
    PENALTIES,
    STRENGTH,
    WEIGHTS,
    as_dtype,
    as_float64,
    assert_close,
    by_turns,
    every,
    per_leaf,
    tolerance,
    with_strength,
)

import regjax as rj

# --- transformations ---------------------------------------------------------------------


def everything_of(case, strength, w):
    penalty = case.bind(strength, w)
    gradient = penalty.gradient(w) if case.has_gradient else None
    return penalty.value(w), gradient, penalty.prox(w, 0.5)


@by_turns(lambda case: case.has_strength)
def test_vmap_over_strengths_equals_the_loop(case, dtype):
    w = as_dtype(WEIGHTS["dict"], dtype)
    strengths = jnp.asarray([0.0, 0.1, 1.0, 10.0], dtype)

    def at(strength):
        return everything_of(case, strength, w)

    lanes = jax.jit(jax.vmap(at))(strengths)
    single = jax.jit(at)
    loop = [single(strength) for strength in np.asarray(strengths)]
    assert_close(lanes, jax.tree.map(lambda *x: np.stack(x), *loop), tolerance(dtype))


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


def test_penalties_of_one_shape_have_different_structures():
    # A jitted function must never take one for another.
    a = [rj.L1(0.2), rj.L2(0.2), rj.L0(0.2)]
    assert len({jax.tree.structure(penalty) for penalty in a}) == 3
    b = [rj.Box(-1.0, 1.0), rj.ElasticNet(-1.0, 1.0), rj.L1(1.0) + rj.L1(1.0)]
    assert all(
        (jax.tree.structure(x) == jax.tree.structure(y)) is (x is y) for x in a + b for y in a + b
    )


# --- trees and dtypes --------------------------------------------------------------------


@per_leaf
def test_strengths_by_subtree_penalise_each_leaf_with_its_own(case, x64):
    w = WEIGHTS["nested"]
    by_subtree = {"head": 0.3, "layers": [{"w": 2.0, "b": 0.0}]}
    value, gradient, prox = jax.jit(lambda w: everything_of(case, by_subtree, w))(w)
    single = jax.jit(lambda strength, w: everything_of(case, strength, w))
    leaves, structure = jax.tree.flatten(w)
    total = 0.0
    for i, strength in enumerate(jax.tree.leaves(jax.tree.broadcast(by_subtree, w))):
        _, alone_gradient, alone_prox = single(strength, w)
        assert_close(leaf(prox, i), leaf(alone_prox, i), 1e-15)
        if case.has_gradient:
            assert_close(leaf(gradient, i), leaf(alone_gradient, i), 1e-15)
        only = [x if i == j else np.zeros_like(x) for j, x in enumerate(leaves)]
        total += single(strength, structure.unflatten(only))[0]
    assert total > 0
    np.testing.assert_allclose(value, total, rtol=1e-14)


def leaf(tree, i):
    return jax.tree.leaves(tree)[i]


def test_elastic_net_takes_a_mixing_weight_by_subtree():
    w = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([3.0])}
    value = rj.elastic_net_penalty(w, 2.0, {"a": 1.0, "b": 0.0})
    np.testing.assert_allclose(value, 2 * 3 + 2 * 9 / 2)
    value = rj.elastic_net_penalty(w, {"a": 2.0, "b": 4.0}, {"a": 1.0, "b": 0.0})
    np.testing.assert_allclose(value, 2 * 3 + 4 * 9 / 2)


STRENGTH_TYPES = [float, np.float32, np.float64, lambda x: jnp.asarray(x, jnp.float32)]


LEAF_DTYPES = [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64]


@every
@pytest.mark.parametrize("place", range(4), ids=["python", "float32", "float64", "jax"])
def test_dtype_is_that_of_the_weights(case, place, x64):
    # Every type of strength meets every dtype of weights in a third of the cases.
    kind = STRENGTH_TYPES[place]
    leaf_dtype = LEAF_DTYPES[(place + PENALTIES.index(case)) % 4]
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
    penalty = case.bind(STRENGTH, w)
    value = jax.jit(penalty.value)(w)
    assert value.dtype == np.float32
    expected = case.closed_form(as_float64(w), STRENGTH)
    np.testing.assert_allclose(value, expected, rtol=tolerance(np.float32))


@every
def test_a_tree_without_leaves_has_no_penalty(case):
    penalty = case.bind(STRENGTH, {})
    assert penalty.value({}) == 0
    assert penalty.prox({}) == {}
    if case.has_strength:
        assert penalty.lambda_max({}) == 0
