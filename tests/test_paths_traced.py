"""Paths in traced code beside those of NumPy, and their gaps recomputed from the data."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from regjax.paths import elastic_net_path, ridge_path, sufficient_statistics
from regjax.paths.settings import Settings
from regjax.paths.sharded import sharded_statistics
from regjax.paths.traced import lanes as traced_lanes
from regjax.paths.traced import path as traced_paths
from regjax.paths.traced.lanes import ROUNDINGS

ROOT = pathlib.Path(__file__).parents[1]
N_LAMBDAS = 12

# Of 140 columns not all are in play at a time.
SIZES = {"tall": (40, 12), "wide": (15, 24), "screened": (12, 140)}
SETTINGS = {
    "lasso": {},
    "elastic net": {"l1_ratio": 0.5},
    "ridge": {"l1_ratio": 0.0},
    "no intercept": {"fit_intercept": False},
    "standardised": {"standardize": True, "l1_ratio": 0.75},
    "weighted": {"sample_weight": "random"},
    "non-negative": {"lower": 0.0},
    "boxed lasso": {"lower": -0.25, "upper": 0.25},
    "boxed": {"lower": -0.25, "upper": 0.25, "l1_ratio": 0.875},
    "penalty weights": {"penalty_weights": "mixed"},
    "all at once": {
        "penalty_weights": "mixed",
        "sample_weight": "random",
        "standardize": True,
        "fit_intercept": False,
        "l1_ratio": 0.5,
    },
}


def precision(size, number, settings):
    """Each setting in one precision at each size; few programs serve all that have bounds."""
    bounded = "lower" in settings
    if size == "tall":
        return np.float32 if number % 2 and not bounded else np.float64
    return np.float32 if bounded else np.float64


CASES = [
    pytest.param(
        size,
        setting,
        precision(size, number, settings),
        marks=[pytest.mark.slow] if size == "screened" else [],
        id=f"{size}-{setting}",
    )
    for size in SIZES
    for number, (setting, settings) in enumerate(SETTINGS.items())
]


def traced_path(X, y, l1_ratio=1.0, **settings):
    """What JAX runs on an accelerator: a program for arrays whose values are known, too."""
    return traced_paths.traced_path(X, y, l1_ratio, Settings.of("traced_path", settings))


# With every argument given and traced, one program serves all settings of a size and a precision;
# another serves those with bounds.
solve = jax.jit(traced_path)


def given(X, settings, lambdas, tol):
    """Every argument, neutral where a setting says nothing; bounds where it has one."""
    n, p = X.shape
    bounds = {"lower": -np.inf, "upper": np.inf} if {"lower", "upper"} & set(settings) else {}
    neutral = {
        "l1_ratio": 1.0,
        "fit_intercept": True,
        "standardize": False,
        "sample_weight": np.ones(n),
        "penalty_weights": np.ones(p),
        "lambdas": lambdas,
        "tol": tol,
    }
    return {
        name: np.asarray(value, None if isinstance(value, bool) else X.dtype)
        for name, value in {**neutral, **bounds, **settings}.items()
    }


def forget_programs():
    traced_paths._path.clear_cache()


def on_host(paths):
    return jax.tree.map(np.asarray, paths)


def of(paths, i):
    """The path of one response, or of one lane."""
    return jax.tree.map(lambda field: field[i] if np.ndim(field) else field, on_host(paths))


def make(n, p, dtype=np.float64, seed=0, targets=None):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 0.3 * rng.normal(size=(n, 1)) + rng.normal(size=p)
    b = np.where(rng.random((p, targets or 1)) < 0.3, rng.normal(size=(p, targets or 1)), 0.0)
    y = X @ b + 1.0 + rng.normal(size=(n, 1))
    return X.astype(dtype), (y if targets else y[:, 0]).astype(dtype)


def fill(settings, n, p, dtype):
    """Settings with their vectors, exact in `dtype`, so that both engines read the same."""
    rng = np.random.default_rng(1)
    filled = dict(settings)
    if "penalty_weights" in settings:
        weights = rng.uniform(0.5, 2, size=p)
        weights[:2], weights[3:5] = 0.0, np.inf
        filled["penalty_weights"] = weights.astype(dtype)
    if "sample_weight" in settings:
        weight = np.where(rng.random(n) < 0.1, 0, rng.uniform(0.2, 3, size=n))
        filled["sample_weight"] = weight.astype(dtype)
    return filled


def null_objective(y, settings):
    y = np.asarray(y, float)
    w = np.asarray(settings.get("sample_weight", np.ones(len(y))), float)
    mean = np.average(y, weights=w) if settings.get("fit_intercept", True) else 0.0
    return np.average((y - mean) ** 2, weights=w) / 2


def objective(X, y, coef, intercept, lambda_, settings):
    """The definition, in float64."""
    X, y, b = np.asarray(X, float), np.asarray(y, float), np.asarray(coef, float)
    w = np.asarray(settings.get("sample_weight", np.ones(len(y))), float)
    factors = np.asarray(settings.get("penalty_weights", np.ones(len(b))), float)
    spread = 1.0
    if settings.get("standardize"):
        spread = np.sqrt(np.average((X - np.average(X, axis=0, weights=w)) ** 2, axis=0, weights=w))
    assert np.all(b >= settings.get("lower", -np.inf))
    assert np.all(b <= settings.get("upper", np.inf))
    used = np.isfinite(factors)
    assert np.all(b[~used] == 0)
    ratio, scaled = settings.get("l1_ratio", 1.0), b * spread
    each = (ratio * np.abs(scaled) + (1 - ratio) / 2 * scaled**2)[used]
    residual = y - float(intercept) - X @ b
    return np.average(residual**2, weights=w) / 2 + lambda_ * np.sum(factors[used] * each)


def check(path, X, y, settings, tol):
    """Every solution is as near its minimum, by a tighter NumPy path, as its gap says."""
    path = on_host(path)
    assert not np.any(path.status)
    assert np.all(path.duality_gap <= tol)
    assert path.coef.dtype == path.intercept.dtype == path.lambdas.dtype == X.dtype
    lambdas = np.asarray(path.lambdas, np.float64)
    best = elastic_net_path(X, y, lambdas=lambdas, tol=1e-13, **settings)
    null = null_objective(y, settings)
    rounding = 8 * np.finfo(X.dtype).eps
    for k, lambda_ in enumerate(lambdas):
        ours = objective(X, y, path.coef[k], path.intercept[k], lambda_, settings)
        least = objective(X, y, best.coef[k], best.intercept[k], lambda_, settings)
        assert -1e-12 <= (ours - least) / null <= path.duality_gap[k] + rounding


@pytest.mark.parametrize(("size", "setting", "dtype"), CASES)
def test_a_traced_path_is_that_of_numpy(size, setting, dtype):
    X, y = make(*SIZES[size], dtype)
    settings = fill(SETTINGS[setting], *X.shape, dtype)
    tol = 1e-9 if dtype == np.float64 else ROUNDINGS * np.finfo(dtype).eps
    grid = elastic_net_path(X, y, n_lambdas=N_LAMBDAS, **settings).lambdas.astype(dtype)
    with jax.enable_x64(dtype == np.float64):
        path = solve(X, y, **given(X, settings, grid[::-1], tol))
    np.testing.assert_array_equal(path.lambdas, grid)
    check(path, X, y, settings, tol)


def test_its_grid_is_that_of_numpy(x64):
    X, y = make(*SIZES["tall"])
    path = traced_path(X, y, n_lambdas=N_LAMBDAS, tol=1e-9)
    check(path, X, y, {}, 1e-9)
    assert not np.any(path.coef[0])
    grid = elastic_net_path(X, y, n_lambdas=N_LAMBDAS).lambdas
    np.testing.assert_allclose(path.lambdas, grid, rtol=1e-12)
    settings = {"n_lambdas": N_LAMBDAS, "lower": 0.0, "l1_ratio": 0.5}
    grid = elastic_net_path(X, -y, **settings).lambdas
    lambdas = jax.jit(lambda X, y: traced_path(X, y, **settings).lambdas)(X, -y)
    np.testing.assert_allclose(lambdas, grid, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["tall", "wide"])
def test_ridge_is_that_of_numpy_down_to_its_own_least_lambda(size, x64):
    X, y = make(*SIZES[size])
    path = jax.jit(lambda X, y: ridge_path(X, y, n_lambdas=N_LAMBDAS, tol=1e-12))(X, y)
    host = ridge_path(X, y, n_lambdas=N_LAMBDAS)
    np.testing.assert_allclose(path.lambdas, host.lambdas, rtol=1e-12)
    assert not path.status.any()
    np.testing.assert_allclose(path.coef, host.coef, rtol=1e-7, atol=1e-10)


def test_everything_maps(x64):
    """The public function over data, weightings, mixes and lambdas."""
    n, p = SIZES["tall"]
    data = [make(n, p, seed=seed) for seed in range(3)]
    X, y = (np.stack(part) for part in zip(*data, strict=True))
    rng = np.random.default_rng(2)
    weights = rng.uniform(0.2, 3, size=(3, 2, n))
    lambdas = np.sort(rng.uniform(0.01, 1, size=(3, 5)))[:, ::-1]
    l1_ratio = np.array([0.25, 0.5, 1.0])

    def lane(X, y, weights, lambdas, l1_ratio):
        settings = {"lambdas": lambdas, "l1_ratio": l1_ratio, "tol": 1e-9}
        return elastic_net_path(X, y, sample_weight=weights, **settings)

    paths = jax.jit(jax.vmap(lane))(X, y, weights, lambdas, l1_ratio)
    assert isinstance(paths.coef, jax.Array)
    for i in range(3):
        for k in range(2):
            settings = {"sample_weight": weights[i, k], "l1_ratio": float(l1_ratio[i])}
            check(of(of(paths, i), k), X[i], y[i], settings, 1e-9)


def test_responses_are_paths_of_their_own(x64, monkeypatch):
    """Rows and columns are filled up, and blocks of responses follow one another."""
    X, y = make(41, 17, targets=5)
    y[:, 3] *= 1e-9
    y[:, 4] = 2.0
    monkeypatch.setattr(traced_lanes, "_MAX_ENTRIES", 2 * 4 * 18)
    # A program that is there would be used again.
    forget_programs()
    paths = traced_path(X, y, n_lambdas=4, tol=1e-9)
    forget_programs()
    assert paths.coef.shape == (5, 4, 17)
    for k in range(4):
        check(of(paths, k), X, y[:, k], {}, 1e-9)
    assert not np.any(paths.coef[4])
    np.testing.assert_allclose(paths.intercept[4], 2.0)


@pytest.mark.parametrize(
    ("size", "dtype"), [("tall", np.float64), ("tall", np.float32), ("wide", np.float64)]
)
def test_at_lambda_0_stands_the_least_squares_solution_of_least_norm(size, dtype):
    n, p = SIZES[size]
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(n, p)) * np.exp(rng.normal(size=p)), rng.normal(size=n)
    if n > p and dtype == np.float64:
        X[:, 1] = 2 * X[:, 0]
    X, y = X.astype(dtype), y.astype(dtype)
    lambdas = np.append(0.0, np.geomspace(0.1, 1, N_LAMBDAS - 1))
    with jax.enable_x64(dtype == np.float64):
        path = on_host(solve(X, y, **given(X, {}, lambdas, 1e-6)))
    expected = np.linalg.pinv(X - X.mean(axis=0), rcond=1e-10) @ (y - y.mean())
    assert path.lambdas[-1] == 0
    assert not np.any(path.status)
    accuracy = 1e-8 if dtype == np.float64 else 2e-3
    scale = np.abs(expected).max()
    np.testing.assert_allclose(path.coef[-1], expected, rtol=accuracy, atol=accuracy / 100 * scale)


@pytest.mark.parametrize("upper", [0.5, np.inf])
def test_lambda_zero_within_bounds_is_no_better_than_its_gap(upper, x64):
    X, y = make(*SIZES["tall"])
    lambdas = np.geomspace(1, 0.1, N_LAMBDAS)
    lambdas[-1] = 0.0
    path = solve(X, y, **given(X, {"lower": 0.0, "upper": upper}, lambdas, 1e-6))
    assert np.isfinite(upper) <= (path.status[-1] == 0)
    assert not path.status[:-1].any()
    nearly = elastic_net_path(X, y, lambdas=[1e-9], lower=0.0, upper=upper, tol=1e-9)
    least = objective(X, y, nearly.coef[0], nearly.intercept[0], 0.0, {})
    ours = objective(X, y, path.coef[-1], path.intercept[-1], 0.0, {})
    assert (ours - least) / null_objective(y, {}) <= path.duality_gap[-1] + 1e-9


def test_far_means_and_odd_columns_are_no_trouble(x64):
    X, y = make(*SIZES["tall"])
    X[:, 1] = X[:, 0]
    X[:, 4] = 7.3
    X[:, 5] = 0.0
    X = X * 10.0 ** np.arange(-6, 6)
    X[:, 7] = X[:, 7] + 1e8 * X[:, 7].std()
    path = traced_path(X, y, n_lambdas=N_LAMBDAS, tol=1e-9)
    check(path, X, y, {}, 1e-9)
    assert not path.coef[:, 4:6].any()


FAULTS = {
    "X": {"X": np.nan},
    "y": {"y": np.inf},
    "l1_ratio": {"l1_ratio": 1.5},
    "lambdas": {"lambdas": np.linspace(-1, 1, N_LAMBDAS)},
    "sample_weight": {"sample_weight": np.full(40, -1.0)},
    "no weight": {"sample_weight": np.zeros(40)},
    "penalty_weights": {"penalty_weights": np.full(12, -1.0)},
    "lower": {"lower": 0.5},
    "bounded and free": {"lower": 0.0, "penalty_weights": np.zeros(12)},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_raise_is_not_certified(fault, x64):
    X, y = make(*SIZES["tall"])
    settings = dict(FAULTS[fault])
    if fault in ("X", "y"):
        (X if fault == "X" else y)[3] = settings.pop(fault)
    lambdas = settings.pop("lambdas", np.geomspace(1, 0.1, N_LAMBDAS))
    path = solve(X, y, **given(X, settings, lambdas, 1e-6))
    assert path.status.all()
    assert np.isinf(path.duality_gap).all()
    assert np.isnan(path.coef).all()
    if fault not in ("X", "y", "lambdas", "sample_weight", "no weight"):
        with pytest.raises(ValueError, match=r"must|cannot"):
            traced_path(X, y, **settings)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"X": np.ones(3)}, "X must have shape"),
        ({"y": np.ones(3)}, "40 samples"),
        ({"sample_weight": np.ones(3)}, "sample_weight must have shape"),
        ({"n_lambdas": 0}, "at least 1"),
        ({"lambdas": 0.1}, "lambdas must be a non-empty vector"),
        ({"lambdas": []}, "lambdas must be a non-empty vector"),
        ({"penalty_weights": np.ones(3)}, "penalty_weights must have shape"),
    ],
)
def test_wrong_shapes_raise(arguments, text):
    X, y = make(*SIZES["tall"], np.float32)
    with pytest.raises(ValueError, match=text):
        traced_path(**{"X": X, "y": y, **arguments})


def test_one_program_serves_any_number_of_rows(x64):
    traces = []

    @jax.jit
    def fit(statistics):
        traces.append(1)
        return elastic_net_path(statistics, n_lambdas=4, tol=1e-9)

    for n in (20, 33, 69):
        X, y = make(n, 6, seed=n)
        path = fit(sufficient_statistics(X, y))
        assert path.coef.shape == (4, 6)
        np.testing.assert_allclose(
            path.lambdas, elastic_net_path(X, y, n_lambdas=4).lambdas, rtol=1e-12
        )
        check(path, X, y, {}, 1e-9)
    assert len(traces) == 1


def test_loops_never_look_at_the_host(x64):
    X, y = make(*SIZES["tall"])
    arguments = jax.device_put(given(X, {}, np.geomspace(1, 0.1, N_LAMBDAS), 1e-6))
    X, y = jax.device_put((X, y))
    solve(X, y, **arguments)
    with jax.transfer_guard("disallow"):
        solve(X, y, **arguments)


SHARDED = """
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from regjax.paths import sufficient_statistics
from regjax.paths.sharded import sharded_statistics

