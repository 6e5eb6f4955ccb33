"""Whatever form the data come in, the path is that of the dense matrix, one response at a time."""

import dataclasses
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
import scipy.sparse
from jax.experimental import sparse as jax_sparse

from regjax.paths import (
    elastic_net_cv,
    elastic_net_path,
    k_folds,
    lasso_cv,
    lasso_path,
    multi_task_path,
    ridge_cv,
    statistics_of_batches,
    sufficient_statistics,
)

SIZES = {"few columns": (60, 8), "more columns": (150, 90), "few rows": (20, 150)}
sizes = pytest.mark.parametrize("size", SIZES)


def make(n, p, seed=0, density=0.2):
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((n, p)) < density, rng.normal(size=(n, p)) + 1, 0.0)
    b = np.where(rng.random(p) < 0.3, rng.normal(size=p), 0.0)
    return X, X @ b + 1.0 + rng.normal(size=n)


def assert_same(path, other, scale=1.0):
    np.testing.assert_allclose(path.lambdas, other.lambdas, rtol=1e-9)
    np.testing.assert_allclose(path.coef, other.coef, atol=2e-4 * scale)
    np.testing.assert_allclose(path.intercept, other.intercept, atol=2e-4 * scale)
    assert not np.any(path.status)


# --- sparse ---


def bcoo(X):
    # Room for more entries than there are: the rest is padding beyond the last row.
    return jax_sparse.BCOO.fromdense(jnp.asarray(X), nse=int((X != 0).sum()) + 7)


def twice(X):
    """Return `X` with every entry stored as two halves."""
    rows, columns = np.nonzero(X)
    half = X[rows, columns] / 2
    place = (np.r_[rows, rows], np.r_[columns, columns])
    return scipy.sparse.coo_array((np.r_[half, half], place), shape=X.shape)


FORMS = {
    "csc": scipy.sparse.csc_array,
    "csr matrix": scipy.sparse.csr_matrix,
    "coo, entries twice": twice,
    "BCOO": bcoo,
}
SETTINGS = {
    "lasso": {},
    "elastic net": {"l1_ratio": 0.5, "standardize": True},
    "ridge": {"l1_ratio": 0.0},
    "ridge and none": {"l1_ratio": 0.0, "lambdas": [1.0, 0.1, 0.0]},
    "no intercept": {"fit_intercept": False},
    "weighted": {"sample_weight": "random"},
    "unpenalised and left out": {"penalty_weights": "mixed", "lower": -5.0},
}


def fill(setting, n, p):
    rng = np.random.default_rng(3)
    chosen = dict(SETTINGS[setting])
    if "sample_weight" in chosen:
        chosen["sample_weight"] = rng.uniform(0, 2, size=n)
    if "penalty_weights" in chosen:
        weights = rng.uniform(0.5, 2, size=p)
        weights[:2], weights[2:4] = 0.0, np.inf
        chosen["penalty_weights"] = weights
        chosen["lower"] = np.where(weights > 0, -5.0, -np.inf)
    return chosen


@sizes
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_sparse_matrix_has_the_path_of_the_dense_one(size, setting):
    X, y = make(*SIZES[size])
    chosen = {"n_lambdas": 10, "tol": 1e-10} | fill(setting, *X.shape)
    assert_same(elastic_net_path(FORMS["csc"](X), y, **chosen), elastic_net_path(X, y, **chosen))


@pytest.mark.parametrize(
    ("form", "dtype"),
    [
        ("csc", np.float64),
        ("csr matrix", np.int32),
        ("coo, entries twice", np.float64),
        ("BCOO", np.float32),
        ("BCOO", np.int32),
    ],
)
def test_every_sparse_form_is_understood(form, dtype):
    X, y = make(40, 12)
    X = np.round(4 * X).astype(dtype)
    stored = FORMS[form](X)
    assert_same(lasso_path(stored, y, tol=1e-10), lasso_path(X, y, tol=1e-10))
    found = lasso_cv(stored, y)
    np.testing.assert_allclose(found.fold_errors, lasso_cv(X, y).fold_errors, rtol=1e-3)
    np.testing.assert_allclose(found.predict(FORMS["csc"](X)), found.predict(X))


