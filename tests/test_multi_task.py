"""Joint paths of several responses against the definition, scikit-learn and one response alone."""

import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quick import pairs
from scipy.sparse import csr_array
from sklearn.linear_model import MultiTaskElasticNet, MultiTaskLasso

from regjax.paths import (
    ConvergenceWarning,
    elastic_net_path,
    k_folds,
    multi_task_cv,
    multi_task_path,
    ridge_path,
    sufficient_statistics,
)
from regjax.paths._joint import solve_lanes
from regjax.paths._lanes import MomentLanes
from regjax.paths._penalties import MultiTaskPenalty
from regjax.paths.engines.solutions import LanePath
from regjax.paths.settings import Settings

# --- the problem, written down from its definition ---


@dataclasses.dataclass(frozen=True)
class Problem:
    """Data and settings; everything here reads the definition and nothing else."""

    X: np.ndarray
    Y: np.ndarray
    settings: dict

    def parts(self):
        """Return row weights that sum to 1; factors and standard deviations of columns."""
        n, p = self.X.shape
        w = np.asarray(self.settings.get("sample_weight", np.ones(n)), float)
        w = w / w.sum()
        f = np.asarray(self.settings.get("penalty_weights", np.ones(p)), float)
        sd = np.ones(p)
        if self.settings.get("standardize"):
            sd = np.sqrt(w @ (self.X - w @ self.X) ** 2)
        return w, f, sd

    def centre(self, values):
        w, *_ = self.parts()
        return values - w @ values if self.settings.get("fit_intercept", True) else values

    def null(self):
        return np.sum(self.parts()[0] @ self.centre(self.Y) ** 2) / 2

    def strengths(self, lambda_):
        """Return what multiplies the norms of rows, and half their squares; 0 if left out."""
        _, f, sd = self.parts()
        f = np.where(np.isfinite(f), f, 0.0)
        ratio = self.settings.get("l1_ratio", 1.0)
        return lambda_ * ratio * f * sd, lambda_ * (1 - ratio) * f * sd**2

    def objective(self, coef, intercept, lambda_):
        w, *_ = self.parts()
        l1, l2 = self.strengths(lambda_)
        size = np.linalg.norm(coef, axis=0)
        residual = self.Y - intercept - self.X @ coef.T
        return np.sum(w @ residual**2) / 2 + l1 @ size + l2 @ size**2 / 2

    def correlations(self, coef, intercept):
        """Return the residuals, and their products with the columns, (n_features, n_targets)."""
        w, f, _ = self.parts()
        residual = self.Y - intercept - self.X @ coef.T
        z = self.centre(self.X).T @ (w[:, None] * residual)
        return residual, z * np.isfinite(f)[:, None]

    def gap(self, coef, intercept, lambda_):
        """Return the objective less the best bound that a multiple of the residual gives."""
        w, f, _ = self.parts()
        l1, l2 = self.strengths(lambda_)
        residual, z = self.correlations(coef, intercept)
        if self.settings.get("fit_intercept", True):
            assert np.abs(w @ residual).max() <= 1e-7 * np.sqrt(2 * self.null())
        pull = np.linalg.norm(z, axis=1)
        penalised = f > 0
        spread = np.sqrt(w @ self.centre(self.X) ** 2)
        assert np.all(pull[~penalised] <= 1e-7 * spread[~penalised] * np.sqrt(2 * self.null()))
        pull, l1, l2 = (part[penalised & np.isfinite(f)] for part in (pull, l1, l2))
        fit, square = np.sum(w @ (residual * self.Y)), np.sum(w @ residual**2)

        def dual(s):
            over = np.maximum(s * pull - l1 * (1 + 1e-12), 0)
            if np.any(over[l2 == 0] > 0):
                return -np.inf
            return s * fit - s * s * square / 2 - np.sum(over[l2 > 0] ** 2 / l2[l2 > 0]) / 2

        with np.errstate(divide="ignore", invalid="ignore"):
            inside = np.nanmin(l1 / pull, initial=1e300)
            free = fit / square if square > 0 else 1.0
        best = max(dual(1.0), dual(min(inside, free)), 0.0)
        return (self.objective(coef, intercept, lambda_) - best) / self.null()

    def violation(self, coef, intercept, lambda_):
        """Return by how much optimality conditions are broken at most, relative to the scale."""
        w, f, _ = self.parts()
        l1, l2 = self.strengths(lambda_)
        _, z = self.correlations(coef, intercept)
        size = np.linalg.norm(coef, axis=0)
        spread = np.sqrt(w @ self.centre(self.X) ** 2)
        broken = np.maximum(np.linalg.norm(z, axis=1) - l1, 0.0)
        for j in np.flatnonzero(size):
            b = coef[:, j]
            broken[j] = np.linalg.norm(z[j] - l2[j] * b - l1[j] * b / size[j])
        used = (spread > 1e-12) & np.isfinite(f)
        return np.max(broken[used] / spread[used], initial=0.0) / np.sqrt(2 * self.null())


