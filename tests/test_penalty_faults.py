"""What penalties refuse: strengths, weights and mixing weights that are none."""

import jax.numpy as jnp
import numpy as np
import pytest
from problems import (
    STRENGTH,
    every,
    per_leaf,
    with_strength,
)

import regjax as rj


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
def test_weights_that_are_no_arrays_raise_and_complex_ones_where_magnitudes_do_not_count(case):
    w = {"a": jnp.ones(5), "b": jnp.ones(5)}
    penalty = case.bind(STRENGTH, w)
    methods = [penalty.value, penalty.prox] + case.has_gradient * [penalty.gradient]
    by_magnitude = isinstance(
        getattr(penalty, "penalty", penalty), rj.L0 | rj.L1 | rj.L2 | rj.ElasticNet
    )
    for method in methods:
        if not by_magnitude:
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
