"""What is particular to penalties without a gradient: L0, non-negativity and the box."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regjax as rj


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
    v = np.float32([1.9, 2.0, 2.1, -2.1, np.nan])
    prox = jax.jit(rj.l0_prox)
    for strength, step_size in ((2.0, 1.0), (4.0, 0.5)):
        found = np.asarray(prox(v, strength, step_size))
        np.testing.assert_array_equal(found[:4], np.float32([0.0, 0.0, 2.1, -2.1]))


def test_non_negative_is_infinite_for_nan_and_projects():
    assert rj.non_negative_penalty(jnp.array([1.0, np.nan])) == np.inf
    assert rj.non_negative_penalty({"a": jnp.ones(2), "b": jnp.array([-1e-30])}) == np.inf
    np.testing.assert_array_equal(rj.non_negative_prox(jnp.array([-1.0, 0.0, 2.0])), [0, 0, 2])


def test_a_box_holds_its_own_projection_in_short_dtypes():
    box = rj.Box(np.float32(-0.1), np.float32(0.3))
    found = jax.jit(lambda v: (box.value(box.prox(v)), box.value(v)))
    for v, outside in (([-1.0, 0.2, 1.0], np.inf), ([0.2, 0.35, 0.2], np.inf), ([0, 0, 0], 0)):
        of_projection, value = found(np.array(v, jnp.bfloat16))
        assert (float(of_projection), float(value)) == (0, outside)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (([-1.0, 0.0], 1.0), r"lower must be a number or broadcast .*got shape \(2,\).*\(3,\)"),
        ((-1.0, np.ones((2, 3))), r"upper must be a number or broadcast .*got shape \(2, 3\)"),
        ((0.5, -0.5), "lower must not exceed upper, got 0.5 and -0.5"),
    ],
)
def test_bounds_that_do_not_fit_are_refused(bounds, message):
    lower, upper = map(np.asarray, bounds)
    for apply in (rj.box_penalty, rj.box_prox):
        with pytest.raises(ValueError, match=message):
            apply(np.zeros(3), lower, upper)