def make(n, p, m, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 0.3 * rng.normal(size=(n, 1)) + rng.normal(size=p)
    B = np.where(rng.random(p) < 0.3, 1.0, 0.0)[:, None] * rng.normal(size=(p, m))
    return X, X @ B + rng.normal(size=m) + rng.normal(size=(n, m))


SIZES = {
    "few columns": (60, 8, 3),
    "more columns": (150, 80, 4),
    "few rows": (20, 150, 3),
    "more responses than rows": (15, 25, 40),
}
SETTINGS = {
    "lasso": {},
    "elastic net": {"l1_ratio": 0.5},
    "nearly ridge": {"l1_ratio": 0.01},
    "ridge": {"l1_ratio": 0.0},
    "no intercept": {"fit_intercept": False},
    "standardised": {"standardize": True, "l1_ratio": 0.8},
    "weighted": {"sample_weight": "random"},
    "unpenalised": {"penalty_weights": "some zero", "l1_ratio": 0.7},
    "left out": {"penalty_weights": "some infinite"},
    "all at once": {
        "penalty_weights": "mixed",
        "sample_weight": "random",
        "standardize": True,
        "l1_ratio": 0.6,
    },
}


def fill(setting, n, p, seed=1):
    rng = np.random.default_rng(seed)
    filled = dict(setting)
    weights = rng.uniform(0.5, 2, size=p)
    if setting.get("penalty_weights") in ("some zero", "mixed"):
        weights[:2] = 0.0
    if setting.get("penalty_weights") in ("some infinite", "mixed"):
        weights[3:5] = np.inf
    if "penalty_weights" in setting:
        filled["penalty_weights"] = weights
    if "sample_weight" in setting:
        filled["sample_weight"] = np.where(rng.random(n) < 0.1, 0, rng.uniform(0.2, 3, size=n))
    return filled


sizes = pytest.mark.parametrize("size", SIZES)
engines = pytest.mark.parametrize("engine", ["gram", "columns"])


@pytest.mark.parametrize(("size", "setting", "engine"), pairs(SIZES, SETTINGS, ["gram", "columns"]))
def test_every_solution_is_optimal_and_its_gap_true(size, setting, engine):
    n, p, m = SIZES[size]
    X, Y = make(n, p, m)
    problem = Problem(X, Y, fill(SETTINGS[setting], n, p))
    path = multi_task_path(X, Y, n_lambdas=12, tol=1e-10, **problem.settings, engine=engine)
    assert path.coef.shape == (m, 12, p)
    assert path.intercept.shape == (m, 12)
    assert not path.status.any()
    left_out = np.isinf(problem.parts()[1])
    assert not path.coef[:, :, left_out].any()
    for k, lambda_ in enumerate(path.lambdas):
        solution = path.coef[:, k], path.intercept[:, k], lambda_
        assert abs(problem.gap(*solution) - path.duality_gap[k]) <= 1e-11
        assert problem.gap(*solution) <= 1.1e-10
        assert problem.violation(*solution) <= 1e-4


@sizes
@pytest.mark.parametrize("l1_ratio", [1.0, 0.4])
def test_scikit_learn_finds_the_same_objective(size, l1_ratio):
    X, Y = make(*SIZES[size])
    problem = Problem(X, Y, {"l1_ratio": l1_ratio})
    path = multi_task_path(X, Y, n_lambdas=6, lambda_min_ratio=1e-2, l1_ratio=l1_ratio)
    for k, lambda_ in enumerate(path.lambdas):
        other = (
            MultiTaskLasso(lambda_, tol=1e-9, max_iter=10**5)
            if l1_ratio == 1
            else MultiTaskElasticNet(lambda_, l1_ratio=l1_ratio, tol=1e-9, max_iter=10**5)
        ).fit(X, Y)
        ours = problem.objective(path.coef[:, k], path.intercept[:, k], lambda_)
        theirs = problem.objective(other.coef_, other.intercept_, lambda_)
        assert abs(ours - theirs) <= 1e-6 * problem.null()


@pytest.mark.parametrize("l1_ratio", [1.0, 0.6, 0.05])
def test_orthonormal_columns_are_thresholded_by_their_norms(l1_ratio):
    rng = np.random.default_rng(0)
    n, p, m = 40, 6, 3
    X = np.linalg.qr(np.column_stack([np.ones(n), rng.normal(size=(n, p))]))[0][:, 1:]
    X *= np.sqrt(n)
    Y = rng.normal(size=(n, m)) * [1.0, 2.0, 3.0] + 4.0
    ols = X.T @ Y / n
    size = np.linalg.norm(ols, axis=1, keepdims=True)
    path = multi_task_path(X, Y, l1_ratio=l1_ratio, n_lambdas=9, tol=1e-14)
    assert path.lambdas[0] * l1_ratio == pytest.approx(size.max())
    assert not path.coef[:, 0].any()
    for lambda_, coef in zip(path.lambdas, np.moveaxis(path.coef, 1, 0), strict=True):
        kept = np.maximum(1 - lambda_ * l1_ratio / size, 0) / (1 + lambda_ * (1 - l1_ratio))
        np.testing.assert_allclose(coef.T, kept * ols, atol=1e-6)


@engines
def test_the_first_row_comes_in_just_below_the_first_lambda(engine):
    X, Y = make(30, 12, 4)
    factors = np.linspace(0.5, 3, 12)
    first = multi_task_path(X, Y, n_lambdas=1, penalty_weights=factors, engine=engine).lambdas[0]
    path = multi_task_path(
        X,
        Y,
        lambdas=[1.001 * first, 0.999 * first],
        penalty_weights=factors,
        tol=1e-12,
        engine=engine,
    )
    np.testing.assert_array_equal(path.coef.any(axis=0).sum(axis=1), [0, 1])


@engines
def test_one_response_alone_is_the_elastic_net(engine):
    X, Y = make(40, 15, 1)
    joint = multi_task_path(X, Y, l1_ratio=0.8, n_lambdas=10, tol=1e-12, engine=engine)
    alone = elastic_net_path(X, Y[:, 0], l1_ratio=0.8, n_lambdas=10, tol=1e-12, engine=engine)
    np.testing.assert_allclose(joint.lambdas, alone.lambdas)
    np.testing.assert_allclose(joint.coef[0], alone.coef, atol=1e-5)
    np.testing.assert_allclose(joint.intercept[0], alone.intercept, atol=1e-5)


@engines
def test_responses_may_be_rotated(engine):
    X, Y = make(30, 12, 4)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0]
    plain = multi_task_path(X, Y, n_lambdas=8, tol=1e-12, engine=engine)
    turned = multi_task_path(X, Y @ turn, n_lambdas=8, tol=1e-12, engine=engine)
    np.testing.assert_allclose(turned.coef, np.tensordot(turn.T, plain.coef, 1), atol=1e-5)


