"""Everybody who takes part, behind one face: a path, and a cross-validation.

Each is given the layout of data that it likes, ready; centring is part of the work, since an
intercept is asked for. `tolerances` are tried from the left until the gap that the data show is
small enough.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import scipy.sparse

from benchmarks.paths.glmnet import Glmnet, has_glmnet
from benchmarks.paths.problems import TOL, Problem
from regjax.paths import elastic_net_path, lasso_cv


def _ladder(loosest: float) -> tuple[float, ...]:
    return tuple(loosest * 10.0**-k for k in range(9))


class Peer(Protocol):
    """One who solves.

    Attributes:
        tolerances: from the loosest on, in the peer's own units.
    """

    tolerances: tuple[float, ...]

    def path(
        self, problem: Problem, lambdas: np.ndarray, l1_ratio: float, tol: float
    ) -> tuple[float, np.ndarray]:
        """Return seconds, and coefficients (n_lambdas, p)."""

    def cv(self, problem: Problem, lambdas: np.ndarray, tol: float) -> tuple[float, float]:
        """Return seconds, and the lambda chosen, fit to all rows included."""


Solver = Callable[[Any, np.ndarray, np.ndarray, float, float], np.ndarray]
"""(X by columns, y, lambdas, l1_ratio, tol) to coefficients (n_lambdas, p)."""


class Paths:
    """A library that has paths: cross-validation goes over the folds, in one process."""

    def __init__(self, solve: Solver, tolerances: tuple[float, ...]) -> None:
        self._solve = solve
        self.tolerances = tolerances

    def path(
        self, problem: Problem, lambdas: np.ndarray, l1_ratio: float, tol: float
    ) -> tuple[float, np.ndarray]:
        X = problem.columns
        started = time.perf_counter()
        coef = self._solve(X, problem.y, lambdas, l1_ratio, tol)
        return time.perf_counter() - started, np.asarray(coef)

    def cv(self, problem: Problem, lambdas: np.ndarray, tol: float) -> tuple[float, float]:
        X, y, folds = problem.columns, problem.y, problem.folds
        started = time.perf_counter()
        errors = np.zeros(len(lambdas))
        for train, test in folds:
            # Rows of an array by columns come out by rows.
            rows = X[train] if problem.is_sparse else np.asfortranarray(X[train])
            coef = np.asarray(self._solve(rows, y[train], lambdas, 1.0, tol))
            mean = np.asarray(rows.mean(axis=0)).ravel()
            fitted = (X[test] @ coef.T).T + (y[train].mean() - coef @ mean)[:, None]
            errors += np.mean((y[test] - fitted) ** 2, axis=1)
        best = int(errors.argmin())
        self._solve(X, y, lambdas[: best + 1], 1.0, tol)
        return time.perf_counter() - started, float(lambdas[best])


class Regjax:
    """This library, with its own tolerance and rows as they come."""

    tolerances = (TOL,)

    def path(
        self, problem: Problem, lambdas: np.ndarray, l1_ratio: float, tol: float
    ) -> tuple[float, np.ndarray]:
        X, y = problem.X, problem.y
        started = time.perf_counter()
        path = elastic_net_path(X, y, l1_ratio=l1_ratio, lambdas=lambdas, tol=tol)
        return time.perf_counter() - started, path.coef

    def cv(self, problem: Problem, lambdas: np.ndarray, tol: float) -> tuple[float, float]:
        X, y, folds = problem.X, problem.y, problem.folds
        started = time.perf_counter()
        found = lasso_cv(X, y, lambdas=lambdas, folds=folds, tol=tol)
        return time.perf_counter() - started, float(found.lambda_)


class Sklearn(Paths):
    """scikit-learn, whose `LassoCV` knows folds itself."""

    def __init__(self, n_jobs: int) -> None:
        # Relative to y'y, ours to y'y / 2; its gap of the elastic net is far above the true one.
        super().__init__(_sklearn, _ladder(500 * TOL))
        self._n_jobs = n_jobs

    def cv(self, problem: Problem, lambdas: np.ndarray, tol: float) -> tuple[float, float]:
        from sklearn.linear_model import LassoCV

        X, y = problem.columns, problem.y
        model = LassoCV(
            alphas=lambdas, cv=problem.folds, tol=tol, max_iter=10**6, n_jobs=self._n_jobs
        )
        started = time.perf_counter()
        model.fit(X, y)
        return time.perf_counter() - started, float(model.alpha_)


def _centred(X: Any, y: np.ndarray) -> tuple[Any, np.ndarray, dict]:
    """Return centred data; sparse columns stay, and their means go by the side."""
    if isinstance(X, np.ndarray):
        return X - X.mean(axis=0), y - y.mean(), {}
    means = np.asarray(X.mean(axis=0)).ravel()
    return X, y - y.mean(), {"X_offset": means, "X_scale": np.ones(X.shape[1])}


def _sklearn(X: Any, y: np.ndarray, lambdas: np.ndarray, l1_ratio: float, tol: float) -> np.ndarray:
    from sklearn.linear_model import enet_path

    X, y, means = _centred(X, y)
    found = enet_path(
        X, y, l1_ratio=l1_ratio, alphas=lambdas, tol=tol, max_iter=10**6, copy_X=False, **means
    )
    return found[1].T


def _celer(X: Any, y: np.ndarray, lambdas: np.ndarray, l1_ratio: float, tol: float) -> np.ndarray:
    from celer import celer_path

    X, y, means = _centred(X, y)
    found = celer_path(
        X, y, pb="lasso", l1_ratio=l1_ratio, alphas=lambdas, tol=tol, max_iter=1_000, **means
    )
    return found[1].T


def _skglm(X: Any, y: np.ndarray, lambdas: np.ndarray, l1_ratio: float, tol: float) -> np.ndarray:
    from skglm.datafits import Quadratic
    from skglm.penalties import L1_plus_L2
    from skglm.solvers import AndersonCD
    from skglm.utils.jit_compilation import compiled_clone

    intercept = not isinstance(X, np.ndarray)
    X, y, _ = _centred(X, y)
    # Its tolerance is on the violation of the optimality conditions, in units of the gradient.
    solver = AndersonCD(
        fit_intercept=intercept, tol=tol * float(lambdas[0]), max_iter=1_000, max_epochs=100_000
    )
    penalty = compiled_clone(L1_plus_L2(1.0, l1_ratio))
    coef = solver.path(X, y, compiled_clone(Quadratic()), penalty, alphas=lambdas)[1]
    return coef[: X.shape[1]].T


def _adelie(X: Any, y: np.ndarray, lambdas: np.ndarray, l1_ratio: float, tol: float) -> np.ndarray:
    import adelie

    intercept = not isinstance(X, np.ndarray)
    X, y, _ = _centred(X, y)
    state = adelie.grpnet(
        adelie.matrix.sparse(scipy.sparse.csc_matrix(X), n_threads=2) if intercept else X,
        adelie.glm.gaussian(y),
        alpha=l1_ratio,
        lmda_path=lambdas,
        tol=tol,
        adev_tol=1.0,
        early_exit=False,
        intercept=intercept,
        n_threads=2,
        progress_bar=False,
    )
    return state.betas.toarray()


def _skein(X: Any, y: np.ndarray, lambdas: np.ndarray, l1_ratio: float, tol: float) -> np.ndarray:
    import skein_glm

    settings = {"alpha": l1_ratio, "lambdas": lambdas, "max_iter": 10**6, "tol": tol}
    if isinstance(X, np.ndarray):
        X, y, _ = _centred(X, y)
        found = skein_glm.solve_elastic_net_ls_path(X, y, fit_intercept=False, **settings)
    else:
        indices, starts = X.indices.astype(np.int64), X.indptr.astype(np.int64)
        found = skein_glm.solve_elastic_net_ls_path_sparse(
            X.data, indices, starts, *X.shape, y, **settings
        )
    return found[0]


OURS = "regjax"
SKLEARN = "scikit-learn"

_MAKE: dict[str, Callable[[], Peer]] = {
    OURS: Regjax,
    SKLEARN: lambda: Sklearn(1),
    "scikit-learn, n_jobs=2": lambda: Sklearn(2),
    "celer": lambda: Paths(_celer, _ladder(1e-7)),
    "skglm": lambda: Paths(_skglm, _ladder(1e-3)),
    "adelie": lambda: Paths(_adelie, _ladder(1e-9)),
    "skein-glm": lambda: Paths(_skein, _ladder(1e-5)),
    "glmnet": Glmnet,
}
_MODULES = {"celer": "celer", "skglm": "skglm", "adelie": "adelie", "skein-glm": "skein_glm"}


def present() -> list[str]:
    """Return the names of those that are installed."""

    def is_present(name: str) -> bool:
        if name == "glmnet":
            return has_glmnet()
        return name not in _MODULES or importlib.util.find_spec(_MODULES[name]) is not None

    return [name for name in _MAKE if is_present(name)]


def absent() -> list[str]:
    """Return the names of those that are not installed."""
    return [name for name in _MAKE if name not in present()]


def make_peer(name: str) -> Peer:
    """Return a peer by its name."""
    return _MAKE[name]()