assert jax.device_count() == 4
jax.config.update("jax_enable_x64", True)
mesh = jax.make_mesh((4,), ("rows",))
rng = np.random.default_rng(0)
X, y = rng.normal(size=(40, 5)) + 1e8, rng.normal(size=(40, 2)) - 1e6
spread = [jax.device_put(a, NamedSharding(mesh, PartitionSpec("rows"))) for a in (X, y)]
inside = jax.jit(lambda X, y: sharded_statistics(X, y, mesh=mesh, axis="rows"))
for weight in (None, rng.random(40) * (rng.random(40) > 0.3)):
    host = sufficient_statistics(X, y, weight)
    for a, b in ((X, y), spread):
        found = sharded_statistics(a, b, weight, mesh=mesh, axis="rows")
        for part, expected in zip(found, host):
            np.testing.assert_allclose(part, expected, rtol=1e-13, atol=1e-9 * host.weight)
host = sufficient_statistics(X, y)
np.testing.assert_allclose(inside(*spread).xx, host.xx, rtol=1e-13, atol=1e-9)
"""


def test_statistics_of_rows_on_four_devices_are_those_of_numpy(shared_cache):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    subprocess.run(
        [sys.executable, "-c", SHARDED], cwd=ROOT, env={**os.environ, **flags}, check=True
    )


@pytest.mark.parametrize(
    ("n", "axis", "weight", "text"),
    [(3, "rows", np.ones(2), "sample_weight"), (3, "columns", None, "no 'columns'")],
)
def test_sharded_statistics_say_what_does_not_fit(n, axis, weight, text):
    mesh = jax.make_mesh((1,), ("rows",))
    with pytest.raises(ValueError, match=text):
        sharded_statistics(np.ones((n, 2)), np.ones(n), weight, mesh=mesh, axis=axis)


# --- the public function, from within ---


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda s, X, y: elastic_net_path(s, y), "leave these out"),
        (lambda s, X, y: elastic_net_path(X), "y is missing"),
    ],
)
def test_what_is_given_twice_or_not_at_all_is_refused_in_traced_code_too(call, text):
    X, y = make(*SIZES["tall"])
    with pytest.raises(ValueError, match=text):
        jax.jit(call)(sufficient_statistics(X, y), X, y)