@engines
def test_without_norms_responses_are_apart(engine):
    X, Y = make(40, 9, 3)
    lambdas = [2.0, 0.3, 0.0]
    joint = multi_task_path(X, Y, l1_ratio=0.0, lambdas=lambdas, engine=engine)
    alone = ridge_path(X, Y, lambdas=lambdas, engine=engine)
    np.testing.assert_allclose(joint.coef, alone.coef, atol=1e-8)
    mixed = multi_task_path(X, Y, l1_ratio=0.7, lambdas=lambdas, tol=1e-10, engine=engine)
    assert not mixed.status.any()
    A = np.column_stack([np.ones(40), X])
    exact = np.linalg.lstsq(A, Y, rcond=None)[0]
    np.testing.assert_allclose(mixed.coef[:, -1], exact[1:].T, atol=1e-8)
    np.testing.assert_allclose(mixed.intercept[:, -1], exact[0], atol=1e-8)
    assert mixed.duality_gap.shape == (3,)
    problem = Problem(X, Y, {"l1_ratio": 0.7})
    for k in range(2):
        gap = problem.gap(mixed.coef[:, k], mixed.intercept[:, k], mixed.lambdas[k])
        assert gap <= 1.1e-10


def test_the_grid_without_norms_is_that_of_ridge():
    X, Y = make(40, 9, 1)
    joint, alone = multi_task_path(X, Y, l1_ratio=0.0), ridge_path(X, Y[:, 0])
    np.testing.assert_allclose(joint.lambdas, alone.lambdas)
    np.testing.assert_allclose(joint.coef[0], alone.coef, atol=1e-10)


