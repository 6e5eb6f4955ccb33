"""The strength at which everything is zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import (
    STRENGTH,
    WEIGHTS,
    as_dtype,
    as_float64,
    with_strength,
)

import regjax as rj

lambda_max_of = jax.jit(lambda penalty, gradient: penalty.lambda_max(gradient))
prox_of = jax.jit(lambda penalty, v: penalty.prox(v))


@with_strength
@pytest.mark.parametrize("name", ["vector", "dict"])
def test_zero_is_optimal_at_lambda_max_and_not_just_below(case, name, x64):
    gradient = WEIGHTS[name]
    largest = float(lambda_max_of(case.bind(STRENGTH, gradient), gradient))
    step = jax.tree.map(np.negative, gradient)

    def anything_moves(strength):
        after = as_float64(prox_of(case.bind(strength, gradient), step))
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
    gradient = {"a": np.float32([-3.0, 0.0]), "b": np.float32([4.0])}
    found = jax.jit(lambda gradient: penalty.lambda_max(gradient))(gradient)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@with_strength
def test_lambda_max_of_a_zero_gradient_is_zero(case):
    gradient = as_dtype({"a": np.zeros(5), "b": np.zeros((3, 2))}, np.float32)
    assert float(lambda_max_of(case.bind(STRENGTH, gradient), gradient)) == 0


@with_strength
def test_lambda_max_passes_over_empty_leaves(case):
    without = {"a": np.float32([0.5]), "b": np.float32([3.0, 4.0])}
    gradient = {**without, "empty": np.zeros(0, np.float32)}
    with_it, without_it = (
        float(lambda_max_of(case.bind(1.0, tree), tree)) for tree in (gradient, without)
    )
    assert with_it == without_it


def test_a_constraint_has_no_lambda_max():
    with pytest.raises(TypeError, match="no strength"):
        rj.NonNegative().lambda_max(jnp.ones(3))
