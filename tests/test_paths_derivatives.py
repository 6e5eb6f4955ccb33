"""Derivatives of paths in all that may be traced, beside differences of paths of NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regjax.paths import elastic_net_cv, elastic_net_path, lasso_path

LAMBDAS = np.array([0.7, 0.3, 0.1])
SIZES = {"tall": (30, 8), "wide": (10, 16)}
# One program for each size serves all that have no bounds; compiling takes nearly all the time.
CASES = {
    "lasso": {},
    "elastic net": {"l1_ratio": 0.5},
    "ridge": {"l1_ratio": 0.0},
    "no intercept": {"fit_intercept": False, "standardize": True, "l1_ratio": 0.75},
    "standardized": {"standardize": True},
    "unpenalized": {"penalty_weights": [0.0, 0.0, np.inf]},
    "weight of 0": {"sample_weight": [0.0]},
    "least squares": {"lambdas": [0.7, 0.3, 0.0]},
    "boxed": {"l1_ratio": 0.75, "lower": -0.3, "upper": 0.3},
}


def problem(size, settings):
    """All arguments as arrays; what a case gives stands at their beginnings."""
    n, p = SIZES[size]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p)) + 0.3 * rng.normal(size=(n, 1)) + rng.normal(size=p)
    b = np.where(rng.random(p) < 0.4, rng.normal(size=p), 0.0)
    arrays = {
        "X": X,
        "y": X @ b + 1.0 + rng.normal(size=n),
        "sample_weight": rng.uniform(0.3, 2, size=n),
        "lambdas": LAMBDAS.copy(),
        "penalty_weights": rng.uniform(0.5, 2, size=p),
        "l1_ratio": np.array(settings.get("l1_ratio", 1.0)),
    }
    for name in ("sample_weight", "penalty_weights", "lambdas"):
        values = settings.get(name, [])
        arrays[name][: len(values)] = values
    rest = {"fit_intercept": True, "standardize": False}
    rest |= {key: value for key, value in settings.items() if key not in arrays}
    return arrays, rest


def directions(arrays, seed=1):
    """Where arguments go: not those at the end of what they may be, nor mixes."""
    rng = np.random.default_rng(seed)
    free = {name: np.isfinite(a) & ((a != 0) | (name in "Xy")) for name, a in arrays.items()}
    free["l1_ratio"] = False
    return {name: np.where(free[name], rng.normal(size=a.shape), 0) for name, a in arrays.items()}


def solutions(arrays, rest, tol):
    given = {name: a for name, a in arrays.items() if name not in ("X", "y")}
    path = elastic_net_path(arrays["X"], arrays["y"], tol=tol, **given, **rest)
    xp = jnp if isinstance(path.coef, jax.Array) else np
    return xp.concatenate([path.coef, path.intercept[:, None]], axis=1)


@jax.jit
def derivatives(arrays, rest, direction, cotangent):
    """Forward and backward, in one program."""
    _, forward = jax.linearize(lambda arrays: solutions(arrays, rest, 1e-13), arrays)
    (gradient,) = jax.linear_transpose(forward, arrays)(cotangent)
    return forward(direction), gradient


def cotangent(size):
    return np.random.default_rng(2).normal(size=(len(LAMBDAS), SIZES[size][1] + 1))


@pytest.mark.parametrize(
    ("size", "case"),
    [
        pytest.param(size, case, marks=[pytest.mark.slow] * (size == "wide" or case == "boxed"))
        for size in SIZES
        for case in CASES
    ],
)
def test_derivatives_are_those_of_differences(size, case, x64):
    arrays, rest = problem(size, CASES[case])
    direction, weights = directions(arrays), cotangent(size)
    tangent, gradient = derivatives(arrays, rest, direction, weights)

    def moved(step):
        return solutions({k: a + step * direction[k] for k, a in arrays.items()}, rest, 1e-13)

    step = 1e-4
    difference = (moved(step) - moved(-step)) / (2 * step)
    scale = np.abs(difference).max()
    assert np.count_nonzero(tangent[1:]) > 4
    np.testing.assert_allclose(tangent, difference, atol=2e-5 * scale)
    # Backward is the transpose of forward.
    assert all(np.isfinite(np.asarray(part)).all() for part in gradient.values())
    product = sum(np.vdot(gradient[name], direction[name]) for name in arrays)
    np.testing.assert_allclose(product, np.vdot(weights, tangent), rtol=1e-6)


@pytest.mark.parametrize("y", ["given", "constant"])
def test_columns_that_are_the_same_have_finite_derivatives(y, x64):
    arrays, rest = problem("tall", {})
    arrays["X"][:, 4:] = arrays["X"][:, :4]
    arrays["X"][:, 3] = 2.0
    if y == "constant":
        arrays["y"][:] = 1.0
    found = derivatives(arrays, rest, directions(arrays), cotangent("tall"))
    for part in jax.tree.leaves(found):
        assert np.abs(part).max() < 1e3


X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])


def test_without_a_program_around_it_a_soft_threshold_moves_with_its_response(x64):
    y = X @ np.array([3.0, 0.1])
    _, change = jax.jvp(lambda y: lasso_path(X, y, lambdas=[0.2]).coef[0], (y,), (1 + X[:, 0],))
    np.testing.assert_allclose(change, [1, 0], atol=1e-12)


@pytest.mark.slow
def test_there_are_derivatives_of_derivatives(x64):
    y = X @ np.array([3.0, 0.1])

    def square(lambda_):
        return lasso_path(X, y, lambdas=[lambda_]).coef[0, 0] ** 2

    slope, curvature = jax.value_and_grad(jax.grad(square))(0.2)
    np.testing.assert_allclose([slope, curvature], [-2 * 2.8, 2.0], rtol=1e-6)


@pytest.mark.slow
def test_errors_of_cross_validation_have_derivatives(x64):
    arrays, _ = problem("tall", {})

    def error(lambda_, y):
        found = elastic_net_cv(arrays["X"], y, lambdas=[lambda_, 0.05], folds=3, tol=1e-12)
        return found.mean_error[0, 0] + found.coef.sum()

    slope, by_response = jax.jit(jax.grad(error, argnums=(0, 1)))(0.2, arrays["y"])
    host = [error(0.2 + step, arrays["y"]) for step in (1e-5, -1e-5)]
    np.testing.assert_allclose(slope, (host[0] - host[1]) / 2e-5, rtol=1e-4)
    assert np.isfinite(by_response).all()
    assert np.any(by_response)


@pytest.mark.slow
def test_bounds_carry_the_coefficients_that_rest_on_them(x64):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    y = X @ [2.0, -1.0, 1.0, 0.0, 0.0] + rng.normal(size=40)

    def coef(upper):
        bounds = {"lower": -jnp.inf, "upper": upper}
        return elastic_net_path(X, y, l1_ratio=0.7, lambdas=[0.1], tol=1e-12, **bounds).coef[0]

    upper, along = jnp.array([1.0, 1.0, 0.5, 1.0, 1.0]), jnp.array([1.0, 0.0, -0.5, 0.0, 0.0])
    found, change = jax.jvp(coef, (upper,), (along,))
    assert (found == upper).sum() == 2
    step = 1e-6 * along
    difference = (coef(upper + step) - coef(upper - step)) / 2e-6
    np.testing.assert_allclose(change, difference, atol=1e-7)