def test_gaps_of_responses_apart_add_up_in_their_units():
    X, Y = make(40, 9, 3)
    Y = Y * [1.0, 10.0, 100.0]
    elsewhere = ridge_path(X, Y, lambdas=[0.4, 0.2])
    one = {"l1_ratio": 0.0}
    gaps = [
        [Problem(X, Y[:, [k]], one).gap(b[None], a, lambda_) for b, a, lambda_ in solutions]
        for k, solutions in enumerate(
            zip(coef, intercept, [0.3, 0.1], strict=True)
            for coef, intercept in zip(elsewhere.coef, elsewhere.intercept, strict=True)
        )
    ]

    class Inexact(MomentLanes):
        def solve(self, lambdas, penalty, tol):
            return [LanePath(elsewhere.coef, elsewhere.intercept, np.array(gaps))]

    lanes = Inexact([sufficient_statistics(X, Y)], [], len(X), Settings().shape(9))
    grid = np.array([[[0.3, 0.1]]])
    (found,) = solve_lanes(lanes, grid, MultiTaskPenalty(0.0), 1e-6)
    for k, lambda_ in enumerate([0.3, 0.1]):
        joint = Problem(X, Y, one).gap(found.coef[0, :, k], found.intercept[0, :, k], lambda_)
        assert joint > 1e-6
        np.testing.assert_allclose(found.gap[:, k], joint, rtol=1e-6)


# --- data that break things ---


def hard(name):
    X, Y = make(40, 9, 3)
    if name == "duplicates":
        X[:, 1] = X[:, 0]
        X[:, 2] = -X[:, 0]
    if name == "collinear":
        X[:, 3] = X[:, 0] + X[:, 1] - X[:, 2]
    if name == "nearly dependent":
        X = X + 1e3 * np.random.default_rng(3).normal(size=(40, 1))
    if name == "constant columns":
        X[:, 4] = 7.3
        X[:, 5] = 0.0
    if name == "far from zero":
        X, Y = X + 1e8, Y + 1e8
    if name == "units":
        X = X * 10.0 ** np.arange(-4, 5)
    if name == "units of the responses":
        Y = Y * [1e-6, 1.0, 1e6]
    if name == "one column":
        X = X[:, :1]
    if name == "dependent responses":
        Y[:, 1], Y[:, 2] = Y[:, 0], 3.3
    return X, Y


HARD = [
    "duplicates",
    "collinear",
    "nearly dependent",
    "constant columns",
    "far from zero",
    "units",
    "units of the responses",
    "one column",
    "dependent responses",
]


@pytest.mark.parametrize(
    ("name", "l1_ratio", "engine"), pairs(HARD, [1.0, 0.7], ["gram", "columns"])
)
def test_hard_data_are_solved(name, l1_ratio, engine):
    X, Y = hard(name)
    path = multi_task_path(X, Y, l1_ratio=l1_ratio, n_lambdas=20, engine=engine)
    assert not path.status.any()
    if name == "constant columns":
        assert not path.coef[:, :, 4:6].any()
    problem = Problem(X, Y, {"l1_ratio": l1_ratio})
    for k, lambda_ in enumerate(path.lambdas):
        if name == "far from zero":
            # 1e8 leaves these checks half the digits, and the fit all of them: shift it back.
            problem = Problem(X - 1e8, Y - 1e8, {"l1_ratio": l1_ratio})
            b = path.coef[:, k]
            a = path.intercept[:, k] + 1e8 * (b.sum(axis=1) - 1)
            a = a + np.mean(problem.Y - a - problem.X @ b.T, axis=0)
        else:
            b, a = path.coef[:, k], path.intercept[:, k]
        assert problem.gap(b, a, lambda_) <= 1.01e-6


