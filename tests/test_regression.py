"""The three regressions: interface, agreement with other solvers, and how they fail."""

import dataclasses
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet, Lasso

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
from regjax.regression import ConvergenceWarning

MODELS = {"ridge": RidgeRegression, "lasso": LassoRegression, "elastic_net": ElasticNetRegression}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


def noisy_data(n_samples=40, n_features=5, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) + 3
    w = np.zeros(n_features)
    w[:3] = 2.0, -1.0, 0.5
    return X, X @ w + 7 + noise * rng.normal(size=n_samples)


DATA = noisy_data()


def penalty(model, w, lambda_, l1_ratio=0.5):
    l1_ratio = {RidgeRegression: 0, LassoRegression: 1}.get(model, l1_ratio)
    return lambda_ * (l1_ratio * np.sum(np.abs(w)) + (1 - l1_ratio) / 2 * np.sum(w**2))


def objective(model, X, y, w, lambda_):
    residual = (y - y.mean()) - (X - X.mean(axis=0)) @ w
    return residual @ residual / (2 * len(y)) + penalty(model, w, lambda_)


def ridge_by_lstsq(X, y, lambda_):
    """Return the ridge weights by stacked least squares in columns of one length."""
    X, y = X - X.mean(axis=0), y - y.mean()
    stacked = np.vstack([X, np.sqrt(len(y) * lambda_) * np.eye(X.shape[1])])
    lengths = np.linalg.norm(stacked, axis=0)
    target = np.concatenate([y, np.zeros(X.shape[1])])
    return np.linalg.lstsq(stacked / lengths, target, rcond=None)[0] / lengths


def curvature(X):
    centred = X - X.mean(axis=0)
    return np.linalg.eigvalsh(centred.T @ centred / len(X))[-1]


# --- interface ---


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


def test_the_history_runs_from_zero_weights_to_the_fit(model):
    X, y = DATA
    fitted = model(0.1, 0.05, 600).fit(X, y)
    assert fitted.history.shape == (601,)
    assert fitted.history[0] == pytest.approx(y.var() / 2, rel=1e-12)
    last = objective(model, X, y, fitted.get_weights(), 0.1)
    assert fitted.history[-1] == pytest.approx(last, rel=1e-12)
    assert (np.diff(fitted.history) <= 1e-14 * fitted.history[0]).all()
    assert fitted.history[-1] < fitted.history[0] / 3


def test_the_history_never_rises_up_to_the_largest_stable_rate(model):
    X, y = DATA
    fitted = model(0.1, 1.95 / (curvature(X) + 0.1), 200).fit(X, y)
    assert (np.diff(fitted.history) <= 1e-14 * fitted.history[0]).all()


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


# --- agreement ---


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


# --- what regularization does ---


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
    assert float(l1_penalty(one, 0.5)) == float(l1_penalty(spread, 0.5)) == 2
    assert float(l2_penalty(one, 0.5)) == 4 * float(l2_penalty(spread, 0.5)) == 4
    X, y = DATA
    w = RidgeRegression(0.1, "auto").fit(X[:, [0, 0, 0, 0]], y).get_weights()
    np.testing.assert_allclose(w, w[0], rtol=1e-9)
    assert w[0] > 0.1


def test_the_gradient_of_the_whole_is_that_of_the_data_and_lambda_times_w(dtype):
    X, y = (jnp.asarray(part, dtype) for part in DATA)
    w = jnp.linspace(-1, 1, 5, dtype=dtype)
    lambda_ = 0.3

    def loss(w):
        return jnp.sum((y - X @ w) ** 2) / (2 * len(y))

    whole = jax.grad(penalized_loss(loss, L2(lambda_)))(w)
    by_hand = X.T @ (X @ w - y) / len(y) + lambda_ * w
    tolerance = 30 * np.finfo(dtype).eps
    np.testing.assert_allclose(whole, by_hand, rtol=tolerance, atol=20 * tolerance)
    np.testing.assert_allclose(
        whole, jax.grad(loss)(w) + l2_gradient(w, lambda_), rtol=tolerance, atol=tolerance
    )


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