@sizes
@pytest.mark.parametrize("intercept", [True, False])
def test_sparse_columns_without_zeros_keep_their_digits(size, intercept):
    X, y = make(*SIZES[size])
    X[:, 1] = 1e8 + np.random.default_rng(4).normal(size=len(y))
    chosen = {"n_lambdas": 10, "fit_intercept": intercept, "tol": 1e-10}
    stored = scipy.sparse.csc_array(X)
    before = stored.data.copy()
    path, dense = lasso_path(stored, y, **chosen), lasso_path(X, y, **chosen)
    np.testing.assert_array_equal(stored.data, before)
    np.testing.assert_allclose(path.coef, dense.coef, atol=2e-4)
    # An intercept takes up what a coefficient of a column at 1e8 is uncertain by.
    np.testing.assert_allclose(path.predict(X), dense.predict(X), atol=1e-3 * np.std(y))


@pytest.mark.parametrize("density", [0.002, 0.02])
@pytest.mark.parametrize("shape", [(300, 30_000), (30_000, 300)])
def test_a_sparse_matrix_is_never_made_dense(shape, density):
    rng = np.random.default_rng(0)
    X = scipy.sparse.random_array(shape, density=density, format="csc", rng=rng)
    y = X[:, :5].sum(axis=1) + 0.1 * rng.normal(size=shape[0])
    tracemalloc.start()
    path = lasso_path(X, y, n_lambdas=20, lambda_min_ratio=0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not path.status.any()
    assert peak < 0.4 * 8 * shape[0] * shape[1]


# --- statistics ---


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("standardize", [False, True])
def test_statistics_have_the_path_of_their_rows(l1_ratio, standardize):
    X, y = make(90, 30, density=1.0)
    chosen = {"l1_ratio": l1_ratio, "standardize": standardize, "n_lambdas": 10, "tol": 1e-10}
    weight = np.random.default_rng(1).uniform(0.5, 2, size=90)
    whole = elastic_net_path(X, y, sample_weight=weight, **chosen)
    cuts = np.split(np.arange(90), [0, 20, 21, 70])
    batches = ((X[rows], y[rows], weight[rows]) for rows in cuts)
    assert_same(elastic_net_path(statistics_of_batches(batches), **chosen), whole)


def test_statistics_by_fold_have_the_cross_validation_of_their_rows():
    X, y = make(90, 30, density=1.0)
    splits = k_folds(90, 4)
    parts = [sufficient_statistics(X[test], y[test]) for _, test in splits]
    ours, rows = elastic_net_cv(parts), elastic_net_cv(X, y, folds=splits)
    np.testing.assert_allclose(ours.lambdas, rows.lambdas, rtol=1e-9)
    np.testing.assert_allclose(ours.fold_errors, rows.fold_errors, rtol=1e-3)
    assert ours.lambda_ == pytest.approx(rows.lambda_)
    # A column that varies in one fold alone is constant for those who train without it.
    X[:, 3] = 1e3
    X[splits[0][1][0], 3] += 1
    parts = [sufficient_statistics(X[test], y[test]) for _, test in splits]
    ours, rows = elastic_net_cv(parts), elastic_net_cv(X, y, folds=splits)
    np.testing.assert_allclose(ours.fold_errors, rows.fold_errors, rtol=1e-3)


@pytest.mark.parametrize("density", [0.01, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_statistics_of_sparse_rows_are_those_of_dense_ones(density, weighted):
    X, y = make(200, 15, density=density)
    X[:, 0] = 1e8 + np.random.default_rng(5).normal(size=200)
    weight = np.random.default_rng(1).uniform(0, 2, size=200) if weighted else None
    dense = sufficient_statistics(X, y, weight)
    for mine, other in zip(
        sufficient_statistics(scipy.sparse.csr_array(X), y, weight), dense, strict=True
    ):
        np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-6)


# --- several responses and several weightings ---


@sizes
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.0])
def test_lanes_are_paths_of_their_own(size, l1_ratio):
    X, y = make(*SIZES[size])
    rng = np.random.default_rng(2)
    Y = np.stack([y, rng.normal(size=len(y)), -3 * y + rng.normal(size=len(y))], axis=1)
    draws = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=2)
    chosen = {"l1_ratio": l1_ratio, "n_lambdas": 10, "tol": 1e-10}
    both = elastic_net_path(X, Y, sample_weight=draws, **chosen)
    assert both.coef.shape == (2, 3, 10, X.shape[1])
    assert both.predict(X[:4]).shape == (2, 3, 10, 4)
    one_y = elastic_net_path(X, Y[:, 1], sample_weight=draws, **chosen)
    for i, draw in enumerate(draws):
        several = elastic_net_path(X, Y, sample_weight=draw, **chosen)
        for k in range(3):
            alone = elastic_net_path(X, Y[:, k], sample_weight=draw, **chosen)
            scale = np.abs(alone.coef).max()
            rows = np.repeat(np.arange(len(y)), draw)
            drawn = elastic_net_path(X[rows], Y[rows, k], lambdas=alone.lambdas, **chosen)
            np.testing.assert_allclose(alone.coef, drawn.coef, atol=2e-4 * scale)
            assert_same(both.select(i, k), alone, scale)
            assert_same(several.select(k), alone, scale)
        assert_same(
            one_y.select(i),
            both.select(i, 1),
            np.abs(both.coef[i, 1]).max(),
        )


