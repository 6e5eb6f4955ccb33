"""The least-squares loss in both of its forms: value, gradient, curvature, step sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from least_squares_problems import PROBLEMS, P

from regjax import L1
from regjax.solvers import LeastSquares, least_squares, proximal_gradient


def both_forms(X, y):
    """Return a loss as the library builds it, and in the other of its two forms."""
    built = least_squares(X, y)
    n = len(y)
    if built.gram is None:
        other = built._replace(X=None, y=None, gram=X.T @ X / n)
    else:
        root = np.sqrt(n).astype(X.dtype)
        other = built._replace(X=X / root, y=y / root, gram=None)
    return built, other


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_form_follows_from_the_shape(problem):
    loss = jax.eval_shape(least_squares, *PROBLEMS[problem])
    assert isinstance(loss, LeastSquares)
    assert (loss.gram is None) == (problem == "wide")
    assert (loss.X is None) == (loss.y is None) == (problem != "wide")


# Values, gradients and automatic ones in both forms; a program for each shape and precision.
@jax.jit
def smooth_of(X, y, ridge, w):
    found = []
    for loss in both_forms(X, y):
        smooth = loss.smooth(ridge)
        found.append((*smooth(w), jax.grad(lambda w, smooth=smooth: smooth(w)[0])(w)))
    return found


@pytest.mark.parametrize("problem", PROBLEMS)
def test_both_forms_give_half_the_mean_square_and_its_gradient(problem, dtype):
    X, y = PROBLEMS[problem]
    w = np.linspace(-1, 1, P)
    residual = X @ w - y
    eps = np.finfo(dtype).eps
    for ridge in (0.0, 0.7):
        value = residual @ residual / (2 * len(y)) + ridge / 2 * w @ w
        gradient = X.T @ residual / len(y) + ridge * w
        arguments = (np.asarray(part, dtype) for part in (X, y, ridge, w))
        for found, slope, automatic in smooth_of(*arguments):
            assert found.dtype == slope.dtype == dtype
            np.testing.assert_allclose(found, value, rtol=50 * eps)
            np.testing.assert_allclose(slope, gradient, rtol=50 * eps, atol=50 * eps)
            np.testing.assert_allclose(slope, automatic, rtol=50 * eps, atol=50 * eps)


@jax.jit
def curvature_of(X, y, weights, ridge):
    return [
        (loss.curvature(), loss.curvature(weights), loss.largest_step(ridge))
        for loss in both_forms(X, y)
    ]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_curvature_and_largest_step_are_those_of_the_hessian(problem, x64):
    X, y = PROBLEMS[problem]
    hessian = X.T @ X / len(y)
    weights = np.linspace(0.5, 2.0, P)
    largest = np.linalg.eigvalsh(hessian)[-1]
    weighted = np.linalg.eigvalsh(hessian * np.outer(weights, weights))[-1]
    for ridge in (0.0, 0.7):
        for found in curvature_of(X, y, weights, ridge):
            expected = [largest, weighted, 1 / (largest + ridge)]
            np.testing.assert_allclose(found, expected, rtol=1e-12)


@jax.jit
def diagonal_steps_of(X, y, ridge):
    return [loss.diagonal_steps(ridge) for loss in both_forms(X, y)]


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("ridge", [0.0, 0.7, 1e6])
def test_diagonal_steps_are_safe_and_not_needlessly_small(problem, ridge, x64):
    X, y = PROBLEMS[problem]
    hessian = X.T @ X / len(y) + ridge * np.eye(P)
    for steps in map(np.asarray, diagonal_steps_of(X, y, ridge)):
        assert steps.shape == (P,)
        assert (steps > 0).all()
        v = np.ones(P)
        for _ in range(500):
            v = steps * (hessian @ v)
            v /= np.max(np.abs(v))
        # The largest eigenvalue of diag(steps) H is the curvature in their metric.
        curvature = np.max(np.abs(steps * (hessian @ v)))
        assert curvature <= 1 + 1e-12
        assert curvature >= 0.5
        if ridge == 0:
            assert curvature == pytest.approx(1, rel=1e-9)


@jax.jit
def descent_of(X, y, ridge):
    loss = least_squares(X, y)
    steps = loss.diagonal_steps(ridge)
    solution = proximal_gradient(
        loss.smooth(ridge), L1(0.1), jnp.zeros(P), step_size=steps, max_steps=50
    )
    return steps, loss.largest_step(ridge), solution.value


@pytest.mark.parametrize("ridge", [0.0, 0.7])
@pytest.mark.parametrize("columns", [[0], [0, 1, 2, 3, 4, 5]], ids=["one", "all"])
@pytest.mark.parametrize("problem", ["tall", "wide"])
def test_columns_of_zeros_have_finite_steps(problem, columns, ridge, x64):
    X, y = PROBLEMS[problem]
    X = X.copy()
    X[:, columns] = 0
    steps, largest, w = map(np.asarray, descent_of(X, y, ridge))
    assert np.isfinite(steps).all()
    assert (steps > 0).all()
    assert np.isfinite(largest)
    np.testing.assert_array_equal(w[columns], 0)
