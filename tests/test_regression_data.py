"""Regressions on degenerate data and on every type of array."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from regression_problems import DATA, MODELS, every_model, ridge_by_lstsq

from regjax import RidgeRegression

# --- degenerate data ---

STRENGTHS_AND_RATES = [(0.0, "auto"), (0.0, 0.05), (0.1, "auto")]


def constants(*values):
    """Run a test on pairs of models and constants, with strengths and rates by turns."""
    rows = [
        (model, value, *STRENGTHS_AND_RATES[(i + j) % 3])
        for i, model in enumerate(MODELS.values())
        for j, value in enumerate(values)
    ]
    return pytest.mark.parametrize(("model", "constant", "lambda_", "rate"), rows)


# The mean of ten times 0.1 is not 0.1 in floating point, that of ten times 1 is 1.
@constants(1.0, 0.1, -1e6 / 3)
def test_a_constant_column_gets_the_weight_zero(model, constant, lambda_, rate):
    X, y = DATA[0][:10, :3].copy(), DATA[1][:10]
    X[:, 1] = constant
    without = model(lambda_, rate, 5000).fit(X[:, [0, 2]], y)
    fitted = model(lambda_, rate, 5000).fit(X, y)
    assert fitted.get_weights()[1] == 0
    np.testing.assert_allclose(fitted.get_weights()[[0, 2]], without.get_weights(), atol=1e-7)
    assert fitted.intercept == pytest.approx(without.intercept, abs=1e-6)


@constants(1.0, 0.1, -1e6 / 3)
def test_columns_that_are_all_constant_leave_the_mean(model, constant, lambda_, rate):
    y = DATA[1][:10]
    fitted = model(lambda_, rate).fit(np.full((10, 2), constant), y)
    np.testing.assert_array_equal(fitted.get_weights(), 0)
    assert fitted.intercept == pytest.approx(y.mean(), rel=1e-14)
    assert fitted.kkt_residual == 0


@constants(0.0, 1.0, 0.1, 1e6 / 3)
def test_a_constant_response_gives_zero_weights_and_itself(model, constant, lambda_, rate):
    fitted = model(lambda_, rate).fit(DATA[0][:11], np.full(11, constant))
    np.testing.assert_allclose(fitted.get_weights(), 0, atol=1e-15 * (1 + constant))
    assert fitted.intercept == pytest.approx(constant, rel=1e-12)


@every_model
def test_a_single_row_is_predicted_as_itself(model):
    fitted = model(0.1, "auto").fit([[1.0, 2.0]], [3.0])
    np.testing.assert_array_equal(fitted.get_weights(), 0)
    assert fitted.intercept == 3


# --- types ---


@every_model
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


@every_model
def test_jax_stays_at_its_own_precision(model, dtype):
    before = jax.config.jax_enable_x64
    for kind in (np.float32, np.float64):
        X, y = (part.astype(kind) for part in DATA)
        fitted = model(0.1, "auto").fit(X, y)
        assert type(fitted.get_weights()) is type(fitted.predict(X)) is np.ndarray
        assert fitted.get_weights().dtype == kind
        assert jax.config.jax_enable_x64 == before
        assert jnp.ones(1).dtype == dtype