@sizes
def test_responses_are_cross_validated_each_on_its_own(size):
    X, y = make(*SIZES[size])
    Y = np.stack([y, np.random.default_rng(2).normal(size=len(y)) + X[:, 0]], axis=1)
    ratios = [0.3, 1.0]
    both = elastic_net_cv(X, Y, l1_ratio=ratios, n_lambdas=15, tol=1e-10)
    for k in range(2):
        one = elastic_net_cv(X, Y[:, k], l1_ratio=ratios, n_lambdas=15, tol=1e-10)
        scale = np.abs(one.path.coef).max()
        for name in [f.name for f in dataclasses.fields(one)][1:-1]:
            np.testing.assert_allclose(
                getattr(both, name)[k], getattr(one, name), rtol=1e-3, atol=2e-4 * scale
            )
        np.testing.assert_allclose(both.path.coef[k], one.path.coef, atol=2e-4 * scale)
        np.testing.assert_allclose(both.predict(X)[:, k], one.predict(X), atol=1e-3)


# --- frames, precision, refusals ---


def test_a_data_frame_keeps_its_names():
    X, y = make(30, 3)
    frame = pl.DataFrame(X, schema=["age", "bmi", "s1"])
    assert lasso_path(frame, y).feature_names == ("age", "bmi", "s1")
    assert lasso_cv(frame, y).path.feature_names == ("age", "bmi", "s1")
    assert lasso_path(X, y).feature_names is None


@sizes
def test_float32_data_are_solved_in_float64(size):
    X, y = make(*SIZES[size])
    X = X.astype(np.float32)
    path = lasso_path(X, y, n_lambdas=10, tol=1e-12)
    assert path.coef.dtype == np.float64
    np.testing.assert_array_equal(
        path.coef, lasso_path(X.astype(float), y, n_lambdas=10, tol=1e-12).coef
    )


