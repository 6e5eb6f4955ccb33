"""The report of a mask, and masks as trees of booleans."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from model_trees import shapes

from regjax import masks


def test_report_counts_and_reads_as_a_table():
    params = {**shapes(kernel=(40, 30), bias=(30,)), "step": jnp.zeros((), int)}
    report = masks.weights.report(params)
    assert (report.n_penalized, report.n_parameters) == (1200, 1230)
    assert str(report).splitlines() == [
        "-          bias    (30,)",
        "penalized  kernel  (40, 30)",
        "1 of 2 leaves, 1,200 of 1,230 parameters penalized",
    ]


# --- resolving ---------------------------------------------------------------------------


def test_resolve_takes_masks_and_boolean_prefix_trees():
    params = {"encoder": shapes(kernel=(2, 2), bias=(2,)), "step": jnp.zeros((), int)}
    kernels = {"encoder": {"bias": False, "kernel": True}, "step": False}
    assert masks.resolve(masks.weights, params) == kernels
    both = {"encoder": {"bias": True, "kernel": True}, "step": False}
    assert masks.resolve({"encoder": True, "step": False}, params) == both
    # Integers stay out even where the tree says True.
    assert masks.resolve(True, params) == both
    assert masks.resolve({"encoder": np.True_, "step": np.True_}, params) == both


@pytest.mark.parametrize(
    "mask",
    [
        lambda params: params,
        masks.weights.resolve,
        1.0,
        "kernel",
        {"a": 1, "b": True},
        {"a": jnp.array(True), "b": True},
        {"a": masks.weights, "b": False},
    ],
    ids=["function", "method", "float", "text", "integer", "array", "tree_of_masks"],
)
def test_resolve_refuses_functions_and_trees_that_are_not_boolean(mask):
    with pytest.raises(TypeError, match="by_predicate"):
        masks.resolve(mask, {"a": jnp.ones(2), "b": jnp.ones(2)})


@pytest.mark.parametrize("mask", [{"a": True}, [True, False], {"a": {"x": True}, "b": True}, None])
def test_resolve_refuses_trees_of_another_structure(mask):
    with pytest.raises(ValueError, match="no prefix"):
        masks.resolve(mask, {"a": jnp.ones(2), "b": jnp.ones(2)})


def test_resolve_refuses_trees_without_a_true():
    with pytest.raises(ValueError, match="leaves nothing"):
        masks.resolve({"a": False, "b": False}, {"a": jnp.ones(2), "b": jnp.ones(2)})


def test_masks_resolve_on_tracers_and_inside_lanes():
    params = shapes(**{"lanes/kernel": (3, 2, 2), "lanes/bias": (3, 2)})
    seen = []

    def penalty(params):
        seen.append(masks.weights.resolve(params))
        return sum(jnp.sum(x) for x in jax.tree.leaves(params))

    jax.jit(jax.vmap(penalty))(params)
    assert seen == [{"lanes": {"kernel": True, "bias": False}}]


def test_the_resolve_method_serves_optax():
    params = shapes(kernel=(2, 2), bias=(2,))
    params = jax.tree.map(lambda x: x + 2, params)
    decay = optax.masked(optax.add_decayed_weights(0.1), masks.weights.resolve)
    gradient = jax.tree.map(jnp.zeros_like, params)
    updates, _ = decay.update(gradient, decay.init(params), params)
    np.testing.assert_allclose(updates["kernel"], 0.2, rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], 0)
