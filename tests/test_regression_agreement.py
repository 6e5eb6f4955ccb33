"""The three regressions agree with other solvers and with each other."""

import dataclasses

import numpy as np
import pytest
from regression_problems import DATA, curvature, ridge_by_lstsq
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet, Lasso

from regjax import ElasticNetRegression, LassoRegression, RidgeRegression


@dataclasses.dataclass(frozen=True)
class Problem:
    X: np.ndarray
    y: np.ndarray
    lambda_: float


def ridge_problems():
    rng = np.random.default_rng(3)
    X, y = DATA
    duplicated = np.column_stack([X, X[:, 0], X[:, 1] + X[:, 2]])
    wide = rng.normal(size=(8, 20))
    return {
        "diabetes": Problem(*load_diabetes(return_X_y=True), 1e-4),
        "diabetes_strong": Problem(*load_diabetes(return_X_y=True), 1.0),
        "one_feature": Problem(X[:, :1], y, 0.2),
        "no_penalty": Problem(X, y, 0.0),
        "scales": Problem(X * np.array([1, 1e8, 1, 1e-8, 1e4]), y, 0.2),
        "scales_no_penalty": Problem(X * np.array([1, 1e8, 1, 1e-4, 1e4]), y, 0.0),
        "wide": Problem(wide, wide[:, 0] + 0.1 * rng.normal(size=8), 0.05),
        "collinear": Problem(duplicated, y, 0.01),
        "two_rows": Problem(X[:2], y[:2], 0.2),
    }


RIDGE_PROBLEMS = ridge_problems()


@pytest.mark.parametrize("name", RIDGE_PROBLEMS)
def test_ridge_with_the_automatic_rate_is_the_closed_form(name):
    problem = RIDGE_PROBLEMS[name]
    fitted = RidgeRegression(problem.lambda_, "auto").fit(problem.X, problem.y)
    expected = ridge_by_lstsq(problem.X, problem.y, problem.lambda_)
    spread = np.std(problem.X, axis=0)
    # Weights in units of their effect, so that every scale of feature counts alike.
    np.testing.assert_allclose(
        fitted.get_weights() * spread, expected * spread, rtol=1e-6, atol=1e-6 * problem.y.std()
    )
    intercept = problem.y.mean() - problem.X.mean(axis=0) @ expected
    assert fitted.intercept == pytest.approx(intercept, rel=1e-6, abs=1e-6)
    assert fitted.kkt_residual < 1e-6


def test_more_features_than_samples_without_a_penalty_interpolate():
    problem = RIDGE_PROBLEMS["wide"]
    fitted = RidgeRegression(0.0, "auto").fit(problem.X, problem.y)
    np.testing.assert_allclose(fitted.predict(problem.X), problem.y, atol=1e-6)


@pytest.mark.parametrize("lambda_", [0.0, 0.3])
def test_ridge_with_a_plain_rate_gets_there_after_many_iterations(lambda_):
    X, y = DATA
    fitted = RidgeRegression(lambda_, 1 / (curvature(X) + lambda_), 5000).fit(X, y)
    np.testing.assert_allclose(fitted.get_weights(), ridge_by_lstsq(X, y, lambda_), atol=1e-9)


SPARSE_PROBLEMS = {
    "noisy": Problem(*DATA, 0.3),
    "weak": Problem(*DATA, 1e-3),
    "diabetes": Problem(*load_diabetes(return_X_y=True), 0.5),
    "scales": Problem(DATA[0] * np.array([1, 30, 1, 0.03, 10]), DATA[1], 0.02),
    "wide": Problem(RIDGE_PROBLEMS["wide"].X, RIDGE_PROBLEMS["wide"].y, 0.2),
}


@pytest.mark.parametrize("name", SPARSE_PROBLEMS)
@pytest.mark.parametrize("l1_ratio", [None, 0.3, 0.9])
def test_lasso_and_elastic_net_are_those_of_scikit_learn(name, l1_ratio):
    problem = SPARSE_PROBLEMS[name]
    X, y, lambda_ = problem.X, problem.y, problem.lambda_
    if l1_ratio is None:
        ours, theirs = LassoRegression(lambda_, "auto"), Lasso(lambda_, tol=1e-13)
    else:
        ours = ElasticNetRegression(lambda_, "auto", l1_ratio=l1_ratio)
        theirs = ElasticNet(lambda_, l1_ratio=l1_ratio, tol=1e-13)
    ours.fit(X, y)
    theirs.set_params(max_iter=10**6).fit(X, y)
    spread = np.std(X, axis=0)
    np.testing.assert_allclose(
        ours.get_weights() * spread, theirs.coef_ * spread, atol=1e-6 * y.std()
    )
    np.testing.assert_array_equal(ours.get_weights() == 0, theirs.coef_ == 0)
    assert ours.intercept == pytest.approx(theirs.intercept_, rel=1e-6)


def test_elastic_net_is_the_lasso_at_one_and_ridge_at_zero():
    X, y = DATA
    for ratio, other in ((1.0, LassoRegression), (0.0, RidgeRegression)):
        net = ElasticNetRegression(0.2, "auto", l1_ratio=ratio).fit(X, y)
        expected = other(0.2, "auto").fit(X, y)
        np.testing.assert_allclose(net.get_weights(), expected.get_weights(), atol=1e-10)
        assert net.intercept == pytest.approx(expected.intercept, abs=1e-9)
    half = ElasticNetRegression(0.2, "auto").fit(X, y).get_weights()
    assert np.max(np.abs(half - expected.get_weights())) > 1e-3