def test_the_default_rate_warns_far_from_the_optimum(model):
    X, y = load_diabetes(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="auto"):
        fitted = model(1e-3).fit(X, y)
    assert fitted.kkt_residual > 1e-3
    assert len(fitted.history) == 1001


def test_the_warning_comes_above_a_residual_of_one_in_a_thousand(model):
    with pytest.warns(ConvergenceWarning, match="200 iterations"):
        assert 1e-3 < model(0.1, 0.05, 200).fit(*DATA).kkt_residual < 4e-3
    assert 1e-4 < model(0.1, 0.05, 300).fit(*DATA).kkt_residual < 1e-3


# --- degenerate data ---


STRENGTHS_AND_RATES = [(0.0, "auto"), (0.0, 0.05), (0.1, "auto")]


@pytest.mark.parametrize(("lambda_", "rate"), STRENGTHS_AND_RATES)
# The mean of ten times 0.1 is not 0.1 in floating point, that of ten times 1 is 1.
@pytest.mark.parametrize("constant", [1.0, 0.1, -1e6 / 3])
def test_a_constant_column_gets_the_weight_zero(model, constant, lambda_, rate):
    X, y = DATA[0][:10, :3].copy(), DATA[1][:10]
    X[:, 1] = constant
    without = model(lambda_, rate, 5000).fit(X[:, [0, 2]], y)
    fitted = model(lambda_, rate, 5000).fit(X, y)
    assert fitted.get_weights()[1] == 0
    np.testing.assert_allclose(fitted.get_weights()[[0, 2]], without.get_weights(), atol=1e-7)
    assert fitted.intercept == pytest.approx(without.intercept, abs=1e-6)


@pytest.mark.parametrize(("lambda_", "rate"), STRENGTHS_AND_RATES)
@pytest.mark.parametrize("constant", [1.0, 0.1])
def test_columns_that_are_all_constant_leave_the_mean(model, constant, lambda_, rate):
    y = DATA[1][:10]
    fitted = model(lambda_, rate).fit(np.full((10, 2), constant), y)
    np.testing.assert_array_equal(fitted.get_weights(), 0)
    assert fitted.intercept == pytest.approx(y.mean(), rel=1e-14)
    assert fitted.kkt_residual == 0


@pytest.mark.parametrize(("lambda_", "rate"), STRENGTHS_AND_RATES)
@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1, 1e6 / 3])
def test_a_constant_response_gives_zero_weights_and_itself(model, constant, lambda_, rate):
    fitted = model(lambda_, rate).fit(DATA[0][:11], np.full(11, constant))
    np.testing.assert_allclose(fitted.get_weights(), 0, atol=1e-15 * (1 + constant))
    assert fitted.intercept == pytest.approx(constant, rel=1e-12)


def test_a_single_row_is_predicted_as_itself(model):
    fitted = model(0.1, "auto").fit([[1.0, 2.0]], [3.0])
    np.testing.assert_array_equal(fitted.get_weights(), 0)
    assert fitted.intercept == 3


# --- types ---


