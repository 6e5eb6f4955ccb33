"""What is particular to the group lasso: norms over leaves, zero groups, weights of groups."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import (
    assert_close,
)

import regjax as rj


@jax.jit
def all_of(penalty, w, step_size=1.0):
    return penalty.value(w), penalty.gradient(w), penalty.prox(w, step_size)


@pytest.mark.parametrize("leaf_dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_norms_of_large_groups_are_right_in_short_floats(leaf_dtype):
    # A running sum of ones stops growing at 256 in bfloat16 and at 2048 in float16.
    w = np.ones(4096, leaf_dtype)
    penalty = rj.GroupLasso(32.0, np.zeros(4096, int), 1, np.ones(1))
    value, gradient, prox = all_of(penalty, w)
    assert float(value) == 32 * 64
    np.testing.assert_array_equal(gradient, 0.5)
    np.testing.assert_array_equal(prox, 0.5)


@pytest.mark.parametrize(("first", "second"), [("float32", "float16"), ("float16", "float32")])
def test_group_norms_span_leaves_of_different_dtypes(first, second):
    size = {"float32": 1e6, "float16": 1.0}
    w = {"a": np.array([size[first]], first), "b": np.array([size[second]], second)}
    found = jax.jit(lambda w: rj.group_lasso_penalty(w, 1.0, 0, 1, np.ones(1)))(w)
    np.testing.assert_allclose(found, 1e6, rtol=1e-6)


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
    w = {"a": np.float32([3.0, 1.0]), "b": np.float32([[4.0], [0.0]])}
    groups = {"a": np.array([0, 1]), "b": np.array([[0], [1]])}
    value, _, p = all_of(rj.GroupLasso(1.0, groups, 2), w, 1 / np.sqrt(2))
    np.testing.assert_allclose(value, np.sqrt(2) * (5 + 1), rtol=1e-6)
    assert_close(p, {"a": np.array([2.4, 0.0]), "b": np.array([[3.2], [0.0]])}, 1e-6)


def test_rows_of_a_matrix_enter_and_leave_together():
    w = np.float32([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    value, _, p = all_of(rj.GroupLasso(1.0, jnp.arange(3)[:, None], 3, np.ones(3)), w)
    np.testing.assert_allclose(value, 5.5, rtol=1e-6)
    np.testing.assert_allclose(p, [[2.4, 3.2], [0, 0], [0, 0]], rtol=1e-6)


def test_default_group_weights_are_the_square_roots_of_the_sizes():
    w = np.float32([3.0, 4.0, 2.0])
    groups = np.array([1, 1, 0])
    sizes = np.sqrt([1.0, 2.0, 0.0])
    of = jax.jit(lambda w, weights: rj.group_lasso_penalty(w, 1.0, groups, 3, weights))
    np.testing.assert_allclose(of(w, None), 2 + np.sqrt(2) * 5, rtol=1e-6)
    np.testing.assert_allclose(of(w, None), of(w, sizes))


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