@engines
@pytest.mark.parametrize("value", [3.0, 3.3])
def test_constant_responses_need_no_coefficients(engine, value):
    X, _ = make(40, 9, 3)
    path = multi_task_path(X, np.full((40, 3), value), n_lambdas=5)
    assert not path.status.any()
    assert not path.coef.any()
    np.testing.assert_allclose(path.intercept, value)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(2, 25),
    p=st.integers(1, 25),
    m=st.integers(1, 30),
    seed=st.integers(0, 1000),
    l1_ratio=st.sampled_from([0.2, 0.9999, 1.0]),
    copies=st.booleans(),
    zeros=st.booleans(),
    gram=st.booleans(),
)
def test_any_shape_is_solved(n, p, m, seed, l1_ratio, copies, zeros, gram):
    X, Y = make(n, p, m, seed)
    rng = np.random.default_rng(seed)
    if copies:
        X[:, rng.integers(p)] = X[:, rng.integers(p)]
    chosen = {"l1_ratio": l1_ratio}
    if zeros:
        weight = np.where(rng.random(n) < 0.7, 0.0, 1.0)
        weight[0] = 1.0
        chosen["sample_weight"] = weight
    engine = "gram" if gram else "columns"
    path = multi_task_path(X, Y, n_lambdas=6, engine=engine, **chosen)
    assert not path.status.any()
    problem = Problem(X, Y, chosen)
    if problem.null() > 1e-20:
        for k, lambda_ in enumerate(path.lambdas):
            assert problem.gap(path.coef[:, k], path.intercept[:, k], lambda_) <= 1.01e-6


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_one_small_lambda_of_a_wide_matrix_is_reached(l1_ratio):
    X, Y = make(40, 600, 3)
    first = multi_task_path(X, Y, l1_ratio=l1_ratio, n_lambdas=1).lambdas[0]
    path = multi_task_path(X, Y, l1_ratio=l1_ratio, lambdas=[0.02 * first, 5 * first])
    assert not path.status.any()
    assert not path.coef[:, 0].any()
    problem = Problem(X, Y, {"l1_ratio": l1_ratio})
    assert problem.gap(path.coef[:, 1], path.intercept[:, 1], path.lambdas[1]) <= 1.01e-6


def test_what_is_not_reached_is_said_where_it_was_asked():
    X, Y = make(30, 12, 3)
    with pytest.warns(ConvergenceWarning, match="above tol") as caught:
        path = multi_task_path(X, Y, n_lambdas=5, tol=0.0)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(path.status, path.duality_gap > 0)
    problem = Problem(X, Y, {})
    for k, lambda_ in enumerate(path.lambdas):
        assert problem.gap(path.coef[:, k], path.intercept[:, k], lambda_) <= 1e-12


def test_rows_statistics_and_sparse_columns_give_one_answer():
    X, Y = make(40, 9, 3)
    X[np.abs(X) < 0.8] = 0.0
    plain = multi_task_path(X, Y, n_lambdas=5, tol=1e-12)
    for other in (
        multi_task_path(sufficient_statistics(X, Y), n_lambdas=5, tol=1e-12),
        multi_task_path(csr_array(X), Y, n_lambdas=5, tol=1e-12),
    ):
        np.testing.assert_allclose(other.coef, plain.coef, atol=1e-6)
        np.testing.assert_allclose(other.intercept, plain.intercept, atol=1e-6)


def test_a_path_predicts_and_interpolates():
    X, Y = make(20, 5, 2)
    path = multi_task_path(X, Y, n_lambdas=4)
    fitted = path.predict(X[:7])
    assert fitted.shape == (2, 4, 7)
    np.testing.assert_allclose(fitted[:, 2].T, X[:7] @ path.coef[:, 2].T + path.intercept[:, 2])
    coef, intercept = path.at(path.lambdas[1])
    np.testing.assert_allclose(coef, path.coef[:, 1])
    np.testing.assert_allclose(intercept, path.intercept[:, 1])
    middle, _ = path.at((path.lambdas[1] + path.lambdas[2]) / 2)
    np.testing.assert_allclose(middle, (path.coef[:, 1] + path.coef[:, 2]) / 2)
    with pytest.raises(ValueError, match="outside the path"):
        path.at(2 * path.lambdas[0])


def with_nan(values):
    values = values.copy()
    values[1, 1] = np.nan
    return values


@pytest.mark.parametrize("function", [multi_task_path, multi_task_cv])
@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("X holds NaN", lambda X, Y: (with_nan(X), Y, {})),
        ("y holds NaN", lambda X, Y: (X, with_nan(Y), {})),
        ("Y must have shape", lambda X, Y: (X, Y[:, 0], {})),
        ("20 rows but y has 19", lambda X, Y: (X, Y[1:], {})),
        ("l1_ratio", lambda X, Y: (X, Y, {"l1_ratio": 1.5})),
        ("lambdas", lambda X, Y: (X, Y, {"lambdas": [-1.0]})),
        ("one weighting", lambda X, Y: (X, Y, {"sample_weight": np.ones((2, 20))})),
        ("penalty_weights", lambda X, Y: (X, Y, {"penalty_weights": [-1.0] * 5})),
        ("y is missing", lambda X, Y: (X, None, {})),
    ],
)
def test_faulty_input_is_refused(function, message, change):
    X, Y, chosen = change(*make(20, 5, 2))
    with pytest.raises(ValueError, match=message):
        function(X, Y, **chosen)


