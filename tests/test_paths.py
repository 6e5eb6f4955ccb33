"""Paths against the optimality conditions, scikit-learn and the published diabetes knots."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quick import pairs
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet

from regjax.paths import elastic_net_path, lasso_path, ridge_path, select_engine

# --- the problem, written down from its definition ---


@dataclasses.dataclass(frozen=True)
class Problem:
    """Data and settings; `objective` and `kkt` read the definition and nothing else."""

    X: np.ndarray
    y: np.ndarray
    settings: dict

    def _parts(self):
        n, p = self.X.shape
        weight = self.settings.get("sample_weight")
        w = np.ones(n) if weight is None else np.asarray(weight, float)
        w = w / w.sum()
        factors = np.asarray(self.settings.get("penalty_weights", np.ones(p)), float)
        if self.settings.get("standardize"):
            mean = w @ self.X
            sd = np.sqrt(w @ (self.X - mean) ** 2)
        else:
            sd = np.ones(p)
        bounds = [
            np.broadcast_to(np.asarray(self.settings.get(name, default), float), p)
            for name, default in (("lower", -np.inf), ("upper", np.inf))
        ]
        return w, factors, sd, *bounds

    def null(self):
        w, *_ = self._parts()
        mean = w @ self.y if self.settings.get("fit_intercept", True) else 0.0
        return w @ (self.y - mean) ** 2 / 2

    def penalty(self, b, lambda_):
        _, factors, sd, lower, upper = self._parts()
        ratio = self.settings.get("l1_ratio", 1.0)
        assert np.all((b >= lower - 1e-9 * abs(b)) & (b <= upper + 1e-9 * abs(b)))
        used = np.isfinite(factors)
        assert np.all(b[~used] == 0)
        scaled = (b * sd)[used]
        each = ratio * np.abs(scaled) + (1 - ratio) / 2 * scaled**2
        return lambda_ * np.sum(factors[used] * each)

    def objective(self, b, a, lambda_):
        w, *_ = self._parts()
        return w @ (self.y - a - self.X @ b) ** 2 / 2 + self.penalty(b, lambda_)

    def kkt(self, b, a, lambda_):
        """Return the root of what one coordinate alone could gain, relative to the null objective.

        A solution with a relative duality gap of e is nowhere above sqrt(e).
        """
        w, factors, sd, lower, upper = self._parts()
        ratio = self.settings.get("l1_ratio", 1.0)
        residual = w * (self.y - a - self.X @ b)
        mean = w @ self.X if self.settings.get("fit_intercept", True) else np.zeros(len(b))
        spread = np.sqrt(w @ (self.X - mean) ** 2)
        used = np.isfinite(factors) & (spread > 1e-12 * np.abs(mean))
        g = (residual @ (self.X - mean))[used]
        f, s, x = factors[used], sd[used], b[used]
        slope = g - lambda_ * f * (1 - ratio) * s**2 * x
        bound = lambda_ * f * ratio * s
        at_upper, at_lower = x >= upper[used], x <= lower[used]
        excess = np.where(
            x != 0, slope - bound * np.sign(x), np.sign(slope) * np.maximum(abs(slope) - bound, 0)
        )
        excess = np.where(at_upper, np.minimum(excess, 0), excess)
        excess = np.where(at_lower, np.maximum(excess, 0), excess)
        curvature = spread[used] ** 2 + lambda_ * f * (1 - ratio) * s**2
        # A coordinate falls by excess^2 / (2 curvature), if nothing stops it before.
        stop = np.where(excess > 0, upper[used], lower[used])
        stop = np.where(x * excess < 0, 0.0, stop)
        room, excess = np.abs(stop - x), np.abs(excess)
        free = room * curvature >= excess
        gain = np.where(free, excess**2 / (2 * curvature), np.minimum(room, 1e300) * excess / 2)
        violation = np.sqrt(np.max(gain, initial=0.0) / self.null())
        if self.settings.get("fit_intercept", True):
            violation = max(violation, abs(residual.sum()) / np.sqrt(2 * self.null()))
        return violation


def make(n, p, seed=0, correlated=0.3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + correlated * rng.normal(size=(n, 1)) + rng.normal(size=p)
    b = np.where(rng.random(p) < 0.3, rng.normal(size=p), 0.0)
    return X, X @ b + 1.0 + rng.normal(size=n)


SIZES = {
    "few columns": (60, 8),
    "more columns": (150, 90),
    "few rows": (20, 150),
    "square": (30, 30),
}
SETTINGS = {
    "lasso": {},
    "elastic net": {"l1_ratio": 0.5},
    "nearly ridge": {"l1_ratio": 0.01},
    "no intercept": {"fit_intercept": False},
    "standardised": {"standardize": True, "l1_ratio": 0.8},
    "non-negative": {"lower": 0.0},
    "boxed lasso": {"lower": -0.2, "upper": 0.3},
    "boxed": {"lower": -0.2, "upper": 0.3, "l1_ratio": 0.9},
    "weighted": {"sample_weight": "random"},
    "penalty weights": {"penalty_weights": "random"},
    "unpenalised": {"penalty_weights": "some zero", "l1_ratio": 0.7},
    "left out": {"penalty_weights": "some infinite"},
    "all at once": {
        "penalty_weights": "mixed",
        "sample_weight": "random",
        "standardize": True,
        "l1_ratio": 0.6,
    },
}


def fill(settings, n, p, seed=1):
    rng = np.random.default_rng(seed)
    filled = dict(settings)
    weights = rng.uniform(0.5, 2, size=p)
    if settings.get("penalty_weights") in ("some zero", "mixed"):
        weights[:2] = 0.0
    if settings.get("penalty_weights") in ("some infinite", "mixed"):
        weights[3:5] = np.inf
    if "penalty_weights" in settings:
        filled["penalty_weights"] = weights
    if "sample_weight" in settings:
        filled["sample_weight"] = np.where(rng.random(n) < 0.1, 0, rng.uniform(0.2, 3, size=n))
    return filled


sizes = pytest.mark.parametrize("size", SIZES)
every_setting = pytest.mark.parametrize("setting", SETTINGS)


@pytest.mark.parametrize(("size", "setting", "engine"), pairs(SIZES, SETTINGS, ["gram", "columns"]))
def test_every_solution_is_optimal_and_its_gap_true(size, setting, engine):
    n, p = SIZES[size]
    X, y = make(n, p)
    problem = Problem(X, y, fill(SETTINGS[setting], n, p))
    path = elastic_net_path(X, y, n_lambdas=20, tol=1e-9, engine=engine, **problem.settings)
    assert path.coef.shape == (20, p)
    assert not path.status.any()
    assert path.duality_gap.max() <= 1e-9
    best = (
        elastic_net_path(X, y, n_lambdas=20, tol=1e-12, engine=engine, **problem.settings)
        if engine == "gram"
        else path
    )
    for k, lambda_ in enumerate(path.lambdas):
        b, a = path.coef[k], path.intercept[k]
        # Strong convexity in the fitted values: a gap of e leaves a violation of order sqrt(e).
        assert problem.kkt(b, a, lambda_) <= 1.01 * np.sqrt(1e-9)
        rise = problem.objective(b, a, lambda_) - problem.objective(
            best.coef[k], best.intercept[k], lambda_
        )
        assert rise <= (path.duality_gap[k] + 1e-12) * problem.null()


# --- others' answers ---


@sizes
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_scikit_learn_finds_no_lower_objective(size, l1_ratio):
    X, y = make(*SIZES[size])
    problem = Problem(X, y, {"l1_ratio": l1_ratio})
    path = elastic_net_path(X, y, n_lambdas=6, l1_ratio=l1_ratio)
    for k, lambda_ in enumerate(path.lambdas):
        other = ElasticNet(lambda_, l1_ratio=l1_ratio, tol=1e-10, max_iter=10**5).fit(X, y)
        ours = problem.objective(path.coef[k], path.intercept[k], lambda_)
        theirs = problem.objective(other.coef_, other.intercept_, lambda_)
        assert abs(ours - theirs) <= 1e-6 * problem.null()


# Efron and others (2004), table and figure 3: RSS/2 + lambda ||b||_1, columns of unit norm.
KNOTS = [949.435, 889.314, 452.896, 316.073, 130.130, 88.784, 68.965, 19.981, 5.478, 5.088, 2.182]
ENTRY = ["bmi", "s5", "bp", "s3", "sex", "s6", "s1", "s4", "s2", "age"]


def test_the_diabetes_path_has_the_published_knots():
    data = load_diabetes()
    X, y = data.data, data.target
    n = len(y)
    knots = np.array([*KNOTS, 1.310])
    # Just before a knot and just after it the active sets differ, and between knots they do not.
    inside = np.concatenate([(knots[:-1] + knots[1:]) / 2, [0.5]])
    path = lasso_path(X, y, lambdas=inside / n)
    sizes = (path.coef != 0).sum(axis=1)
    np.testing.assert_array_equal(sizes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 9, 10])
    first = [np.flatnonzero(path.coef[:, j])[0] for j in range(10)]
    assert [data.feature_names[j] for j in np.argsort(first)] == ENTRY
    grid = lasso_path(X, y, n_lambdas=2)
    assert grid.lambdas[0] * n == pytest.approx(KNOTS[0], abs=5e-4)
    end = lasso_path(X, y, lambdas=[0.0]).coef[0]
    ols = [
        -10.010,
        -239.816,
        519.846,
        324.385,
        -792.176,
        476.739,
        101.043,
        177.063,
        751.274,
        67.627,
    ]
    np.testing.assert_allclose(end, ols, atol=6e-4)


@pytest.mark.parametrize(("n", "p"), [(40, 7), (12, 30)])
def test_ridge_is_the_closed_form(n, p):
    X, y = make(n, p)
    path = ridge_path(X, y, lambdas=[10.0, 0.1], tol=1e-12)
    Xc, yc = X - X.mean(axis=0), y - y.mean()
    for lambda_, b in zip(path.lambdas, path.coef, strict=True):
        exact = np.linalg.solve(Xc.T @ Xc + n * lambda_ * np.eye(p), Xc.T @ yc)
        np.testing.assert_allclose(b, exact, atol=1e-5 * np.abs(exact).max())


# --- data that break things ---


def hard(name):
    X, y = make(40, 9)
    if name == "duplicates":
        X[:, 1] = X[:, 0]
        X[:, 2] = -X[:, 0]
    if name == "collinear":
        X[:, 3] = X[:, 0] + X[:, 1] - X[:, 2]
    if name == "constant":
        X[:, 4] = 7.3
        X[:, 5] = 0.0
    if name == "far from zero":
        X = X + 1e8
    if name == "units":
        X = X * 10.0 ** np.arange(-4, 5)
    if name == "large units":
        X = X * 1e8
        y = y * 1e-6
    if name == "one column":
        X = X[:, :1]
    if name == "constant response":
        y = np.full(40, 3.0)
    return X, y


@pytest.mark.parametrize(
    "name",
    [
        "duplicates",
        "collinear",
        "constant",
        "far from zero",
        "units",
        "large units",
        "one column",
        "constant response",
    ],
)
@pytest.mark.parametrize("l1_ratio", [1.0, 0.7])
@pytest.mark.parametrize("engine", ["gram", "columns"])
def test_hard_data_are_solved(name, l1_ratio, engine):
    X, y = hard(name)
    path = elastic_net_path(X, y, l1_ratio=l1_ratio, n_lambdas=30, engine=engine)
    assert not path.status.any()
    assert np.isfinite(path.coef).all()
    if name == "constant response":
        assert not path.coef.any()
        np.testing.assert_allclose(path.intercept, 3.0)
        return
    problem = Problem(X, y, {"l1_ratio": l1_ratio})
    for k, lambda_ in enumerate(path.lambdas):
        assert problem.kkt(path.coef[k], path.intercept[k], lambda_) <= 1.01e-3
    if name == "constant":
        assert not path.coef[:, 4:6].any()


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 30),
    p=st.integers(1, 30),
    seed=st.integers(0, 1000),
    l1_ratio=st.sampled_from([0.0, 0.2, 1.0]),
    copies=st.booleans(),
    zeros=st.booleans(),
    lower=st.sampled_from([None, 0.0]),
    gram=st.booleans(),
)
def test_any_shape_is_solved(n, p, seed, l1_ratio, copies, zeros, lower, gram):
    X, y = make(n, p, seed)
    rng = np.random.default_rng(seed)
    if copies:
        X[:, rng.integers(p)] = X[:, rng.integers(p)]
    chosen = {"l1_ratio": l1_ratio}
    if zeros:
        weight = np.where(rng.random(n) < 0.7, 0.0, 1.0)
        weight[0] = 1.0
        chosen["sample_weight"] = weight
    if lower is not None:
        chosen["lower"] = lower
    engine = "gram" if gram else "columns"
    path = elastic_net_path(X, y, n_lambdas=12, engine=engine, **chosen)
    assert not path.status.any()
    problem = Problem(X, y, chosen)
    if problem.null() > 1e-20:
        for k, lambda_ in enumerate(path.lambdas):
            assert problem.kkt(path.coef[k], path.intercept[k], lambda_) <= 1.01e-3


@pytest.mark.parametrize("size", ["few columns", "few rows"])
def test_small_lassos_are_walked_exactly_and_need_no_second_engine(size):
    assert select_engine(*SIZES[size]).method == "homotopy"
    for seed in range(20):
        X, y = make(*SIZES[size], seed=seed)
        path = lasso_path(X, y, n_lambdas=12)
        assert path.duality_gap.max() <= 1e-12
        assert not np.any((path.coef != 0) & (np.abs(path.coef) < 1e-12))


def test_lassos_of_many_lanes_are_walked_like_each_alone():
    assert select_engine(400, 90).method == "homotopy"
    rng = np.random.default_rng(5)
    # Columns in a row that resemble each other: variables come, go and come back.
    X = np.cumsum(rng.normal(size=(400, 90)), axis=1)
    Y = X[:, ::9] @ rng.normal(size=(10, 3)) + 5 * rng.normal(size=(400, 3))
    weight = rng.multinomial(400, np.full(400, 1 / 400), size=3).astype(float)
    chosen = {"penalty_weights": 10.0 ** rng.uniform(-3, 3, size=90), "n_lambdas": 25}
    whole = lasso_path(X, Y, sample_weight=weight, **chosen)
    again = lasso_path(X, Y, sample_weight=weight, **chosen)
    np.testing.assert_array_equal(whole.coef, again.coef)
    assert whole.duality_gap.max() <= 1e-12
    for i, j in np.ndindex(3, 3):
        alone = lasso_path(X, Y[:, j], sample_weight=weight[i], **chosen)
        np.testing.assert_allclose(whole.coef[i, j], alone.coef, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("n", "p"), [(30, 50), (30, 200), (50, 20)])
@pytest.mark.parametrize("weighted", [False, True])
def test_at_lambda_0_stands_the_least_squares_solution_of_least_penalty(n, p, weighted):
    rng = np.random.default_rng(p)
    X = rng.normal(size=(n, p)) * np.exp(rng.normal(size=p))
    # With more rows than columns half of these depend on the others.
    X[:, p // 2 : 2 * (p // 2)] = 2 * X[:, : p // 2] if n > p else X[:, p // 2 : 2 * (p // 2)]
    y = rng.normal(size=n)
    root = np.sqrt(rng.random(p) + 0.2) if weighted else np.ones(p)
    centred = X - X.mean(axis=0)
    expected = np.linalg.pinv(centred / root, rcond=1e-10) @ (y - y.mean()) / root
    path = ridge_path(X, y, lambdas=[1e-9, 0.0], penalty_weights=root**2)
    assert not path.status.any()
    np.testing.assert_allclose(path.coef[1], expected, rtol=1e-7, atol=1e-10)
    # Ridge regression ends there.
    np.testing.assert_allclose(path.coef[0], expected, rtol=1e-3, atol=1e-6)
    scaled = ridge_path(X, y, lambdas=[0.0], standardize=True)
    unit = X.std(axis=0)
    np.testing.assert_allclose(
        scaled.coef[0] * unit,
        np.linalg.pinv(centred / unit, rcond=1e-10) @ (y - y.mean()),
        rtol=1e-7,
        atol=1e-10,
    )


def test_least_squares_reaches_columns_of_any_scale():
    X = np.random.default_rng(0).normal(size=(20, 40)) * np.repeat([1e7, 1e-7], [5, 35])
    y = np.random.default_rng(1).normal(size=20)
    path = ridge_path(X, y, lambdas=[0.0])
    assert path.duality_gap[0] <= 1e-12
    np.testing.assert_allclose(path.predict(X)[0], y, atol=1e-6)
