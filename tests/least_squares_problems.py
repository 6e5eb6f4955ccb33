"""Least squares with every kind of penalty, and who else solves it."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import nnls
from sklearn.linear_model import ElasticNet as SklearnElasticNet
from sklearn.linear_model import Lasso

from regjax import L1, L2, ElasticNet, GroupLasso, NonNegative
from regjax.solvers import least_squares, proximal_gradient

P = 6
GROUPS = np.array([0, 0, 1, 1, 2, 2])


def make_problem(name):
    rng = np.random.default_rng(0)
    n = 4 if name == "wide" else 30
    X = rng.normal(size=(n, P))
    if name == "collinear":
        X[:, 1] = X[:, 0]
    if name == "scaled":
        X *= np.array([1.0, 10.0, 0.1, 1.0, 3.0, 0.3])
    y = X @ np.array([2.0, 0.0, -1.0, 0.0, 0.5, 0.0]) + 0.3 * rng.normal(size=n)
    return X, y


PROBLEMS = {name: make_problem(name) for name in ["tall", "wide", "collinear", "scaled"]}


def norm(w, groups=GROUPS):
    return sum(np.sqrt(2) * np.linalg.norm(w[groups == g]) for g in range(3))


@dataclasses.dataclass(frozen=True)
class Case:
    """A penalty, its value in NumPy, and who else solves least squares with it."""

    penalty: Any
    value: Callable[[np.ndarray], float]
    reference: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


def sklearn_solution(model):
    return lambda X, y: (
        model.set_params(fit_intercept=False, tol=1e-13, max_iter=10**6).fit(X, y).coef_
    )


CASES = {
    "none": Case(None, lambda w: 0.0),
    "l1": Case(L1(0.2), lambda w: 0.2 * np.sum(np.abs(w)), sklearn_solution(Lasso(0.2))),
    "l2": Case(
        L2(0.2),
        lambda w: 0.1 * np.sum(w**2),
        lambda X, y: np.linalg.solve(X.T @ X + len(X) * 0.2 * np.eye(P), X.T @ y),
    ),
    "elastic_net": Case(
        ElasticNet(0.2, 0.3),
        lambda w: 0.06 * np.sum(np.abs(w)) + 0.07 * np.sum(w**2),
        sklearn_solution(SklearnElasticNet(0.2, l1_ratio=0.3)),
    ),
    "l1_and_l2": Case(
        L1(0.06) + L2(0.14),
        lambda w: 0.06 * np.sum(np.abs(w)) + 0.07 * np.sum(w**2),
        sklearn_solution(SklearnElasticNet(0.2, l1_ratio=0.3)),
    ),
    "non_negative": Case(NonNegative(), lambda w: 0.0, lambda X, y: nnls(X, y)[0]),
    "l1_non_negative": Case(
        L1(0.2) + NonNegative(),
        lambda w: 0.2 * np.sum(np.abs(w)),
        sklearn_solution(Lasso(0.2, positive=True)),
    ),
    "group_lasso": Case(GroupLasso(0.2, GROUPS, 3), lambda w: 0.2 * norm(w)),
}


@functools.partial(jax.jit, static_argnames=("max_steps", "accelerate", "record"))
def run(X, y, penalty, tol, *, max_steps, accelerate=True, record=False):
    """Take steps of the largest safe size from zero."""
    loss = least_squares(X, y)
    return proximal_gradient(
        loss.smooth(),
        penalty,
        jnp.zeros_like(loss.cross),
        step_size=loss.largest_step(),
        tol=tol,
        max_steps=max_steps,
        accelerate=accelerate,
        record=record,
    )


def solve(problem, penalty, dtype=np.float64, *, tol=1e-10, max_steps=20_000, **settings):
    X, y = (jnp.asarray(part, dtype) for part in PROBLEMS[problem])
    return run(X, y, penalty, tol, max_steps=max_steps, **settings)


def objective(problem, case, w):
    X, y = PROBLEMS[problem]
    return np.sum((y - X @ w) ** 2) / (2 * len(y)) + CASES[case].value(w)