# --- cross-validation ---


@pytest.mark.parametrize(
    ("size", "setting"),
    [
        ("few columns", "lasso"),
        ("few columns", "elastic net"),
        ("few columns", "ridge"),
        ("few columns", "standardised"),
        ("few columns", "weighted"),
        ("few rows", "ridge"),
        ("few rows", "weighted"),
    ],
)
def test_every_fold_is_the_path_of_its_training_rows(size, setting):
    n, p, m = SIZES[size]
    X, Y = make(n, p, m)
    chosen = fill(SETTINGS[setting], n, p)
    weight = chosen.pop("sample_weight", np.ones(n))
    splits = k_folds(n, 3)
    found = multi_task_cv(X, Y, folds=splits, n_lambdas=5, sample_weight=weight, tol=1e-9, **chosen)
    whole = multi_task_path(X, Y, n_lambdas=5, sample_weight=weight, tol=1e-9, **chosen)
    np.testing.assert_allclose(found.lambdas[0], whole.lambdas)
    np.testing.assert_allclose(found.path.coef, whole.coef, atol=1e-3)
    assert found.fold_errors.shape == (1, 3, 5)
    for i, (train, test) in enumerate(splits):
        part = multi_task_path(
            X[train],
            Y[train],
            lambdas=whole.lambdas,
            sample_weight=weight[train],
            tol=1e-9,
            **chosen,
        )
        square = ((part.predict(X[test]) - Y[test].T[:, None]) ** 2).mean(axis=0)
        error = np.average(square, axis=1, weights=weight[test])
        np.testing.assert_allclose(found.fold_errors[0, i], error, rtol=1e-3)


def test_choices_are_read_off_the_errors():
    X, Y = make(60, 10, 3)
    found = multi_task_cv(X, Y, l1_ratio=[0.2, 0.9], n_lambdas=30)
    mean = found.fold_errors.mean(axis=1)
    spread = found.fold_errors.std(axis=1, ddof=1) / np.sqrt(5)
    np.testing.assert_allclose(found.mean_error, mean)
    np.testing.assert_allclose(found.standard_error, spread)
    r, k = np.unravel_index(mean.argmin(), mean.shape)
    assert found.l1_ratio == [0.2, 0.9][r] == found.path.l1_ratio
    assert found.lambda_ == found.lambdas[r, k]
    within = mean[r] <= mean[r, k] + spread[r, k]
    assert found.lambda_1se == found.lambdas[r][within].max()
    assert found.lambda_1se > found.lambda_
    np.testing.assert_array_equal(found.coef, found.path.coef[:, k])
    np.testing.assert_array_equal(found.intercept, found.path.intercept[:, k])
    np.testing.assert_allclose(found.coef_1se, found.path.at(found.lambda_1se)[0])
    np.testing.assert_allclose(found.intercept_1se, found.path.at(found.lambda_1se)[1])
    np.testing.assert_allclose(found.predict(X), found.path.predict(X)[:, k].T)


def test_statistics_of_the_folds_stand_for_the_rows():
    X, Y = make(40, 6, 2)
    splits = k_folds(40, 4)
    by_rows = multi_task_cv(X, Y, folds=splits, n_lambdas=6)
    by_parts = multi_task_cv(
        [sufficient_statistics(X[test], Y[test]) for _, test in splits], n_lambdas=6
    )
    np.testing.assert_allclose(by_parts.fold_errors, by_rows.fold_errors, rtol=1e-6)
    assert by_parts.lambda_ == pytest.approx(by_rows.lambda_)


def test_names_of_columns_are_kept():
    polars = pytest.importorskip("polars")
    X, Y = make(20, 2, 2)
    frame = polars.DataFrame({"age": X[:, 0], "bmi": X[:, 1]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert multi_task_path(frame, Y, n_lambdas=3).feature_names == ("age", "bmi")
        assert multi_task_cv(frame, Y, n_lambdas=3).path.feature_names == ("age", "bmi")
