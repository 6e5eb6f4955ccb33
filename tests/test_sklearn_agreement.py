"""The drop-ins give what scikit-learn's estimators converge to, setting by setting."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from quick import pairs
from scipy import sparse
from sklearn import linear_model
from sklearn.model_selection import KFold, ShuffleSplit

import regjax.sklearn as drop_ins
from regjax.paths import multi_task_path, ridge_cv
from regjax.sklearn._shared import as_weight, engine_tol

FLAGS = [True, False]
TIGHT = {"tol": 1e-12, "max_iter": 200_000}


def data(n=50, p=8, targets=0):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, p)) * np.linspace(0.3, 3, p) + np.linspace(0, 5, p)
    X[rng.uniform(size=X.shape) < 0.4] = 0
    W = rng.normal(size=(p, targets or 1)) * (rng.uniform(size=(p, 1)) < 0.6)
    y = X @ W + rng.normal(size=(n, targets or 1)) + 7
    return X, y if targets else y[:, 0], rng.uniform(0.2, 4, size=n)


def agree(ours, theirs, names, rtol=1e-5, atol=5e-6):
    # A gap of 1e-12 bounds the squared distance of coefficients, and so these to some 1e-6.
    for name in names:
        a, b = getattr(ours, name), getattr(theirs, name)
        assert np.shape(a) == np.shape(b), name
        assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=name)


ONE_STRENGTH = [
    ("Lasso", {"alpha": 0.1}),
    ("Lasso", {"alpha": 0.1, "positive": True}),
    ("Lasso", {"alpha": 100.0}),
    ("ElasticNet", {"alpha": 0.2}),
    ("ElasticNet", {"alpha": 0.2, "l1_ratio": 0.0}),
    ("ElasticNet", {"alpha": 0.2, "l1_ratio": 0.9, "positive": True, "precompute": True}),
    ("Ridge", {"alpha": 3.0}),
    ("Ridge", {"alpha": 1e-8}),
    ("Ridge", {"alpha": 3.0, "positive": True}),
]
SEVERAL = [
    ("Lasso", {"alpha": 0.1}),
    ("ElasticNet", {"alpha": 0.2}),
    ("Ridge", {"alpha": 3.0}),
    ("Ridge", {"alpha": [0.1, 1.0, 10.0]}),
    ("MultiTaskLasso", {"alpha": 0.3}),
    ("MultiTaskElasticNet", {"alpha": 0.3, "l1_ratio": 0.2}),
]
SETTINGS = [(case, 0) for case in ONE_STRENGTH] + [(case, 3) for case in SEVERAL]


@pytest.mark.parametrize(
    ("case", "weighted", "fit_intercept", "form"),
    pairs(SETTINGS, FLAGS, FLAGS, [np.asarray, sparse.csr_array, sparse.csc_matrix]),
    ids=str,
)
def test_one_strength(case, weighted, fit_intercept, form):
    (name, settings), targets = case
    X, y, weight = data(targets=targets)
    settings = {**TIGHT, **settings, "fit_intercept": fit_intercept}
    ours = getattr(drop_ins, name)(**settings)
    theirs = getattr(linear_model, name)(**settings)
    given = weight if weighted else None
    ours.fit(form(X), y, sample_weight=given)
    theirs.fit(form(X), y, sample_weight=given)
    # Theirs ends, with bounds, where a quasi-Newton method does.
    rough = {"rtol": 1e-3, "atol": 1e-3} if name == "Ridge" and ours.positive else {}
    agree(ours, theirs, ["coef_", "intercept_"], **rough)
    assert_allclose(ours.predict(form(X)), theirs.predict(form(X)), rtol=1e-3)
    if name != "Ridge":
        assert np.max(ours.dual_gap_) <= 2e-12 * np.square(y).sum()


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("name", ["MultiTaskLasso", "MultiTaskElasticNet"])
def test_the_gap_that_is_asked_for_is_told(name, fit_intercept):
    X, y, _ = data(targets=3)
    settings = {"alpha": 0.3, "tol": 1e-3, "fit_intercept": fit_intercept}
    ours, theirs = (getattr(of, name)(**settings).fit(X, y) for of in (drop_ins, linear_model))
    assert_allclose(ours.eps_, theirs.eps_, rtol=1e-12)


CROSS_VALIDATED = [
    ("LassoCV", {"alphas": 20}),
    ("LassoCV", {"alphas": [0.01, 1.0, 0.1], "positive": True}),
    ("LassoCV", {"alphas": 10, "eps": 0.05, "cv": KFold(3, shuffle=True, random_state=0)}),
    ("ElasticNetCV", {"alphas": 10, "l1_ratio": [0.2, 0.9]}),
    ("ElasticNetCV", {"alphas": [0.01, 1.0, 0.1], "l1_ratio": [0.2, 0.9], "cv": 4}),
    ("ElasticNetCV", {"alphas": 10, "cv": ShuffleSplit(6, random_state=0)}),
    ("MultiTaskLassoCV", {"alphas": 8, "cv": 3}),
    ("MultiTaskElasticNetCV", {"alphas": 5, "l1_ratio": [0.2, 0.9], "cv": 3}),
]


@pytest.mark.parametrize(
    ("case", "weighted", "fit_intercept", "form"),
    pairs(CROSS_VALIDATED, FLAGS, FLAGS, [np.asarray, sparse.csc_array]),
    ids=str,
)
def test_cross_validation(case, weighted, fit_intercept, form):
    name, settings = case
    X, y, weight = data(targets=2 if "MultiTask" in name else 0)
    settings = {**TIGHT, "tol": 1e-10, **settings, "fit_intercept": fit_intercept}
    given = weight if weighted else None
    ours = getattr(drop_ins, name)(**settings).fit(form(X), y, sample_weight=given)
    theirs = getattr(linear_model, name)(**settings).fit(form(X), y, sample_weight=given)
    names = ["alphas_", "mse_path_", "alpha_", "coef_", "intercept_"]
    agree(ours, theirs, [*names, *(["l1_ratio_"] if "ElasticNet" in name else [])], rtol=1e-4)


RIDGES = [
    {},
    {"alphas": np.logspace(-4, 4, 6)},
    {"alphas": 2.0},
    {"alpha_per_target": True},
    {"scoring": "r2"},
    {"scoring": "neg_mean_absolute_error", "alpha_per_target": True},
    {"gcv_mode": "eigen"},
    {"cv": 4},
    {"cv": KFold(3), "scoring": "neg_mean_absolute_error"},
]


RIDGE_CASES = [
    (settings, targets)
    for settings in RIDGES
    for targets in (0, 3)
    # Of one response scikit-learn cannot score column by column.
    if targets or not {"alpha_per_target", "scoring"} <= settings.keys()
]


@pytest.mark.parametrize(
    ("case", "fit_intercept", "weighted", "shape", "form"),
    pairs(RIDGE_CASES, FLAGS, FLAGS, [(50, 8), (12, 30)], [np.asarray, sparse.csr_array]),
    ids=str,
)
def test_cross_validated_ridge(case, fit_intercept, weighted, shape, form):
    settings, targets = case
    X, y, weight = data(*shape, targets=targets)
    kept = {} if "cv" in settings else {"store_cv_results": True}
    settings = {"alphas": (0.1, 1.0, 10.0), **settings, **kept, "fit_intercept": fit_intercept}
    given = {"sample_weight": weight} if weighted else {}
    ours = drop_ins.RidgeCV(**settings).fit(form(X), y, **given)
    # With other folds theirs solves sparse data by conjugate gradients, roughly.
    theirs = linear_model.RidgeCV(**settings).fit(form(X) if kept else X, y, **given)
    names = ["alpha_", "best_score_", "coef_", "intercept_"]
    agree(ours, theirs, [*names, *(["cv_results_"] if kept else [])])


WITHOUT_WEIGHT = [drop_ins.Ridge(), drop_ins.RidgeCV(scoring="neg_mean_absolute_error")]
WITHOUT_WEIGHT += [drop_ins.Lasso(alpha=0.1), drop_ins.ElasticNet(alpha=0.1)]


@pytest.mark.parametrize("model", WITHOUT_WEIGHT, ids=str)
def test_rows_without_weight_are_as_if_left_out(model):
    X, y, weight = data()
    weight[:10] = 0
    fitted = model.fit(X, y, sample_weight=weight).coef_
    assert_allclose(fitted, model.fit(X[10:], y[10:], sample_weight=weight[10:]).coef_, atol=1e-9)


def test_weights_that_are_one_number_are_none():
    X, y, _ = data()
    assert as_weight(None, X) is as_weight(2.0, X) is None
    fitted = drop_ins.Lasso(alpha=0.1).fit(X, y, sample_weight=2.0).coef_
    assert_allclose(fitted, drop_ins.Lasso(alpha=0.1).fit(X, y).coef_, rtol=0)


@pytest.mark.parametrize("alpha", [0.0, 1e-30, 1e-12])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", [(30, 40), (30, 200), (31, 30), (200, 10)], ids=str)
def test_ridge_of_next_to_no_strength_is_least_squares_of_least_norm(shape, fit_intercept, alpha):
    X, y, _ = data(*shape)
    centred, response = (X - X.mean(axis=0), y - y.mean()) if fit_intercept else (X, y)
    expected = np.linalg.pinv(centred, rcond=1e-10) @ response
    size = np.abs(expected).max()
    model = drop_ins.Ridge(alpha=alpha, fit_intercept=fit_intercept).fit(X, y)
    assert_allclose(model.coef_, expected, atol=1e-7 * size)


@pytest.mark.parametrize("shape", [(20, 20), (20, 60)], ids=str)
def test_rows_are_left_out_of_fits_that_interpolate(shape):
    # With more columns than rows a small lambda fits every row: its error without it does not.
    X, y, _ = data(*shape)
    lambda_ = 1e-9
    found = ridge_cv(X, y, lambdas=[lambda_])
    n = len(y)
    for i in range(3):
        rest = np.arange(n) != i
        centre, mean = X[rest].mean(axis=0), y[rest].mean()
        A, b = X[rest] - centre, y[rest] - mean
        # The kernel form, whose conditioning is that of the rows.
        dual = np.linalg.solve(A @ A.T + n * lambda_ * np.eye(n - 1), b)
        error = y[i] - mean - (X[i] - centre) @ (A.T @ dual)
        assert_allclose(found.fold_errors[0, i, 0], error**2, rtol=1e-3)


def test_path_is_that_of_scikit_learn():
    X, y, _ = data()
    centred, response = X - X.mean(axis=0), y - y.mean()
    for settings in ({"l1_ratio": 0.5}, {"positive": True, "alphas": 7}, {"alphas": [0.1, 1.0]}):
        ours = drop_ins.ElasticNet.path(centred, response, tol=1e-12, **settings)
        theirs = linear_model.enet_path(centred, response, **TIGHT, **settings)
        for a, b in zip(ours[:2], theirs[:2], strict=True):
            assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    joint = np.c_[response, response[::-1]]
    ours = drop_ins.MultiTaskLassoCV().path(centred, joint, alphas=6, tol=1e-10, return_n_iter=True)
    theirs = linear_model.lasso_path(centred, joint, alphas=6, tol=1e-10, max_iter=100_000)
    assert_allclose(ours[1], theirs[1], atol=1e-5)
    assert ours[3] == [1] * 6
    # Gaps are in the units of the objective of all responses together.
    tol, null = engine_tol(1e-10), np.sum(joint**2) / (2 * len(joint))
    found = multi_task_path(centred, joint, lambdas=ours[0], fit_intercept=False, tol=tol)
    assert_allclose(ours[2], null * found.duality_gap, rtol=1e-12)
    with pytest.raises(ValueError, match="Unexpected parameters"):
        drop_ins.Lasso.path(centred, response, something=1)
