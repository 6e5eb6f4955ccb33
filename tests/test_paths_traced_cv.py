"""Cross-validation in traced code beside that of NumPy."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
import scipy.sparse

from regjax.paths import (
    elastic_net_cv,
    k_folds,
    lasso_cv,
    sufficient_statistics,
    time_ordered_folds,
)
from regjax.paths.settings import Settings
from regjax.paths.traced import cross_validation as traced

N_LAMBDAS = 12
SIZES = {"tall": (40, 12), "wide": (18, 24), "screened": (15, 140)}


def traced_cv(X, y, folds, **settings):
    """What JAX runs on an accelerator: a program for arrays whose values are known, too."""
    return traced.traced_cv(X, y, 1.0, folds, Settings.of("traced_cv", settings))


def make(n, p, dtype=np.float64, seed=0, targets=None):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + rng.normal(size=p)
    b = np.where(rng.random((p, targets or 1)) < 4 / p, rng.normal(size=(p, targets or 1)), 0.0)
    y = X @ b + 1.0 + 0.5 * rng.normal(size=(n, targets or 1))
    return X.astype(dtype), (y if targets else y[:, 0]).astype(dtype)


def check(found, X, y, dtype=np.float64, **settings):
    """All that cross-validation returns is what NumPy finds."""
    found = jax.tree.map(np.asarray, found)
    X, y = np.asarray(X, float), np.asarray(y, float)
    settings["lambdas"] = np.asarray(found.lambdas, float).reshape(-1, N_LAMBDAS)[0]
    host = elastic_net_cv(X, y, tol=1e-13, **settings)
    accuracy = 1e-3 if dtype == np.float64 else 3e-2
    for name in ("lambdas", "fold_errors", "mean_error", "standard_error", "l1_ratios"):
        expected = getattr(host, name)
        assert getattr(found, name).dtype == dtype
        np.testing.assert_allclose(getattr(found, name), expected, rtol=accuracy, err_msg=name)
    assert not np.any(found.path.status)
    for name in ("l1_ratio", "lambda_", "lambda_1se"):
        np.testing.assert_allclose(getattr(found, name), getattr(host, name), rtol=1e-5)
    scale = np.abs(host.path.coef).max()
    for name in ("coef", "coef_1se"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(host, name), atol=accuracy * scale, err_msg=name
        )
    np.testing.assert_allclose(found.path.coef, host.path.coef, atol=accuracy * scale)
    np.testing.assert_allclose(found.intercept, host.intercept, atol=accuracy * np.abs(y).max())


@pytest.mark.parametrize(
    ("size", "dtype"),
    [
        ("wide", np.float32),
        pytest.param("screened", np.float64, marks=pytest.mark.slow),
    ],
)
def test_it_finds_what_numpy_finds(size, dtype):
    X, y = make(*SIZES[size], dtype)
    tol = 1e-9 if dtype == np.float64 else 1e-6
    with jax.enable_x64(dtype == np.float64):
        found = jax.jit(lambda X, y: lasso_cv(X, y, n_lambdas=N_LAMBDAS, folds=3, tol=tol))(X, y)
    assert isinstance(found.coef, jax.Array)
    check(found, X, y, dtype, folds=3)


@functools.cache
def lanes():
    """Data, mixes and what is found in lanes of all sorts: those of folds without weight last."""
    n, p = SIZES["tall"]
    data = [make(n, p, seed=seed) for seed in (0, 1, 0, 0, 0)]
    X, y = (np.stack(part) for part in zip(*data, strict=True))
    X[2, 3, 2] = np.nan
    weight = np.ones((5, n))
    train, test = k_folds(n, 3)[1]
    weight[3, test] = 0.0
    weight[4, train] = 0.0
    ratios = np.array([0.5, 1.0, 1.0, 1.0, 1.0])

    def choose(X, y, weight, ratio):
        settings = {"sample_weight": weight, "n_lambdas": N_LAMBDAS, "folds": 3, "tol": 1e-9}
        return elastic_net_cv(X, y, l1_ratio=ratio, **settings)

    with jax.enable_x64(True):
        found = jax.jit(jax.vmap(choose))(X, y, weight, ratios)
    assert isinstance(found.coef, jax.Array)
    return X, y, ratios, jax.tree.map(np.asarray, found)


def lane(found, k):
    return jax.tree.map(lambda a: a[k], found)


@pytest.mark.parametrize("k", [0, 1])
def test_it_maps_over_data_and_over_mixes(k):
    X, y, ratios, found = lanes()
    check(lane(found, k), X[k], y[k], l1_ratio=ratios[k], folds=3)


@pytest.mark.parametrize("k", [2, 3, 4], ids=["not a number", "no test rows", "no training rows"])
def test_what_cannot_raise_is_not_certified(k):
    found = lane(lanes()[-1], k)
    assert found.path.status.all()
    assert np.isnan(found.coef).all()


SPLITS = {
    "repeated": lambda n: k_folds(n, 3, repeats=2),
    "in time": lambda n: time_ordered_folds(n, 2),
    "some rows": lambda n: [
        (np.arange(n - 4), np.arange(n - 4, n)),
        (np.arange(4, n), np.arange(4)),
    ],
}


@pytest.mark.parametrize(
    ("size", "splits"),
    [
        ("tall", "repeated"),
        pytest.param("tall", "some rows", marks=pytest.mark.slow),
        pytest.param("wide", "in time", marks=pytest.mark.slow),
    ],
)
def test_it_takes_any_splits_and_mixes_and_settings_alone_may_be_traced(size, splits, x64):
    n, p = SIZES[size]
    X, y = make(n, p)
    weight = np.random.default_rng(1).uniform(0.5, 2, size=n)
    settings = {"folds": SPLITS[splits](n), "sample_weight": weight, "lower": 0.0}

    def choose(fit_intercept, ratio, mix):
        traced = {"fit_intercept": fit_intercept, "lambda_min_ratio": ratio, "l1_ratio": [mix, 1.0]}
        return elastic_net_cv(X, y, n_lambdas=N_LAMBDAS, tol=1e-9, **traced, **settings)

    found = jax.tree.map(np.asarray, jax.jit(choose)(False, 0.01, 0.5))
    settings["fit_intercept"] = False
    host = elastic_net_cv(
        X, y, l1_ratio=[0.5, 1.0], n_lambdas=N_LAMBDAS, lambda_min_ratio=0.01, tol=1e-11, **settings
    )
    np.testing.assert_allclose(found.lambdas, host.lambdas, rtol=1e-9)
    np.testing.assert_allclose(found.lambdas[0], 2 * found.lambdas[1], rtol=1e-12)
    np.testing.assert_allclose(found.fold_errors, host.fold_errors, rtol=1e-3)
    assert found.l1_ratio == host.l1_ratio
    np.testing.assert_allclose(found.lambda_1se, host.lambda_1se)
    np.testing.assert_allclose(found.coef, host.coef, atol=1e-3)
    np.testing.assert_allclose(found.intercept, 0, atol=0)


def test_responses_choose_for_themselves_in_single_precision(x64):
    """Rows and columns are filled up; in 64-bit mode, too, nothing is of another precision."""
    X, y = make(41, 17, np.float32, targets=2)
    found = traced_cv(X, y, n_lambdas=N_LAMBDAS, folds=3)
    floats = [a for a in jax.tree.leaves(found) if np.issubdtype(a.dtype, np.floating)]
    assert {a.dtype for a in floats} == {np.dtype(np.float32)}
    found = jax.tree.map(np.asarray, found)
    assert found.coef.shape == (2, 17)
    for k in range(2):
        one = lane(dataclasses.replace(found, l1_ratios=found.l1_ratio, path=None), k)
        one = dataclasses.replace(one, l1_ratios=found.l1_ratios, path=found.path.select(k))
        check(one, X, y[:, k], np.float32, folds=3)


@pytest.mark.parametrize(
    ("size", "traced"),
    [("tall", True), pytest.param("wide", False, marks=pytest.mark.slow)],
)
def test_ridge_has_the_grid_the_errors_and_the_choices_of_numpy(size, traced, x64):
    """Of all rows, and of folds; the path of all rows is in it."""
    X, y = make(*SIZES[size])
    X = X * np.exp(np.random.default_rng(1).normal(size=X.shape[1]))

    def choose(X, y, l1_ratio=0.0):
        return elastic_net_cv(X, y, l1_ratio=l1_ratio, n_lambdas=N_LAMBDAS, folds=3)

    found = jax.tree.map(np.asarray, jax.jit(choose)(X, y, *[0.0] * traced))
    host = choose(X, y)
    assert not found.path.status.any()
    scale = np.abs(host.path.coef).max()
    for name in ("lambdas", "fold_errors", "mean_error", "standard_error"):
        np.testing.assert_allclose(getattr(found, name), getattr(host, name), rtol=1e-7)
    for name in ("lambda_", "lambda_1se", "intercept"):
        np.testing.assert_allclose(getattr(found, name), getattr(host, name), rtol=1e-10)
    for name in ("coef", "coef_1se"):
        np.testing.assert_allclose(getattr(found, name), getattr(host, name), atol=1e-10 * scale)
    np.testing.assert_allclose(found.path.coef, host.path.coef, atol=1e-9 * scale)


def test_statistics_of_folds_are_enough(x64):
    X, y = make(40, 12)
    splits = k_folds(40, 4)
    parts = [sufficient_statistics(X[test], y[test]) for _, test in splits]
    found = jax.jit(lambda parts: lasso_cv(parts, n_lambdas=N_LAMBDAS, tol=1e-9))(parts)
    check(found, X, y, folds=splits)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda s: lasso_cv(s), "one for each fold"),
        (lambda s: lasso_cv([s, s], folds=3), "leave folds"),
        (lambda s: lasso_cv([s]), "at least two"),
        (lambda s: lasso_cv(s.xx, s.x_mean, folds=[]), "at least two"),
        (lambda s: elastic_net_cv(s.xx, s.x_mean, folds=2, l1_ratio=[0.5, 2.0]), "l1_ratio"),
        (lambda s: elastic_net_cv(s.xx, s.x_mean, folds=2, l1_ratio=[]), "l1_ratio is empty"),
        (lambda s: lasso_cv(s.xx, s.x_mean, folds=2, lambdas=[1.0, -1.0]), "lambdas must be"),
        (lambda s: lasso_cv(s.xx, s.x_mean, folds=2, lambda_min_ratio=0.0), "lambda_min_ratio"),
        (lambda s: lasso_cv(s.xx, s.x_mean, folds=2, tol=-1.0), "tol must be"),
    ],
)
def test_what_can_be_seen_to_be_wrong_raises(call, text):
    statistics = sufficient_statistics(*make(40, 12))
    with pytest.raises(ValueError, match=text):
        jax.jit(call)(statistics)


def test_sparse_matrices_are_refused_by_name():
    with pytest.raises(TypeError, match="X is sparse"):
        jax.jit(lambda y: lasso_cv(scipy.sparse.eye_array(40, format="csr"), y))(np.ones(40))


@pytest.mark.slow
def test_fits_of_many_sizes_share_few_programs(x64):
    """Arrays whose values are there are filled up: the number of rows is not compiled for."""
    before = traced._searched._cache_size(), traced._of_parts._cache_size()
    for n in range(210, 260, 5):
        X, y = make(n, 12, seed=n)
        found = traced_cv(X, y, n_lambdas=4, folds=3)
        assert not found.path.status.any()
    assert traced._searched._cache_size() - before[0] == 1
    # Sizes of the rows, and of their thirds.
    assert traced._of_parts._cache_size() - before[1] <= 6
    check(traced_cv(X, y, n_lambdas=N_LAMBDAS, folds=3, tol=1e-9), X, y, folds=3)
