"""Penalties on part of a tree, and sums of such: the other leaves are left alone."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import as_dtype, assert_close

import regjax as rj
from regjax import L0, L1, L2, GroupLasso, mask_penalty

KERNELS = {"dense": {"kernel": True, "bias": False}, "head": [True, False]}
BIASES = {"dense": {"kernel": False, "bias": True}, "head": [False, True]}


def parameters(dtype=np.float32):
    leaf = np.array([1.5, -0.25, 0.5])
    w = {"dense": {"kernel": leaf, "bias": 2 * leaf}, "head": [-leaf, 3 * leaf]}
    return as_dtype(w, dtype)


value_of = jax.jit(lambda penalty, w: penalty.value(w))
prox_of = jax.jit(lambda penalty, v, step_size: penalty.prox(v, step_size))


def test_masked_penalty_leaves_the_other_leaves_alone(dtype):
    w = parameters(dtype)
    penalty = mask_penalty(L1(0.5), KERNELS)
    (value, automatic), p, g = jax.jit(
        lambda w: (jax.value_and_grad(penalty.value)(w), penalty.prox(w, 2.0), penalty.gradient(w))
    )(w)
    assert float(value) == 2 * 0.5 * 2.25
    for tree in (p, g):
        assert jax.tree.structure(tree) == jax.tree.structure(w)
        assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(tree))
    np.testing.assert_array_equal(p["dense"]["kernel"], [0.5, 0.0, 0.0])
    np.testing.assert_array_equal(p["head"][0], [-0.5, 0.0, 0.0])
    np.testing.assert_array_equal(g["dense"]["kernel"], [0.5, -0.5, 0.5])
    np.testing.assert_array_equal(g["head"][0], [-0.5, 0.5, -0.5])
    np.testing.assert_array_equal(p["dense"]["bias"], w["dense"]["bias"])
    np.testing.assert_array_equal(p["head"][1], w["head"][1])
    np.testing.assert_array_equal(g["dense"]["bias"], 0)
    np.testing.assert_array_equal(g["head"][1], 0)
    assert_close(automatic, g, 0)


def test_terms_masked_to_disjoint_leaves_act_each_on_its_own():
    w = parameters()
    kernels, biases = mask_penalty(L1(0.5), KERNELS), mask_penalty(L0(0.25), BIASES)
    together = kernels + biases
    value, first, second = (float(value_of(part, w)) for part in (together, kernels, biases))
    assert value == first + second
    steps = {"dense": 2.0, "head": [0.1, np.float32([0.1, 8.0, 8.0])]}
    for step_size in (1.0, steps):
        p, first, second = (prox_of(part, w, step_size) for part in (together, kernels, biases))
        expected = {
            "dense": {"kernel": first["dense"]["kernel"], "bias": second["dense"]["bias"]},
            "head": [first["head"][0], second["head"][1]],
        }
        assert_close(p, expected, 0)
    gradients = (kernels + mask_penalty(L2(2.0), BIASES)).gradient(w)
    np.testing.assert_array_equal(gradients["dense"]["bias"], 2 * w["dense"]["bias"])
    np.testing.assert_array_equal(gradients["dense"]["kernel"], [0.5, -0.5, 0.5])


def test_overlapping_masks_raise():
    penalty = mask_penalty(L1(0.5), KERNELS) + mask_penalty(L2(0.5), KERNELS)
    with pytest.raises(ValueError, match="overlap"):
        penalty.prox(parameters())


def test_strengths_and_groups_inside_a_mask_keep_the_structure_of_the_whole_tree():
    w = parameters()
    strengths = {"dense": {"kernel": 0.5, "bias": 7.0}, "head": 0.1}
    penalty = mask_penalty(L1(strengths), KERNELS)
    np.testing.assert_allclose(value_of(penalty, w), (0.5 + 0.1) * 2.25, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(penalty.lambda_max)(w), 1.5)
    labels = jax.tree.map(lambda x: np.arange(3), w)
    grouped = mask_penalty(GroupLasso(1.0, labels, 3, np.ones(3)), KERNELS)
    np.testing.assert_allclose(value_of(grouped, w), np.sqrt(2) * 2.25, rtol=1e-6)


def test_a_mask_for_another_tree_raises():
    penalty = mask_penalty(L1(0.5), KERNELS)
    for method in (penalty.value, penalty.gradient, penalty.prox, penalty.lambda_max):
        with pytest.raises(ValueError, match="another structure"):
            method({"dense": jnp.ones(3)})


@pytest.mark.parametrize("leaf", [1, 0.5, "kernel", jnp.array(True), lambda path: True])
def test_masks_that_are_not_boolean_raise(leaf):
    with pytest.raises(TypeError, match="True or False at every leaf"):
        mask_penalty(L1(0.5), {"a": True, "b": leaf})


def test_numpy_booleans_are_masks_too():
    penalty = mask_penalty(L1(1.0), {"a": np.True_, "b": np.False_})
    assert penalty.value({"a": jnp.ones(2), "b": jnp.ones(2)}) == 2


def test_masked_terms_trace_once_for_all_strengths():
    traces = []

    @jax.jit
    def value(penalty, w):
        traces.append(penalty)
        return penalty.value(w)

    values = [value(mask_penalty(L1(s), KERNELS), parameters()) for s in (0.5, 1.0)]
    assert len(traces) == 1
    assert values[1] == 2 * values[0]


def test_masked_sum_works_on_a_model_that_holds_functions():
    model = eqx.nn.MLP(2, 1, 3, 1, key=jax.random.key(0))
    weights = rj.masks.weights.resolve(model)
    biases = (rj.masks.everything & ~rj.masks.weights).resolve(model)
    penalty = mask_penalty(L1(0.5), weights) + mask_penalty(L2(0.5), biases)
    prox, gradient = eqx.filter_jit(lambda m: (penalty.prox(m, 1.0), penalty.gradient(m)))(model)
    before, after = model.layers[-1], prox.layers[-1]
    np.testing.assert_array_equal(after.bias, jax.jit(lambda b: b / 1.5)(before.bias))
    w = np.asarray(before.weight)
    expected = np.sign(w) * np.maximum(np.abs(w) - 0.5, 0)
    np.testing.assert_allclose(after.weight, expected, rtol=1e-6)
    first, slopes = model.layers[0], gradient.layers[0]
    np.testing.assert_allclose(slopes.weight, 0.5 * np.sign(first.weight))
    np.testing.assert_allclose(slopes.bias, 0.5 * np.asarray(first.bias))


def test_the_gradient_at_a_leaf_left_out_is_zero_also_for_integers():
    w = {"a": jnp.array([1.0, -2.0]), "n": 3, "steps": jnp.array([4, 5])}
    gradient = mask_penalty(L1(0.5), {"a": True, "n": False, "steps": False}).gradient(w)
    np.testing.assert_array_equal(gradient["steps"], 0)
    assert gradient["n"] == 0


def test_masked_sum_passes_over_random_keys():
    w = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([3.0]), "key": jax.random.key(0)}
    first = mask_penalty(L1(0.5), {"a": True, "b": False, "key": False})
    second = mask_penalty(L2(0.5), {"a": False, "b": True, "key": False})
    gradient = (first + second).gradient(w)
    np.testing.assert_array_equal(gradient["a"], [0.5, -0.5])
    np.testing.assert_array_equal(gradient["b"], [1.5])
    assert (first + second).prox(w)["key"] is w["key"]
