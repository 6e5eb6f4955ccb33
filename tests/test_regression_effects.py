"""What regularization does: zeros, shrinkage, held-out error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from regression_problems import DATA, MODELS, noisy_data

from regjax import (
    ElasticNetRegression,
    LassoRegression,
    RidgeRegression,
    l1_penalty,
    l2_gradient,
    l2_penalty,
    penalized_loss,
)
from regjax.penalties import L2


def test_the_lasso_zeroes_redundant_features_and_more_as_lambda_grows():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(60, 8))
    y = X[:, 0] * 3 + X[:, 1] + 0.1 * rng.normal(size=60)
    zeros = []
    for lambda_ in (0.0, 0.01, 0.1, 2.0, 10.0):
        w = LassoRegression(lambda_, "auto").fit(X, y).get_weights()
        zeros.append(int(np.sum(w == 0)))
        if lambda_ == 0.1:
            np.testing.assert_array_equal(np.flatnonzero(w), [0, 1])
    assert zeros == sorted(zeros)
    assert zeros[0] == 0
    assert zeros[2] == 6
    assert zeros[3] == 7
    assert zeros[4] == 8


def test_ridge_weights_shrink_with_lambda_and_never_reach_zero():
    norms = []
    for lambda_ in (0.0, 0.01, 0.1, 1.0, 10.0, 1e4):
        w = RidgeRegression(lambda_, "auto").fit(*DATA).get_weights()
        assert np.all(w != 0)
        norms.append(np.linalg.norm(w))
    assert (np.diff(norms) < 0).all()
    assert norms[-1] < 1e-3 * norms[0]


@pytest.mark.parametrize("model", [LassoRegression, ElasticNetRegression])
def test_above_the_largest_useful_lambda_all_weights_are_zero(model):
    X, y = DATA
    lambda_max = np.max(np.abs((X - X.mean(axis=0)).T @ (y - y.mean()))) / len(y)
    if model is ElasticNetRegression:
        lambda_max /= 0.5
    above = model(1.001 * lambda_max, "auto").fit(X, y)
    np.testing.assert_array_equal(above.get_weights(), 0)
    assert above.intercept == pytest.approx(y.mean(), rel=1e-14)
    np.testing.assert_allclose(above.predict(X), y.mean())
    below = model(0.999 * lambda_max, "auto").fit(X, y)
    assert np.count_nonzero(below.get_weights()) == 1


@pytest.mark.parametrize("name", MODELS)
def test_held_out_error_is_least_at_an_interior_lambda(name):
    X, y = noisy_data(60, 20, noise=3.0, seed=6)
    train, test = slice(0, 25), slice(25, 60)
    grid = [1e-4, 1e-2, 0.3, 1.0, 1e3]
    fits = [MODELS[name](lambda_, "auto", 5000).fit(X[train], y[train]) for lambda_ in grid]
    train_errors = [np.mean((f.predict(X[train]) - y[train]) ** 2) for f in fits]
    test_errors = [np.mean((f.predict(X[test]) - y[test]) ** 2) for f in fits]
    assert 0 < int(np.argmin(test_errors)) < len(grid) - 1
    assert min(test_errors) < 0.95 * min(test_errors[0], test_errors[-1])
    # Training error only rises; the strongest fit is the mean and so leaves the variance.
    assert (np.diff(train_errors) > 0).all()
    assert train_errors[-1] == pytest.approx(y[train].var(), rel=0.02)


def test_ridge_spreads_a_weight_over_copies_because_large_weights_cost_more():
    one = np.array([4.0, 0.0, 0.0, 0.0])
    spread = np.ones(4)
    l1, l2 = jax.jit(l1_penalty), jax.jit(l2_penalty)
    assert float(l1(one, 0.5)) == float(l1(spread, 0.5)) == 2
    assert float(l2(one, 0.5)) == 4 * float(l2(spread, 0.5)) == 4
    X, y = DATA
    w = RidgeRegression(0.1, "auto").fit(X[:, [0, 0, 0, 0]], y).get_weights()
    np.testing.assert_allclose(w, w[0], rtol=1e-9)
    assert w[0] > 0.1


def test_the_gradient_of_the_whole_is_that_of_the_data_and_lambda_times_w(dtype):
    X, y = (part.astype(dtype) for part in DATA)
    w = np.linspace(-1, 1, 5, dtype=dtype)
    lambda_ = 0.3

    def loss(w):
        return jnp.sum((y - X @ w) ** 2) / (2 * len(y))

    @jax.jit
    def both(w):
        penalized = penalized_loss(loss, L2(lambda_))
        return jax.grad(penalized)(w), jax.grad(loss)(w) + l2_gradient(w, lambda_)

    whole, added = both(w)
    by_hand = X.T @ (X @ w - y) / len(y) + lambda_ * w
    tolerance = 30 * np.finfo(dtype).eps
    np.testing.assert_allclose(whole, by_hand, rtol=tolerance, atol=20 * tolerance)
    np.testing.assert_allclose(whole, added, rtol=tolerance, atol=tolerance)
