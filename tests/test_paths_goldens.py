"""Paths against solutions of scikit-learn and glmnet that were written down once, very exact."""

import json
import pathlib

import numpy as np
import pytest

from regjax.paths import elastic_net_path

GOLDENS = json.loads((pathlib.Path(__file__).parent / "goldens" / "paths.json").read_text())
CASES = {f"{case['problem']}, {case['setting']}": case for case in GOLDENS["cases"]}
ARRAYS = ("sample_weight", "penalty_weights")

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def problem_of(case):
    """Return X, y and the settings of a case, arrays filled in."""
    data = {name: np.array(values) for name, values in GOLDENS["problems"][case["problem"]].items()}
    settings = dict(case["arguments"])
    settings |= {name: data[name] for name in ARRAYS if name in settings}
    return data["X"], data["y"], settings


def objectives(case, coef, intercept):
    """Return the objective at every lambda, from its definition."""
    X, y, settings = problem_of(case)
    n, p = X.shape
    w = settings.get("sample_weight", np.ones(n))
    w = w / w.sum()
    sd = np.sqrt(w @ (X - w @ X) ** 2) if settings.get("standardize") else np.ones(p)
    ratio, factors = settings.get("l1_ratio", 1.0), settings.get("penalty_weights", np.ones(p))
    scaled = np.array(coef) * sd
    penalty = (ratio * np.abs(scaled) + (1 - ratio) / 2 * scaled**2) @ factors
    residual = y - np.array(intercept)[:, None] - np.array(coef) @ X.T
    return residual**2 @ w / 2 + np.array(case["lambdas"]) * penalty


def path_of(case, **more):
    X, y, settings = problem_of(case)
    return elastic_net_path(X, y, lambdas=case["lambdas"], **settings, **more)


def test_both_libraries_are_there_and_every_case_has_one():
    assert set(GOLDENS["versions"]) == {"scikit-learn", "glmnet"}
    assert all("glmnet" in case["fits"] for case in CASES.values())
    both = [case for case in CASES.values() if len(case["fits"]) == 2]
    assert len(both) == len(CASES) - 2


@every_case
def test_the_goldens_are_solutions_of_the_same_problem(case):
    found = [
        objectives(case, fit["coef"], fit["intercept"]) / case["null_objective"]
        for fit in case["fits"].values()
    ]
    for objective, fit in zip(found, case["fits"].values(), strict=True):
        written = np.array(fit["objective"]) / case["null_objective"]
        np.testing.assert_allclose(objective, written, rtol=0, atol=1e-13)
    np.testing.assert_allclose(found[0], found[-1], rtol=0, atol=1e-13)


@every_case
@pytest.mark.parametrize("tol", [1e-6, 1e-12])
def test_the_objective_is_theirs_within_the_tolerance(case, tol):
    path = path_of(case, tol=tol)
    ours = objectives(case, path.coef, path.intercept)
    theirs = np.min([fit["objective"] for fit in case["fits"].values()], axis=0)
    # Theirs are within rounding of the minimum, so that ours are not below, either.
    excess = (ours - theirs) / case["null_objective"]
    assert np.all(path.duality_gap <= tol)
    assert np.all(excess <= tol + 1e-14), excess
    assert np.all(excess >= -1e-13), excess


@every_case
def test_the_coefficients_are_theirs(case):
    path = path_of(case, tol=1e-13)
    for fit in case["fits"].values():
        for name in ("coef", "intercept"):
            scale = np.abs(fit[name]).max()
            np.testing.assert_allclose(getattr(path, name), fit[name], rtol=0, atol=2e-6 * scale)


@every_case
def test_the_null_objective_is_that_of_the_intercept_alone(case):
    _, y, settings = problem_of(case)
    weight = settings.get("sample_weight", np.ones(len(y)))
    mean = np.average(y, weights=weight) if settings.get("fit_intercept", True) else 0.0
    null = np.average((y - mean) ** 2, weights=weight) / 2
    np.testing.assert_allclose(case["null_objective"], null, rtol=1e-12)
