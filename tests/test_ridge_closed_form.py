"""Ridge in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from least_squares_problems import PROBLEMS, P

from regjax.solvers import ridge_closed_form

# One program for each shape, precision and number of targets.
solve = jax.jit(ridge_closed_form)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_ridge_solves_the_normal_equations_with_n_times_lambda(problem, dtype):
    X, y = PROBLEMS[problem]
    for strength in (1e-3, 0.1, 10.0):
        expected = np.linalg.solve(X.T @ X + len(y) * strength * np.eye(P), X.T @ y)
        w = solve(X.astype(dtype), y.astype(dtype), strength)
        assert w.dtype == dtype
        assert w.shape == (P,)
        # Rounding in X and y moves the solution by up to their condition number.
        np.testing.assert_allclose(w, expected, atol=2000 * np.finfo(dtype).eps)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_ridge_at_zero_is_the_minimum_norm_least_squares_solution(problem, dtype):
    X, y = PROBLEMS[problem]
    expected = np.linalg.lstsq(X, y, rcond=None)[0]
    w = solve(X.astype(dtype), y.astype(dtype), 0.0)
    np.testing.assert_allclose(w, expected, atol=1000 * np.finfo(dtype).eps)


def test_zero_may_be_of_any_type(x64):
    X, y = PROBLEMS["wide"]
    expected = solve(X, y, 0.0)
    for zero in (0, 0.0, np.zeros([])):
        np.testing.assert_allclose(ridge_closed_form(X, y, zero), expected, rtol=1e-12)


def test_ridge_of_several_targets_is_ridge_of_each(x64):
    X, y = PROBLEMS["tall"]
    Y = np.stack([y, -2 * y, y**2], axis=1)
    W = np.asarray(solve(X, Y, 0.3))
    assert W.shape == (P, 3)
    for i in range(3):
        np.testing.assert_allclose(W[:, i], solve(X, Y[:, i], 0.3), rtol=1e-12)


@pytest.mark.parametrize(
    ("problem", "dtype"), [("tall", np.float32), ("wide", np.float64)], indirect=["dtype"]
)
def test_ridge_maps_over_strengths_and_shrinks_with_them(problem, dtype):
    X, y = (part.astype(dtype) for part in PROBLEMS[problem])
    grid = np.array([0.0, 0.01, 0.1, 1.0, 10.0], dtype)
    lanes = jax.jit(jax.vmap(ridge_closed_form, in_axes=(None, None, 0)))(X, y, grid)
    lanes = np.asarray(lanes)
    loop = [solve(X, y, float(strength)) for strength in grid]
    tolerance = 200 * np.finfo(dtype).eps
    np.testing.assert_allclose(lanes, np.stack(loop), atol=tolerance)
    assert (np.diff(np.linalg.norm(lanes, axis=1)) < 0).all()
    assert np.all(lanes != 0)


def test_ridge_differentiates_in_the_strength(x64):
    X, y = PROBLEMS["tall"]
    n = len(y)

    @jax.jit
    @jax.value_and_grad
    def held_out(strength):
        w = ridge_closed_form(X[: n // 2], y[: n // 2], strength)
        return jnp.mean((y[n // 2 :] - X[n // 2 :] @ w) ** 2)

    slope_of = jax.jit(jax.jacfwd(lambda strength: ridge_closed_form(X, y, strength)))
    for strength in (0.05, 1.0):
        found = float(held_out(strength)[1])
        h = 1e-5 * strength
        difference = (held_out(strength + h)[0] - held_out(strength - h)[0]) / (2 * h)
        assert found == pytest.approx(float(difference), rel=1e-6)
        # d w / d lambda = -n (X'X + n lambda I)^-1 w
        w = solve(X, y, strength)
        expected = -n * np.linalg.solve(X.T @ X + n * strength * np.eye(P), w)
        np.testing.assert_allclose(slope_of(strength), expected, rtol=1e-10)


def test_ridge_does_not_square_the_condition_number(x64):
    hilbert = 1 / (np.arange(10)[:, None] + np.arange(8) + 1.0)
    exact = np.ones(8)
    y = hilbert @ exact
    ours = np.asarray(solve(hilbert, y, 0.0))
    normal = np.linalg.solve(hilbert.T @ hilbert, hilbert.T @ y)
    assert np.max(np.abs(ours - exact)) < 1e-5
    assert np.max(np.abs(normal - exact)) > 100 * np.max(np.abs(ours - exact))


def test_ridge_takes_integers_and_keeps_the_dtype_of_x():
    X, y = np.array([[1, 0], [0, 1]]), np.array([2, 4])
    w = ridge_closed_form(X, y, 0.5)
    np.testing.assert_allclose(w, [1.0, 2.0], rtol=1e-6)
    assert w.dtype == np.float32


@pytest.mark.parametrize(
    ("X", "y", "strength", "error", "message"),
    [
        (np.ones(3), np.ones(3), 0.1, ValueError, "n_features"),
        (np.ones((3, 0)), np.ones(3), 0.1, ValueError, "n_features"),
        (np.ones((0, 2)), np.ones(0), 0.1, ValueError, "n_features"),
        (np.ones((3, 2)), np.ones(4), 0.1, ValueError, "3 samples"),
        (np.ones((3, 2)), np.ones((3, 1, 1)), 0.1, ValueError, "n_targets"),
        (np.ones((3, 2)), np.float32(1.0), 0.1, ValueError, "n_targets"),
        (np.ones((3, 2)), np.ones(3), -0.1, ValueError, "at least 0"),
        (np.ones((3, 2)), np.ones(3), np.nan, ValueError, "finite"),
        (np.ones((3, 2)), np.ones(3), "a", TypeError, "number"),
        (np.ones((3, 2)) * 1j, np.ones(3), 0.1, TypeError, "Complex"),
        # Two strengths for two features would broadcast into one per singular direction.
        (np.ones((3, 2)), np.ones(3), jnp.array([0.1, 0.2]), ValueError, "scalar"),
    ],
)
def test_ridge_refuses_what_does_not_fit(X, y, strength, error, message):
    with pytest.raises(error, match=message):
        ridge_closed_form(X, y, strength)