def broken(statistics, **fields):
    return statistics._replace(**fields)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda X, y, s: lasso_path(X), ValueError, "y is missing"),
        (lambda X, y, s: lasso_cv(X), ValueError, "one for each fold"),
        (lambda X, y, s: lasso_cv([s]), ValueError, "at least two"),
        (lambda X, y, s: lasso_path(s, y), ValueError, "leave these out"),
        (lambda X, y, s: lasso_path(broken(s, xx=s.xx[:2])), ValueError, "do not fit"),
        (lambda X, y, s: lasso_path(broken(s, xx=s.xx * np.nan)), ValueError, "finite"),
        (lambda X, y, s: lasso_path(broken(s, weight=0.0)), ValueError, "positive weight"),
        (
            lambda X, y, s: lasso_cv([s, sufficient_statistics(X[:, :2], y)]),
            ValueError,
            "differ in their columns",
        ),
        (
            lambda X, y, s: statistics_of_batches([(X, y), (X[:, :2], y)]),
            ValueError,
            "Batch 1 has 2 columns",
        ),
        (lambda X, y, s: statistics_of_batches([]), ValueError, "no row"),
        (lambda X, y, s: lasso_path(X, y[:-1]), ValueError, "30 rows but y has 29"),
        (lambda X, y, s: lasso_path(X, np.full(30, np.nan)), ValueError, "NaN"),
        (lambda X, y, s: lasso_path(X, ["a"] * 30), TypeError, "real numbers"),
        (
            lambda X, y, s: lasso_path(X, y, sample_weight=np.ones((2, 29))),
            ValueError,
            "sample_weight must have shape",
        ),
        (
            lambda X, y, s: lasso_path(X, y, sample_weight=np.eye(30)[:2] * 0),
            ValueError,
            "not 0 everywhere",
        ),
        (
            lambda X, y, s: lasso_cv(X, y, sample_weight=np.ones((2, 30))),
            ValueError,
            "one weighting",
        ),
        (
            lambda X, y, s: lasso_cv(X, y, folds=3, sample_weight=np.eye(30)[0]),
            ValueError,
            "have the weight 0",
        ),
        (lambda X, y, s: lasso_path(X, y, n_lambdas=0), ValueError, "n_lambdas must be at least 1"),
        (lambda X, y, s: lasso_path(X, y, lambda_min_ratio=2), ValueError, r"in \(0, 1\], got 2"),
        (lambda X, y, s: lasso_path(X, y, lamda=[1.0]), TypeError, "'lamda'. .*lambdas"),
        (lambda X, y, s: lasso_path(X, y, upper=[1, 2]), ValueError, r"shape \(4,\), got \(2,\)"),
        (lambda X, y, s: lasso_path(X, np.empty((30, 0))), ValueError, "y must"),
        (lambda X, y, s: lasso_cv([s, s], sample_weight=np.ones(30)), ValueError, "leave sample"),
        (
            lambda X, y, s: sufficient_statistics(X, y, sample_weight=np.ones((2, 30))),
            ValueError,
            "one weighting",
        ),
        (lambda X, y, s: s + y, TypeError, "Expected SufficientStatistics, got ndarray"),
        (lambda X, y, s: lasso_path(X, X).at(0.1), ValueError, "take one of them by select"),
        (
            lambda X, y, s: lasso_path(scipy.sparse.csc_array(X * np.nan), y),
            ValueError,
            "NaN or infinity",
        ),
        (
            lambda X, y, s: lasso_path(scipy.sparse.csc_array((30, 0)), y),
            ValueError,
            "neither of them 0",
        ),
        (
            lambda X, y, s: lasso_path(scipy.sparse.csc_array(X * 1j), y),
            TypeError,
            "real numbers",
        ),
        (
            lambda X, y, s: lasso_path(jax_sparse.BCOO.fromdense(X, n_dense=1), y),
            ValueError,
            "no dense dimensions",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(call, error, message):
    X, y = make(30, 4)
    with pytest.raises(error, match=message):
        call(X, y, sufficient_statistics(X, y))


@pytest.mark.parametrize(
    ("name", "traced"),
    [
        ("X", lambda X, y, v: ridge_cv(v, y)),
        ("X", lambda X, y, v: multi_task_path(v, X)),
        ("sample_weight", lambda X, y, v: ridge_cv(X, y, sample_weight=v[:, 0] ** 2)),
        ("lambdas", lambda X, y, v: ridge_cv(X, y, lambdas=v[0] ** 2)),
        ("tol", lambda X, y, v: multi_task_path(X, X, tol=v[0, 0] ** 2)),
        ("l1_ratio", lambda X, y, v: multi_task_path(X, X, l1_ratio=v[0, 0])),
        ("penalty_weights", lambda X, y, v: ridge_cv(X, y, penalty_weights=v[0] ** 2)),
        ("y", lambda X, y, v: ridge_cv(X, v[:, 0])),
        ("y", lambda X, y, v: multi_task_path(X, v)),
        ("y", lambda X, y, v: sufficient_statistics(X, v)),
    ],
)
def test_what_runs_eagerly_names_what_is_traced(name, traced):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    with pytest.raises(TypeError, match=f"^{name} is traced: .*elastic_net_path"):
        jax.jit(lambda v: traced(X, y, v) and 0.0)(X)
