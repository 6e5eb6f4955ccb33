"""The three regressions: what a fit promises, and which learning rates it takes."""

import inspect
import re

import numpy as np
import pytest
from regression_problems import DATA, MODELS, curvature, every_model, objective, ridge_by_lstsq
from sklearn.datasets import load_diabetes

from regjax import ElasticNetRegression, LassoRegression, RidgeRegression
from regjax.regression import ConvergenceWarning


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ridge", {"lambda_": 1.0, "learning_rate": 0.01, "n_iterations": 1000}),
        ("lasso", {"lambda_": 1.0, "learning_rate": 0.01, "n_iterations": 1000}),
        (
            "elastic_net",
            {"lambda_": 1.0, "learning_rate": 0.01, "n_iterations": 1000, "l1_ratio": 0.5},
        ),
    ],
)
def test_arguments_their_order_and_their_defaults(name, expected):
    parameters = inspect.signature(MODELS[name]).parameters
    assert [(p.name, p.default) for p in parameters.values()] == list(expected.items())
    found = MODELS[name](*range(1, 1 + len(expected) - ("l1_ratio" in expected)))
    assert (found.lambda_, found.learning_rate, found.n_iterations) == (1, 2, 3)


@every_model
def test_a_fit_returns_itself_with_all_that_is_promised(model):
    X, y = DATA
    fitted = model(0.1, "auto")
    assert fitted.fit(X, y) is fitted
    w = fitted.get_weights()
    assert isinstance(w, np.ndarray)
    assert isinstance(fitted.history, np.ndarray)
    assert (w.shape, w.dtype) == ((5,), np.float64)
    assert type(fitted.intercept) is type(fitted.kkt_residual) is float
    assert 0 <= fitted.kkt_residual < 1e-6
    predictions = fitted.predict(X[:7])
    assert isinstance(predictions, np.ndarray)
    np.testing.assert_allclose(predictions, X[:7] @ w + fitted.intercept, rtol=1e-13)
    # The intercept is free, so residuals have mean zero.
    assert np.mean(fitted.predict(X) - y) == pytest.approx(0, abs=1e-12)


@every_model
def test_the_history_runs_from_zero_weights_to_the_fit(model):
    X, y = DATA
    fitted = model(0.1, 0.05, 300).fit(X, y)
    assert fitted.history.shape == (301,)
    assert fitted.history[0] == pytest.approx(y.var() / 2, rel=1e-12)
    last = objective(model, X, y, fitted.get_weights(), 0.1)
    assert fitted.history[-1] == pytest.approx(last, rel=1e-12)
    assert (np.diff(fitted.history) <= 1e-14 * fitted.history[0]).all()
    assert fitted.history[-1] < fitted.history[0] / 3


@every_model
def test_the_history_never_rises_up_to_the_largest_stable_rate(model):
    X, y = DATA
    fitted = model(0.1, 1.95 / (curvature(X) + 0.1), 200).fit(X, y)
    assert (np.diff(fitted.history) <= 1e-14 * fitted.history[0]).all()


@every_model
def test_fits_repeat_exactly_and_a_second_fit_forgets_the_first(model):
    X, y = DATA
    fitted = model(0.1, "auto").fit(X, y)
    first = fitted.get_weights()
    other = fitted.fit(-X, y).get_weights()
    np.testing.assert_allclose(other, -first, atol=1e-9)
    np.testing.assert_array_equal(fitted.fit(X, y).get_weights(), first)


def test_two_plain_steps_of_ridge_by_hand():
    X, y = DATA
    lambda_, rate = 0.3, 0.05
    with pytest.warns(ConvergenceWarning):
        fitted = RidgeRegression(lambda_, rate, 2).fit(X, y)
    Xc, yc = X - X.mean(axis=0), y - y.mean()
    w = np.zeros(5)
    for _ in range(2):
        w = w - rate * (Xc.T @ (Xc @ w - yc) / len(y) + lambda_ * w)
    np.testing.assert_allclose(fitted.get_weights(), w, rtol=1e-12)


# --- learning rates ---


def test_rates_from_two_over_the_curvature_on_raise():
    # Curvature exactly 1 in floating point, and 2 with a ridge of 1.
    X, y = np.array([[-1.0], [1.0], [-1.0], [1.0]]), np.array([-2.0, 2.0, -2.0, 2.0])
    for model, lambda_, bound in (
        (LassoRegression, 1.0, 2.0),
        (ElasticNetRegression, 1.0, 2.0),
        (RidgeRegression, 0.0, 2.0),
        (RidgeRegression, 1.0, 1.0),
    ):
        for rate in (bound, 1.001 * bound, 100 * bound):
            with pytest.raises(ValueError, match="diverges"):
                model(lambda_, rate).fit(X, y)
        model(lambda_, 0.99 * bound, 5000).fit(X, y)


@every_model
def test_the_largest_safe_rate_in_the_message_is_safe_and_right(model):
    X, y = DATA
    largest = 1 / (curvature(X) + (0.1 if model is RidgeRegression else 0))
    with pytest.raises(ValueError, match="largest safe value") as caught:
        model(0.1, 50.0, 3000).fit(X, y)
    safe = float(re.search(r"largest safe value is ([0-9.e+-]+);", str(caught.value))[1])
    bound = float(re.search(r"every value from ([0-9.e+-]+) on", str(caught.value))[1])
    assert safe == pytest.approx(largest, rel=1e-5)
    assert bound == pytest.approx(2 * largest, rel=1e-5)
    expected = model(0.1, "auto").fit(X, y).get_weights()
    for rate in (safe, 0.999 * bound):
        fitted = model(0.1, rate, 10_000).fit(X, y)
        np.testing.assert_allclose(fitted.get_weights(), expected, atol=1e-4)


def test_the_default_rate_is_close_on_well_scaled_features():
    rng = np.random.default_rng(7)
    X = np.linalg.qr(rng.normal(size=(50, 4)))[0]
    X = (X - X.mean(axis=0)) * np.sqrt(50)
    y = X @ np.array([1.0, -2.0, 0.5, 3.0]) + 1
    fitted = RidgeRegression(0.1).fit(X, y)
    expected = ridge_by_lstsq(X, y, 0.1)
    gap = np.max(np.abs(fitted.get_weights() - expected))
    assert 1e-8 < gap < 2e-3
    assert fitted.kkt_residual < 1e-3


@every_model
def test_the_default_rate_warns_far_from_the_optimum(model):
    X, y = load_diabetes(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="auto"):
        fitted = model(1e-3).fit(X, y)
    assert fitted.kkt_residual > 1e-3
    assert len(fitted.history) == 1001


@every_model
def test_the_warning_comes_above_a_residual_of_one_in_a_thousand(model):
    with pytest.warns(ConvergenceWarning, match="200 iterations"):
        assert 1e-3 < model(0.1, 0.05, 200).fit(*DATA).kkt_residual < 4e-3
    assert 1e-4 < model(0.1, 0.05, 300).fit(*DATA).kkt_residual < 1e-3
