"""Cross-validation against plain refits of every fold, and the folds themselves."""

import numpy as np
import pytest
import scipy.sparse
from quick import pairs
from sklearn.linear_model import LassoCV
from sklearn.model_selection import KFold

from regjax.paths import (
    elastic_net_cv,
    elastic_net_path,
    fold_statistics,
    k_folds,
    lasso_cv,
    sufficient_statistics,
    time_ordered_folds,
)
from regjax.paths.folds import as_splits


def make(n, p, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + rng.normal(size=p)
    b = np.where(rng.random(p) < 0.4, rng.normal(size=p), 0.0)
    return X, X @ b + rng.normal(size=n)


SIZES = {"few columns": (50, 6), "more columns": (160, 80), "few rows": (30, 120)}
SETTINGS = {
    "lasso": {},
    "elastic net": {"l1_ratio": 0.4},
    "ridge": {"l1_ratio": 0.0},
    "standardised": {"standardize": True},
    "weighted": {"sample_weight": True},
    "no intercept, non-negative": {"fit_intercept": False, "lower": 0.0},
}
FOLDS = {
    "k": lambda n: k_folds(n, 4),
    "repeated": lambda n: k_folds(n, 3, repeats=2, seed=1),
    "groups": lambda n: k_folds(n, 3, groups=np.arange(n) // 4),
    "time": lambda n: time_ordered_folds(n, 3),
    "parts of the rows": lambda n: [(np.arange(5, n), np.arange(3)), (np.arange(n - 9), [n - 1])],
}


@pytest.mark.parametrize(("size", "setting", "folds"), pairs(SIZES, SETTINGS, FOLDS))
def test_every_fold_is_the_path_of_its_training_rows(size, setting, folds):
    n, p = SIZES[size]
    X, y = make(n, p)
    chosen = dict(SETTINGS[setting])
    weight = np.ones(n)
    if chosen.pop("sample_weight", False):
        weight = np.random.default_rng(2).uniform(0.5, 2, size=n)
    splits = FOLDS[folds](n)
    found = elastic_net_cv(
        X, y, folds=splits, n_lambdas=8, sample_weight=weight, tol=1e-9, **chosen
    )
    whole = elastic_net_path(X, y, n_lambdas=8, sample_weight=weight, tol=1e-9, **chosen)
    np.testing.assert_allclose(found.lambdas[0], whole.lambdas, rtol=1e-12)
    np.testing.assert_allclose(found.path.coef, whole.coef, atol=1e-3)
    assert found.fold_errors.shape == (1, len(splits), 8)
    for i, (train, test) in enumerate(splits):
        part = elastic_net_path(
            X[train],
            y[train],
            lambdas=found.lambdas[0],
            sample_weight=weight[train],
            tol=1e-9,
            **chosen,
        )
        error = np.average((part.predict(X[test]) - y[test]) ** 2, axis=1, weights=weight[test])
        np.testing.assert_allclose(found.fold_errors[0, i], error, rtol=3e-3)


def test_choices_are_read_off_the_errors():
    X, y = make(60, 10)
    found = elastic_net_cv(X, y, l1_ratio=[0.2, 0.9], n_lambdas=30)
    mean = found.fold_errors.mean(axis=1)
    spread = found.fold_errors.std(axis=1, ddof=1) / np.sqrt(5)
    np.testing.assert_allclose(found.mean_error, mean)
    np.testing.assert_allclose(found.standard_error, spread)
    r, k = np.unravel_index(mean.argmin(), mean.shape)
    assert found.l1_ratio == [0.2, 0.9][r]
    assert found.lambda_ == found.lambdas[r, k]
    within = mean[r] <= mean[r, k] + spread[r, k]
    assert found.lambda_1se == found.lambdas[r][within].max()
    assert found.lambda_1se > found.lambda_
    np.testing.assert_array_equal(found.coef, found.path.coef[k])
    np.testing.assert_array_equal(found.coef_1se, found.path.at(found.lambda_1se)[0])
    np.testing.assert_allclose(found.predict(X), found.path.predict(X)[k])


@pytest.mark.parametrize("size", SIZES)
def test_the_choice_is_that_of_scikit_learn(size):
    X, y = make(*SIZES[size])
    splits = list(KFold(5, shuffle=True, random_state=0).split(X))
    ours = lasso_cv(X, y, folds=splits, lambda_min_ratio=1e-2)
    theirs = LassoCV(cv=splits, alphas=ours.lambdas[0], tol=1e-9, max_iter=10**5).fit(X, y)
    np.testing.assert_allclose(ours.mean_error[0], theirs.mse_path_.mean(axis=1), rtol=1e-3)
    assert ours.lambda_ == pytest.approx(theirs.alpha_)
    np.testing.assert_allclose(ours.coef, theirs.coef_, atol=2e-3)


def test_a_column_that_varies_in_one_fold_alone_is_constant_in_its_training_rows():
    X, y = make(40, 5)
    X[:, 4] = 1e3
    X[3, 4] += 1.0
    found = lasso_cv(X, y, standardize=True, folds=k_folds(40, 5))
    assert np.isfinite(found.fold_errors).all()
    splits = k_folds(40, 5)
    for i, (train, test) in enumerate(splits):
        part = elastic_net_path(X[train], y[train], lambdas=found.lambdas[0], standardize=True)
        error = ((part.predict(X[test]) - y[test]) ** 2).mean(axis=1)
        np.testing.assert_allclose(found.fold_errors[0, i], error, rtol=1e-2)


# --- statistics and folds ---


@pytest.mark.parametrize("shift", [0.0, 1e8])
def test_statistics_add_and_subtract(shift):
    X, y = make(50, 4)
    X = X + shift
    weight = np.random.default_rng(0).uniform(0.1, 2, size=50)
    whole = sufficient_statistics(X, y, weight)
    a, b = (sufficient_statistics(X[r], y[r], weight[r]) for r in (slice(20), slice(20, None)))
    for sum_, one in ((a + b, whole), (whole - a, b), (whole - b, a)):
        for field, expected in zip(sum_, one, strict=True):
            np.testing.assert_allclose(field, expected, rtol=1e-6 if shift else 1e-11)
    mean = np.average(X, axis=0, weights=weight)
    np.testing.assert_allclose(whole.xx, (X - mean).T @ (weight[:, None] * (X - mean)), rtol=1e-6)


def test_rows_fall_into_one_fold_each():
    splits = k_folds(23, 5, repeats=2, seed=3)
    assert len(splits) == 10
    for r in (slice(5), slice(5, None)):
        tests = [test for _, test in splits[r]]
        np.testing.assert_array_equal(np.sort(np.concatenate(tests)), np.arange(23))
        assert max(map(len, tests)) - min(map(len, tests)) <= 1
    for train, test in splits:
        np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(23))
    assert any(
        len(a) != len(b) or (a != b).any()
        for (_, a), (_, b) in zip(splits, splits[5:], strict=False)
    )


def test_groups_are_never_torn_apart():
    groups = np.random.default_rng(0).integers(0, 9, size=60)
    for train, test in k_folds(60, 4, groups=groups):
        assert not set(groups[train]) & set(groups[test])


def test_time_ordered_folds_never_look_ahead():
    splits = time_ordered_folds(23, 4)
    assert len(splits) == 4
    for train, test in splits:
        np.testing.assert_array_equal(train, np.arange(test[0]))
    np.testing.assert_array_equal(np.concatenate([t for _, t in splits])[-1], 22)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: k_folds(3, 4), "between 2 and the number of rows"),
        (lambda: k_folds(9, 3, groups=np.zeros(9)), "number of groups"),
        (lambda: k_folds(9, 3, groups=np.zeros(4)), "groups must have shape"),
        (lambda: k_folds(9, 3, repeats=0), "repeats"),
        (lambda: k_folds(9, 3, repeats=10**12), "1,000,000,000,000 times 3 folds of 9 rows"),
        (lambda: fold_statistics([], 10**12), "at most 100,000"),
        (lambda: time_ordered_folds(3, 3), "between 1 and 2"),
        (lambda: as_splits([([0], [1])], 5), "at least two"),
        (lambda: as_splits([([0], [1]), ([], [1])], 5), "non-empty"),
        (lambda: as_splits([([0], [1]), ([0], [5])], 5), "leave 0 to 4"),
        (lambda: as_splits([([0], [1]), ([0, 1], [1])], 5), "same rows"),
    ],
)
def test_faulty_folds_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_result_says_what_was_searched():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 2))
    y = X[:, 0] + 0.1 * rng.normal(size=20)
    one = lasso_cv(X, y, folds=4, lambdas=[1.0, 0.1])
    assert repr(one) == "CrossValidation(2 lambdas, 4 splits, lambda_=0.1, lambda_1se=0.1)"
    several = elastic_net_cv(X, np.c_[y, -y], folds=4, lambdas=[1.0, 0.1], l1_ratio=[0.5, 1.0])
    assert repr(several) == "CrossValidation(2 responses, 2 l1_ratios, 2 lambdas, 4 splits)"


def test_splits_may_be_masks_and_numbers_of_folds_those_of_numpy():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 2))
    y = X[:, 0] + 0.1 * rng.normal(size=20)
    splits = k_folds(20, 3)
    masks = [tuple(np.isin(np.arange(20), rows) for rows in split) for split in splits]
    given = [lasso_cv(X, y, folds=folds).fold_errors for folds in (splits, masks, np.int64(3), 3)]
    for errors in given[1:]:
        np.testing.assert_array_equal(errors, given[0])


@pytest.mark.parametrize("folds", [5, 2, np.int64(4), [([0], [1]), ([1], [0])]])
def test_other_folds_than_those_of_the_statistics_are_refused(folds):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2))
    parts = fold_statistics([(X, X[:, 0])], 3)
    assert lasso_cv(parts, folds=3).fold_errors.shape == lasso_cv(parts).fold_errors.shape
    with pytest.raises(ValueError, match="The 3 statistics are the folds: leave folds out, got"):
        lasso_cv(parts, folds=folds)
    with pytest.raises(ValueError, match="y is missing"):
        lasso_cv(scipy.sparse.csr_array(X), folds=folds)
