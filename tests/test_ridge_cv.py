"""Cross-validated ridge against refits without each row, scikit-learn, and plain algebra."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_diabetes
from sklearn.linear_model import RidgeCV

from regjax.paths import elastic_net_cv, k_folds, lasso_cv, ridge_cv, ridge_path

SIZES = {"tall": (40, 6), "wide": (15, 40), "square": (20, 20)}
sizes = pytest.mark.parametrize("size", SIZES)
LAMBDAS = [10.0, 0.3, 0.01]
SETTINGS = {
    "plain": {},
    "no intercept": {"fit_intercept": False},
    "weighted": {"sample_weight": "random"},
    "standardised": {"standardize": True},
    "unpenalised and left out": {"penalty_weights": "mixed"},
    "all at once": {
        "penalty_weights": "mixed",
        "sample_weight": "some zero",
        "standardize": True,
    },
}


def make(n, p, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * rng.uniform(0.5, 2, size=p) + rng.normal(size=p)
    return X, X @ rng.normal(size=p) / np.sqrt(p) + rng.normal(size=n)


def fill(setting, n, p):
    rng = np.random.default_rng(1)
    chosen = dict(SETTINGS[setting])
    if "penalty_weights" in chosen:
        weights = rng.uniform(0.5, 2, size=p)
        weights[:2], weights[2] = 0.0, np.inf
        chosen["penalty_weights"] = weights
    if "sample_weight" in chosen:
        weight = rng.uniform(0.5, 2, size=n)
        if chosen["sample_weight"] == "some zero":
            weight[3:5] = 0.0
        chosen["sample_weight"] = weight
    return chosen


def without_each_row(X, y, chosen):
    """Return squared errors (n, n_lambdas) of fits in which one row has the weight 0."""
    n, p = X.shape
    weight = chosen.get("sample_weight", np.ones(n))
    factors = np.array(chosen.get("penalty_weights", np.ones(p)))
    if chosen.get("standardize"):
        mean = np.average(X, axis=0, weights=weight)
        factors = factors * np.average((X - mean) ** 2, axis=0, weights=weight)
    errors = []
    for i in np.flatnonzero(weight):
        rest = weight.copy()
        rest[i] = 0.0
        # The sum of the weights is smaller, and what is held is their sum times lambda.
        lambdas = np.array(LAMBDAS) * weight.sum() / rest.sum()
        path = ridge_path(
            X,
            y,
            lambdas=lambdas,
            sample_weight=rest,
            penalty_weights=factors,
            fit_intercept=chosen.get("fit_intercept", True),
            tol=1e-12,
        )
        errors.append((y[i] - path.predict(X[i : i + 1])[:, 0]) ** 2)
    return np.array(errors), weight[weight > 0]


@sizes
@pytest.mark.parametrize("setting", SETTINGS)
def test_leaving_one_out_is_refitting_without_it(size, setting):
    X, y = make(*SIZES[size])
    chosen = fill(setting, *X.shape)
    found = ridge_cv(X, y, lambdas=LAMBDAS, **chosen)
    expected, weight = without_each_row(X, y, chosen)
    np.testing.assert_allclose(found.fold_errors[0], expected, rtol=1e-5, atol=1e-12)
    mean = np.average(expected, axis=0, weights=weight)
    np.testing.assert_allclose(found.mean_error[0], mean, rtol=1e-5)
    share = weight / weight.sum()
    spread = np.sqrt((share**2) @ (expected - mean) ** 2)
    np.testing.assert_allclose(found.standard_error[0], spread, rtol=1e-4)
    k = mean.argmin()
    assert found.lambda_ == LAMBDAS[k]
    whole = ridge_path(X, y, lambdas=LAMBDAS, **chosen)
    np.testing.assert_allclose(found.coef, whole.coef[k], atol=1e-6)
    np.testing.assert_allclose(found.path.coef, whole.coef, atol=1e-6)
    assert found.lambda_1se == max(np.array(LAMBDAS)[mean <= mean[k] + spread[k]])


@sizes
@pytest.mark.parametrize("setting", SETTINGS)
def test_gcv_puts_the_mean_leverage_in_the_place_of_each(size, setting):
    X, y = make(*SIZES[size])
    chosen = fill(setting, *X.shape)
    found = ridge_cv(X, y, lambdas=LAMBDAS, folds="gcv", **chosen)
    weight = chosen.get("sample_weight", np.ones(len(y)))
    used = weight > 0
    path = ridge_path(X, y, lambdas=LAMBDAS, tol=1e-12, **chosen)
    residual = y - path.predict(X)
    # The trace of H by moving every response in turn: the fit is linear in it.
    trace = np.zeros(len(LAMBDAS))
    for i in np.flatnonzero(used):
        moved = y.copy()
        moved[i] += 1
        other = ridge_path(X, moved, lambdas=LAMBDAS, tol=1e-12, **chosen)
        trace += (other.predict(X[i : i + 1]) - path.predict(X[i : i + 1]))[:, 0]
    rss = np.average(residual**2, axis=1, weights=weight)
    expected = rss / (1 - trace / used.sum()) ** 2
    np.testing.assert_allclose(found.mean_error[0], expected, rtol=1e-5)
    assert found.lambda_ == LAMBDAS[expected.argmin()] == found.lambda_1se
    assert np.isnan(found.standard_error).all()
    assert found.fold_errors.shape[1] == 0


@sizes
def test_scikit_learn_agrees(size):
    X, y = make(*SIZES[size])
    grid = np.geomspace(1e-3, 10, 20)
    theirs = RidgeCV(len(y) * grid, store_cv_results=True).fit(X, y)
    ours = ridge_cv(X, y, lambdas=grid)
    errors = theirs.cv_results_[:, ::-1]
    np.testing.assert_allclose(ours.fold_errors[0], errors, rtol=1e-6)
    assert ours.lambda_ * len(y) == pytest.approx(theirs.alpha_)
    np.testing.assert_allclose(ours.coef, theirs.coef_, atol=1e-8)


@sizes
@pytest.mark.parametrize("lambdas", [None, LAMBDAS])
@pytest.mark.parametrize("folds", ["leave-one-out", "gcv", 4])
def test_responses_are_lanes_and_sparse_rows_are_rows(size, lambdas, folds):
    X, y = make(*SIZES[size])
    Y = np.stack([y, 5 + X[:, 0] - 2 * y], axis=1)
    both = ridge_cv(scipy.sparse.csr_array(X), Y, lambdas=lambdas, n_lambdas=7, folds=folds)
    for k in range(2):
        one = ridge_cv(X, Y[:, k], lambdas=lambdas, n_lambdas=7, folds=folds)
        for name in [f.name for f in dataclasses.fields(one)][1:-1]:
            np.testing.assert_allclose(
                getattr(both, name)[k], getattr(one, name), rtol=1e-6, atol=1e-9
            )


def test_blocks_of_rows_change_nothing(monkeypatch):
    X, y = make(40, 6)
    whole = ridge_cv(X, y, lambdas=LAMBDAS)
    monkeypatch.setattr("regjax.paths.leave_one_out._BLOCK_ENTRIES", 45)
    parts = ridge_cv(X, y, lambdas=LAMBDAS)
    np.testing.assert_allclose(parts.fold_errors, whole.fold_errors, rtol=1e-12)


def test_folds_are_those_of_the_elastic_net():
    X, y = make(40, 6)
    splits = k_folds(40, 3, seed=4)
    ours, same = ridge_cv(X, y, folds=splits), elastic_net_cv(X, y, l1_ratio=0.0, folds=splits)
    np.testing.assert_array_equal(ours.fold_errors, same.fold_errors)
    assert ours.lambda_ != lasso_cv(X, y, folds=splits).lambda_


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folds": "loo"}, "leave-one-out"),
        ({"lambdas": [1.0, 0.0]}, "above 0"),
        ({"sample_weight": np.ones((2, 40))}, "one weighting"),
        ({"lambdas": []}, "non-empty"),
    ],
)
def test_what_cannot_be_used_is_refused(settings, message):
    X, y = make(40, 6)
    with pytest.raises(ValueError, match=message):
        ridge_cv(X, y, **settings)


@pytest.mark.parametrize("folds", ["leave-one-out", "gcv", 5])
@pytest.mark.parametrize("standardize", [False, True])
def test_the_default_grid_holds_the_best_strength(folds, standardize):
    X, y = load_diabetes(return_X_y=True)
    found = ridge_cv(X, y, folds=folds, standardize=standardize)
    place = int(np.argmin(found.mean_error[0]))
    assert 0 < place < len(found.lambdas[0]) - 1
    lambdas = np.geomspace(1e-9, 1e3, 200)
    anywhere = ridge_cv(X, y, lambdas=lambdas, folds=folds, standardize=standardize)
    assert found.mean_error.min() <= 1.001 * anywhere.mean_error.min()
