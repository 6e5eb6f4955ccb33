"""A strength is used as given, whatever the units of the columns and however far they are from 0.

References are solved in extended precision from the float64 data, which are taken to be exact.
"""

import warnings

import numpy as np
import pytest

import regjax.sklearn as drop_ins
from regjax.paths import ridge_path

LONG = np.longdouble
# Standard deviations of three columns and what is added to them.
CASES = {
    "one size": ([1.0, 2.0, 0.5], [0.0, 1.0, -3.0]),
    "a time stamp": ([3e5, 1.0, 1.0], [1.6e9, 0.0, 0.0]),
    "far from 0": ([1.0, 1.0, 1.0], [1e9, -1e11, 0.0]),
    "large and small": ([1e8, 1.0, 1e-6], [0.0, 0.0, 0.0]),
    "larger and smaller": ([1e12, 1.0, 1e-8], [1e13, 0.0, 1e-3]),
}
cases = pytest.mark.parametrize("case", CASES)


def make(case, n=40, seed=0):
    rng = np.random.default_rng(seed)
    scale, offset = (np.array(part) for part in CASES[case])
    Z = rng.normal(size=(n, 3))
    Z[:, 1] += 0.5 * Z[:, 0]
    return Z * scale + offset, Z @ [0.3, 2.0, -1.0] + 0.5 * rng.normal(size=n) + 10, scale


def centered(X, y):
    A, r = X.astype(LONG) - X[0], y.astype(LONG) - y[0]
    return A - A.mean(axis=0), r - r.mean()


def exact_ridge(X, y, alpha):
    """Return `(A'A + alpha)^-1 A'r` of centered data by Gauss and Jordan."""
    A, r = centered(X, y)
    rows = np.column_stack([A.T @ A + LONG(alpha) * np.eye(A.shape[1], dtype=LONG), A.T @ r])
    # The diagonal is made 1, so that pivots may be taken in order.
    root = np.sqrt(np.diag(rows))
    rows = rows / root[:, None]
    rows[:, :-1] /= root
    for j in range(len(rows)):
        rows[j] /= rows[j, j]
        others = np.arange(len(rows)) != j
        rows[others] -= np.outer(rows[others, j], rows[j])
    return rows[:, -1] / root


def exact_error(X, y, alpha, i):
    """Return the error of row i by the fit to the others."""
    rest = np.arange(len(y)) != i
    A, r = X.astype(LONG) - X[0], y.astype(LONG) - y[0]
    step = A[i] - A[rest].mean(axis=0)
    return float(r[i] - r[rest].mean() - step @ exact_ridge(X[rest], y[rest], alpha))


def alphas_of(X):
    return np.sort(np.outer(len(X) * X.var(axis=0), [1e-3, 1.0]).ravel())


def assert_coefficients(found, X, y, alpha, rtol=1e-7):
    expected = exact_ridge(X, y, alpha).astype(np.float64)
    in_units = X.std(axis=0) / y.std()
    np.testing.assert_allclose(found * in_units, expected * in_units, rtol=rtol, atol=1e-10)