def test_float32_data_stays_float32_and_is_as_accurate(model):
    X, y = (part.astype(np.float32) for part in DATA)
    fitted = model(0.1, "auto").fit(X, y)
    assert fitted.get_weights().dtype == fitted.history.dtype == np.float32
    assert fitted.predict(X).dtype == np.float32
    exact = model(0.1, "auto").fit(X.astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(fitted.get_weights(), exact.get_weights(), atol=3e-6)
    np.testing.assert_allclose(fitted.predict(X), exact.predict(X), rtol=3e-6)


def test_float32_means_of_many_rows_do_not_drift():
    # Adding up 20,000 numbers near 100 one by one in float32 is off in the fifth digit.
    rng = np.random.default_rng(8)
    X = (rng.normal(size=(20_000, 3)) + 100).astype(np.float32)
    y = (X @ np.array([1.0, -2.0, 0.5])).astype(np.float32)
    fitted = RidgeRegression(1e-3, "auto").fit(X, y)
    exact = RidgeRegression(1e-3, "auto").fit(X.astype(np.float64), y.astype(np.float64))
    gap = fitted.predict(X[:100]) - exact.predict(X[:100].astype(np.float64))
    # Products of size 200 in float32 leave about 2e-5 each.
    assert np.max(np.abs(gap)) < 1e-4


def test_float32_fits_of_nearly_equal_columns_are_as_good_as_float32_allows():
    # The condition number of X is about 700: rounding in float32 moves the weights by 1e-4
    # of their size, if that number is not squared on the way.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    X[:, 1] = X[:, 0] + 3e-3 * X[:, 1]
    X = X.astype(np.float32)
    y = (X @ np.array([1.0, 2.0, 3.0]) + 0.1 * rng.normal(size=60)).astype(np.float32)
    fitted = RidgeRegression(0.0, "auto", 20_000).fit(X, y)
    exact = ridge_by_lstsq(X.astype(np.float64), y.astype(np.float64), 0.0)
    assert fitted.get_weights().dtype == np.float32
    assert np.max(np.abs(fitted.get_weights() - exact)) < 1e-3 * np.max(np.abs(exact))


@pytest.mark.parametrize(
    "convert",
    [
        lambda a: a.tolist(),
        lambda a: a.astype(np.int64),
        lambda a: a.astype(np.int8),
        lambda a: np.asfortranarray(a.astype(np.float16)),
        lambda a: a > 0,
        lambda a: jnp.asarray(a, jnp.float32),
    ],
    ids=["list", "int64", "int8", "float16", "bool", "jax"],
)
def test_lists_integers_and_jax_arrays_are_taken(convert):
    X, y = (np.round(part) for part in DATA)
    X, y = convert(X - 3), convert(y - 8)
    fitted = RidgeRegression(0.1, "auto").fit(X, y)
    X, y = np.asarray(X, np.float64), np.asarray(y, np.float64)
    np.testing.assert_allclose(fitted.get_weights(), ridge_by_lstsq(X, y, 0.1), atol=1e-5)


def test_jax_stays_at_its_own_precision(model, dtype):
    before = jax.config.jax_enable_x64
    for kind in (np.float32, np.float64):
        X, y = (part.astype(kind) for part in DATA)
        fitted = model(0.1, "auto").fit(X, y)
        assert type(fitted.get_weights()) is type(fitted.predict(X)) is np.ndarray
        assert fitted.get_weights().dtype == kind
        assert jax.config.jax_enable_x64 == before
        assert jnp.ones(1).dtype == dtype


# --- refusals ---


def bad_data():
    X, y = DATA
    holed, infinite, short = X.copy(), X.copy(), y[:-1]
    holed[3, 2] = np.nan
    infinite[0, 4] = np.inf
    return {
        "nan": (holed, y, ValueError, r"column\(s\) \[2\]"),
        "inf": (infinite, y, ValueError, r"column\(s\) \[4\]"),
        "nan_response": (X, np.where(y > 8, np.nan, y), ValueError, "y holds NaN"),
        "no_rows": (X[:0], y[:0], ValueError, "empty"),
        "no_columns": (X[:, :0], y, ValueError, "empty"),
        "lengths": (X, short, ValueError, "40 rows but y has 39"),
        "vector": (X[:, 0], y, ValueError, "reshape"),
        "cube": (X[:, :, None], y, ValueError, "n_samples, n_features"),
        "column_response": (X, y[:, None], ValueError, "ravel"),
        "scalar_response": (X, 1.0, ValueError, "n_samples"),
        "text": (X.astype(str), y, TypeError, "real numbers"),
        "text_response": (X, y.astype(str), TypeError, "real numbers"),
        "complex": (X * 1j, y, TypeError, "real numbers"),
        "objects": (X.astype(object), y, TypeError, "real numbers"),
        "nothing": (None, y, TypeError, "real numbers"),
    }


BAD_DATA = bad_data()


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_is_refused_by_name(model, name):
    X, y, error, message = BAD_DATA[name]
    with pytest.raises(error, match=message):
        model(0.1, "auto").fit(X, y)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_a_response_beyond_float32_is_refused_with_float32_features():
    X, y = DATA
    with pytest.raises(ValueError, match="y holds"):
        RidgeRegression(0.1, "auto").fit(X.astype(np.float32), y * 1e300)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"lambda_": -0.1}, ValueError, "lambda_"),
        ({"lambda_": np.nan}, ValueError, "lambda_"),
        ({"lambda_": np.inf}, ValueError, "lambda_"),
        ({"lambda_": "1"}, TypeError, "lambda_"),
        ({"lambda_": True}, TypeError, "lambda_"),
        ({"lambda_": None}, TypeError, "lambda_"),
        ({"lambda_": [0.1, 0.2]}, (TypeError, ValueError), "lambda_"),
        ({"lambda_": np.array([0.1, 0.2])}, (TypeError, ValueError), "lambda_"),
        ({"lambda_": jnp.array(-0.1)}, (TypeError, ValueError), "lambda_"),
        ({"learning_rate": 0}, ValueError, "learning_rate"),
        ({"learning_rate": -0.1}, ValueError, "learning_rate"),
        ({"learning_rate": np.nan}, ValueError, "learning_rate"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate"),
        ({"learning_rate": None}, TypeError, "learning_rate"),
        ({"n_iterations": 0}, ValueError, "n_iterations"),
        ({"n_iterations": -1}, ValueError, "n_iterations"),
        ({"n_iterations": 10.0}, TypeError, "n_iterations"),
        ({"n_iterations": "10"}, TypeError, "n_iterations"),
        ({"n_iterations": True}, TypeError, "n_iterations"),
    ],
    ids=str,
)
def test_bad_settings_are_refused_when_they_are_given(settings, error, message):
    with pytest.raises(error, match=message):
        ElasticNetRegression(**settings)


