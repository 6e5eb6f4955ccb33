"""What the regressions refuse, and in which words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from regression_problems import DATA, every_model

from regjax import ElasticNetRegression, RidgeRegression


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
@every_model
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


@every_model
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


@every_model
def test_what_needs_a_fit_says_so(model):
    for use in (model().get_weights, lambda: model().predict(DATA[0])):
        with pytest.raises(RuntimeError, match="fit"):
            use()


@every_model
def test_predictions_refuse_data_that_does_not_fit(model):
    fitted = model(0.1, "auto").fit(*DATA)
    with pytest.raises(ValueError, match="4 features but the fit had 5"):
        fitted.predict(DATA[0][:, :4])
    with pytest.raises(ValueError, match="NaN"):
        fitted.predict(np.full((2, 5), np.nan))
    with pytest.raises(ValueError, match="n_features"):
        fitted.predict(DATA[0][0])


@every_model
def test_traced_data_is_refused(model):
    X, y = DATA
    with pytest.raises(TypeError, match="traced"):
        jax.jit(lambda X: model().fit(X, y).intercept)(X)
    with pytest.raises(TypeError, match="traced"):
        jax.grad(lambda y: model().fit(X, y).intercept)(y)
    fitted = model(0.1, "auto").fit(X, y)
    with pytest.raises(TypeError, match="traced"):
        jax.jit(fitted.predict)(X)