@cases
def test_ridge_is_the_closed_form(case):
    X, y, _ = make(case)
    for alpha in (0.0, *alphas_of(X)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert_coefficients(drop_ins.Ridge(alpha).fit(X, y).coef_, X, y, alpha)


@cases
def test_a_whole_path_is_the_closed_form(case):
    X, y, _ = make(case)
    path = ridge_path(X, y, lambdas=alphas_of(X) / len(y))
    assert not path.status.any()
    for alpha, coef in zip(alphas_of(X)[::-1], path.coef, strict=True):
        assert_coefficients(coef, X, y, alpha)


@cases
def test_rows_left_out_are_those_of_refits(case):
    X, y, _ = make(case, n=20)
    alphas = alphas_of(X)
    model = drop_ins.RidgeCV(alphas, store_cv_results=True).fit(X, y)
    errors = np.array([[exact_error(X, y, a, i) ** 2 for a in alphas] for i in range(len(y))])
    np.testing.assert_allclose(model.cv_results_, errors, rtol=1e-5, atol=1e-7)
    assert model.alpha_ == alphas[errors.mean(axis=0).argmin()]
    assert_coefficients(model.coef_, X, y, model.alpha_)


def test_a_time_stamp_beside_a_small_column():
    rng = np.random.default_rng(0)
    t = 1.6e9 + np.sort(rng.uniform(0, 1e6, size=200))
    x = rng.normal(size=200)
    X, y = np.column_stack([t, x]), 3 * x + 1e-6 * (t - 1.6e9) + 0.1 * rng.normal(size=200)
    for alpha in (0.0, 1.0, 100.0):
        assert_coefficients(drop_ins.Ridge(alpha).fit(X, y).coef_, X, y, alpha)
    for cv in (None, 5):
        model = drop_ins.RidgeCV([0.1, 1.0, 10.0], cv=cv).fit(X, y)
        assert model.alpha_ == 0.1
        assert_coefficients(model.coef_, X, y, 0.1)


def stationary(X, Y, W, alpha, l1_ratio):
    """Return how far `W` (n_features, n_targets) is from a fixed point of its proximal steps."""
    A, _ = centered(X, Y[:, 0])
    R = np.column_stack([centered(X, column)[1] for column in Y.T])
    size = np.sqrt((A * A).mean(axis=0))
    A, B = A / size, W.astype(LONG) * size[:, None]
    pulls = B + A.T @ (R - A @ B) / len(Y)
    norm = np.sqrt(np.square(pulls).sum(axis=1))
    keep = np.maximum(1 - alpha * l1_ratio / size / norm, 0) / (
        1 + alpha * (1 - l1_ratio) / size**2
    )
    return float(np.abs(B - keep[:, None] * pulls).max() / R.std())


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.slow] if case.startswith("large") else [])
        for case in CASES
    ],
)
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_lasso_and_elastic_net_are_stationary_at_the_strength_given(case, l1_ratio):
    X, y, scale = make(case)
    Y = np.column_stack([y, y + X[:, 2] / scale[2]])
    for alpha in 0.1 * scale:
        single = {"alpha": alpha, "tol": 1e-12}
        grid = {"alphas": [alpha], "tol": 1e-12, "cv": 3}
        nets = (
            (drop_ins.ElasticNet(l1_ratio=l1_ratio, **single), y),
            (drop_ins.ElasticNetCV(l1_ratio=l1_ratio, **grid), y),
            (drop_ins.MultiTaskElasticNet(l1_ratio=l1_ratio, **single), Y),
            (drop_ins.MultiTaskElasticNetCV(l1_ratio=l1_ratio, **grid), Y),
        )
        lassos = (
            (drop_ins.Lasso(**single), y),
            (drop_ins.LassoCV(**grid), y),
            (drop_ins.MultiTaskLasso(**single), Y),
            (drop_ins.MultiTaskLassoCV(**grid), Y),
        )
        for model, response in lassos if l1_ratio == 1 else nets:
            with warnings.catch_warnings():
                # A gap of 1e-12 is not certified everywhere; what is tested is the solution.
                warnings.simplefilter("ignore")
                coef = model.fit(X, response).coef_
            W = np.atleast_2d(coef).T
            assert stationary(X, response.reshape(len(X), -1), W, alpha, l1_ratio) < 1e-5


@pytest.mark.parametrize("cls", ["Ridge", "RidgeCV", "Lasso", "LassoCV", "MultiTaskLasso"])
def test_columns_that_rounding_hides_are_named(cls):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    X[:, 1] = 1e15 + 20 * X[:, 1]
    y = X[:, 0] + rng.normal(size=100)
    y = np.column_stack([y, -y]) if cls.startswith("MultiTask") else y
    with pytest.warns(UserWarning, match=r"Column\(s\) 1 vary by less than 1e-13") as caught:
        getattr(drop_ins, cls)().fit(X, y)
    assert {warning.filename for warning in caught} == {__file__}
    pl = pytest.importorskip("polars")
    with pytest.warns(UserWarning, match=r"Column\(s\) 'b' vary"):
        getattr(drop_ins, cls)().fit(pl.DataFrame(X, schema=["a", "b", "c"]), y)


@pytest.mark.slow
def test_ridge_over_many_scales_and_offsets():
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        n, p = int(rng.integers(12, 60)), int(rng.integers(2, 7))
        Z = rng.normal(size=(n, p)) @ (np.eye(p) + 0.3 * rng.normal(size=(p, p)))
        scale = 10.0 ** rng.uniform(-8, 12, size=p)
        far = np.where(rng.random(p) < 0.5, 0.0, 10.0 ** rng.uniform(-2, 11, size=p))
        X = scale * (Z + far)
        y = (Z @ rng.normal(size=p) + rng.normal(size=n)) * 10.0 ** rng.uniform(-6, 6)
        alpha = float(n * scale[rng.integers(p)] ** 2 * 10.0 ** rng.uniform(-4, 3))
        found = drop_ins.Ridge(0.0 if seed % 7 == 0 else alpha).fit(X, y)
        expected = exact_ridge(X, y, found.alpha).astype(np.float64)
        off = np.abs(found.coef_ - expected) * X.std(axis=0) / y.std()
        assert off.max() < 1e-6, (seed, off)