def test_every_model_checks_its_settings(model):
    for settings in ({"lambda_": -0.1}, {"learning_rate": -0.1}, {"n_iterations": 0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            model(**settings)


@pytest.mark.parametrize("l1_ratio", [-0.01, 1.01, np.nan])
def test_a_mixing_weight_outside_zero_and_one_is_refused(l1_ratio):
    with pytest.raises(ValueError, match="l1_ratio"):
        ElasticNetRegression(l1_ratio=l1_ratio)


def test_numpy_integers_are_iterations():
    assert RidgeRegression(n_iterations=np.int32(7)).n_iterations == 7


def test_what_needs_a_fit_says_so(model):
    for use in (model().get_weights, lambda: model().predict(DATA[0])):
        with pytest.raises(RuntimeError, match="fit"):
            use()


def test_predictions_refuse_data_that_does_not_fit(model):
    fitted = model(0.1, "auto").fit(*DATA)
    with pytest.raises(ValueError, match="4 features but the fit had 5"):
        fitted.predict(DATA[0][:, :4])
    with pytest.raises(ValueError, match="NaN"):
        fitted.predict(np.full((2, 5), np.nan))
    with pytest.raises(ValueError, match="n_features"):
        fitted.predict(DATA[0][0])


def test_traced_data_is_refused(model):
    X, y = DATA
    with pytest.raises(TypeError, match="traced"):
        jax.jit(lambda X: model().fit(X, y).intercept)(X)
    with pytest.raises(TypeError, match="traced"):
        jax.grad(lambda y: model().fit(X, y).intercept)(y)
    fitted = model(0.1, "auto").fit(X, y)
    with pytest.raises(TypeError, match="traced"):
        jax.jit(fitted.predict)(X)
