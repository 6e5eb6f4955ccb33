"""Cross-validation in traced code beside that of NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from quick import one_dtype, quick

from regjax.paths import (
    elastic_net_cv,
    k_folds,
    lasso_cv,
    sufficient_statistics,
    time_ordered_folds,
)
from regjax.paths._traced_cv import traced_cv

N_LAMBDAS = 12
SIZES = {"tall": (40, 12), "wide": (18, 24), "screened": (15, 140)}


def make(n, p, dtype=np.float64, seed=0, targets=None):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + rng.normal(size=p)
    b = np.where(rng.random((p, targets or 1)) < 4 / p, rng.normal(size=(p, targets or 1)), 0.0)
    y = X @ b + 1.0 + 0.5 * rng.normal(size=(n, targets or 1))
    return X.astype(dtype), (y if targets else y[:, 0]).astype(dtype)


def check(found, X, y, dtype=np.float64, **settings):
    """All that cross-validation returns is what NumPy finds."""
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


@pytest.mark.parametrize("size", quick(SIZES, "tall"))
@one_dtype
def test_it_finds_what_numpy_finds(size, dtype):
    X, y = make(*SIZES[size], dtype)
    tol = 1e-9 if dtype == np.float64 else 1e-6
    found = jax.jit(lambda X, y: lasso_cv(X, y, n_lambdas=N_LAMBDAS, folds=3, tol=tol))(X, y)
    assert isinstance(found.coef, jax.Array)
    check(found, X, y, dtype, folds=3)


SPLITS = {
    "repeated": lambda n: k_folds(n, 3, repeats=2),
    "in time": lambda n: time_ordered_folds(n, 2),
    "some rows": lambda n: [
        (np.arange(n - 4), np.arange(n - 4, n)),
        (np.arange(4, n), np.arange(4)),
    ],
}


@pytest.mark.parametrize("splits", quick(SPLITS, "repeated"))
@pytest.mark.parametrize("size", quick(["tall", "wide"], "tall"))
def test_it_takes_any_splits_weights_and_mixes(size, splits, x64):
    n, p = SIZES[size]
    X, y = make(n, p)
    weight = np.random.default_rng(1).uniform(0.5, 2, size=n)
    settings = {"folds": SPLITS[splits](n), "l1_ratio": [0.5, 1.0], "lower": 0.0}

    def choose(X, y, weight):
        return elastic_net_cv(X, y, sample_weight=weight, n_lambdas=N_LAMBDAS, tol=1e-9, **settings)

    found = jax.jit(choose)(X, y, weight)
    grids = np.asarray(found.lambdas)
    np.testing.assert_allclose(grids[0], 2 * grids[1], rtol=1e-12)
    for k, l1_ratio in enumerate(settings.pop("l1_ratio")):
        host = elastic_net_cv(
            X, y, sample_weight=weight, l1_ratio=l1_ratio, lambdas=grids[k], tol=1e-11, **settings
        )
        np.testing.assert_allclose(found.fold_errors[k], host.fold_errors[0], rtol=1e-3)
        if found.l1_ratio == l1_ratio:
            assert host.mean_error.min() == pytest.approx(float(found.mean_error.min()), rel=1e-3)
            np.testing.assert_allclose(found.lambda_1se, host.lambda_1se)
            np.testing.assert_allclose(found.coef, host.coef, atol=1e-3)


@pytest.mark.parametrize("size", quick(["tall", "screened"], "tall"))
def test_responses_choose_for_themselves(size, x64):
    X, y = make(*SIZES[size], targets=2)
    found = traced_cv(X, y, n_lambdas=N_LAMBDAS, folds=3, tol=1e-9)
    assert found.coef.shape == (2, X.shape[1])
    for k in range(2):
        one = jax.tree.map(lambda a, k=k: a[k] if jnp.ndim(a) else a, found)
        one = one._replace(l1_ratios=found.l1_ratios, path=found.path.select(k))
        check(one, X, y[:, k], folds=3)


def test_it_maps_over_data_and_over_mixes(x64):
    data = [make(40, 12, seed=seed) for seed in range(2)]
    X, y = (np.stack(part) for part in zip(*data, strict=True))
    ratios = np.array([0.5, 1.0])
    found = jax.jit(
        jax.vmap(lambda X, y, r: elastic_net_cv(X, y, l1_ratio=r, n_lambdas=N_LAMBDAS, tol=1e-9))
    )(X, y, ratios)
    for k in range(2):
        one = jax.tree.map(lambda a, k=k: a[k], found)
        check(one, X[k], y[k], l1_ratio=ratios[k])


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


def test_what_cannot_raise_is_not_certified(x64):
    X, y = make(40, 12)
    X[3, 2] = np.nan
    found = jax.jit(lambda X, y: lasso_cv(X, y, n_lambdas=N_LAMBDAS, folds=3))(X, y)
    assert found.path.status.all()
    assert np.isnan(found.coef).all()


def test_a_split_without_weight_leaves_no_choice(x64):
    X, y = make(40, 12)
    splits = k_folds(40, 2)
    settings = {"n_lambdas": N_LAMBDAS, "folds": splits}
    choose = jax.jit(lambda X, y, w: lasso_cv(X, y, sample_weight=w, **settings))
    for _, test in splits:
        weight = np.ones(40)
        weight[test] = 0.0
        found = choose(X, y, weight)
        assert found.path.status.all()
        assert np.isnan(found.coef).all()
    assert not choose(X, y, np.ones(40)).path.status.any()


def test_what_is_traced_may_be_a_setting_alone(x64):
    X, y = make(40, 12)

    def choose(fit_intercept, ratio, mix):
        settings = {"fit_intercept": fit_intercept, "lambda_min_ratio": ratio}
        return elastic_net_cv(X, y, l1_ratio=[mix, 1.0], n_lambdas=N_LAMBDAS, tol=1e-9, **settings)

    found = jax.jit(choose)(False, 0.01, 0.5)
    host = elastic_net_cv(
        X, y, l1_ratio=[0.5, 1.0], n_lambdas=N_LAMBDAS, fit_intercept=False, lambda_min_ratio=0.01
    )
    np.testing.assert_allclose(found.lambdas, host.lambdas, rtol=1e-9)
    np.testing.assert_allclose(found.fold_errors, host.fold_errors, rtol=1e-3)


def test_single_precision_stays_in_64_bit_mode(x64):
    X, y = make(40, 12, np.float32)
    found = traced_cv(X, y, n_lambdas=4, folds=3)
    floats = [a for a in jax.tree.leaves(found) if jnp.issubdtype(a.dtype, jnp.floating)]
    assert {a.dtype for a in floats} == {np.dtype(np.float32)}


def test_sparse_matrices_are_refused_by_name():
    with pytest.raises(TypeError, match="X is sparse"):
        jax.jit(lambda y: lasso_cv(scipy.sparse.eye_array(40, format="csr"), y))(np.ones(40))


@pytest.mark.slow
def test_fits_of_many_sizes_share_few_programs(x64):
    """Arrays whose values are there are filled up: the number of rows is not compiled for."""
    from regjax.paths import _traced_cv

    before = _traced_cv._of_statistics._cache_size(), _traced_cv._of_parts._cache_size()
    for n in range(210, 260, 5):
        X, y = make(n, 12, seed=n)
        found = traced_cv(X, y, n_lambdas=4, folds=3)
        assert not found.path.status.any()
    assert _traced_cv._of_statistics._cache_size() - before[0] == 1
    # Sizes of the rows, and of their thirds.
    assert _traced_cv._of_parts._cache_size() - before[1] <= 6
    check(traced_cv(X, y, n_lambdas=N_LAMBDAS, folds=3, tol=1e-9), X, y, folds=3)
