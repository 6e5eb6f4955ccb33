"""Many paths at once: targets, bootstraps, and ridge regression that leaves every row out.

The peer is scikit-learn: for the many paths in a loop over two processes with one thread each, once
as its manual would have it, and once by one who forms the Gram matrices by hand.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from joblib import Parallel, delayed, parallel_config
from sklearn.linear_model import RidgeCV, lasso_path

from benchmarks.paths.accuracy import largest_gap
from benchmarks.paths.peers import OURS
from benchmarks.paths.problems import TOL, gaussian
from regjax.paths import elastic_net_path, ridge_cv

N_LAMBDAS = 50
_LOOP = "scikit-learn, loop in 2 processes"
_BY_HAND = "scikit-learn, the same with Gram matrices by hand"
_RIDGE = "scikit-learn, RidgeCV"


Run = Callable[[dict[str, Any], float], Any]
"""(data, tolerance) to an answer."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A batch: what runs it by who, what an answer shows, and the target."""

    text: str
    make: Callable[[], dict[str, Any]]
    runs: dict[str, Run]
    show: Callable[[dict[str, Any], Any], dict[str, Any]]
    target: float


def _two_processes(tasks: list) -> list:
    with parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
        return Parallel()(tasks)


# --- many responses ---


def _targets() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2_000, 100))
    B = rng.normal(size=(100, 1_000)) * (rng.random((100, 1_000)) < 0.1)
    return {"X": X, "Y": X @ B + rng.normal(size=(2_000, 1_000))}


def _our_targets(data: dict[str, Any], tol: float) -> tuple[np.ndarray, np.ndarray]:
    path = elastic_net_path(data["X"], data["Y"], n_lambdas=N_LAMBDAS, tol=tol)
    return path.lambdas, path.coef


def _their_targets(by_hand: bool) -> Run:
    return lambda data, tol: responses_in_a_loop(data["X"], data["Y"], tol, by_hand)


def responses_in_a_loop(
    X: np.ndarray, Y: np.ndarray, tol: float, by_hand: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return lambdas and coefficients of every response by scikit-learn in two processes."""
    parts = np.array_split(Y, 2, axis=1)
    tasks = [delayed(_loop_of_targets)(X, part, tol, by_hand) for part in parts]
    lambdas, coef = (np.concatenate(part) for part in zip(*_two_processes(tasks), strict=True))
    return lambdas, coef


def _loop_of_targets(
    X: np.ndarray, Y: np.ndarray, tol: float, by_hand: bool
) -> tuple[np.ndarray, np.ndarray]:
    X = np.asfortranarray(X - X.mean(axis=0))
    Y = np.asfortranarray(Y - Y.mean(axis=0))
    cross = np.ascontiguousarray((X.T @ Y).T)
    gram = X.T @ X if by_hand else None
    found = [
        _path(X, y, _grid(of_y, len(X)), tol, gram, of_y)
        for y, of_y in zip(Y.T, cross, strict=True)
    ]
    return np.stack([one[0] for one in found]), np.stack([one[1].T for one in found])


def _path(
    X: np.ndarray,
    y: np.ndarray,
    lambdas: np.ndarray,
    tol: float,
    gram: np.ndarray | None,
    cross: np.ndarray,
) -> tuple[np.ndarray, ...]:
    if gram is None:
        return lasso_path(X, y, alphas=lambdas, tol=tol, max_iter=10**6)
    return lasso_path(
        X,
        y,
        alphas=lambdas,
        tol=tol,
        max_iter=10**6,
        precompute=gram,
        Xy=cross,
        check_input=False,
    )


def _grid(cross: np.ndarray, n: int) -> np.ndarray:
    return np.abs(cross).max() / n * np.geomspace(1, 1e-3, N_LAMBDAS)


def _gap_of_targets(data: dict[str, Any], answer: Any) -> dict[str, Any]:
    gaps = [
        largest_gap(data["X"], y, coef, lambdas)
        for y, lambdas, coef in zip(data["Y"].T, *answer, strict=True)
    ]
    return {"gap": max(gaps)}


# --- many weightings ---


def _bootstraps() -> dict[str, Any]:
    X, y = gaussian(1_000, 100, 1.0)
    rows = np.random.default_rng(1).integers(0, len(y), size=(200, len(y)))
    counts = np.stack([np.bincount(draw, minlength=len(y)) for draw in rows])
    lambdas = _grid((X - X.mean(axis=0)).T @ (y - y.mean()), len(y))
    return {"X": X, "y": y, "rows": rows, "counts": counts, "lambdas": lambdas}


def _our_bootstraps(data: dict[str, Any], tol: float) -> np.ndarray:
    X, y, counts, lambdas = (data[name] for name in ("X", "y", "counts", "lambdas"))
    return elastic_net_path(X, y, sample_weight=counts, lambdas=lambdas, tol=tol).coef


def _their_bootstraps(by_hand: bool) -> Run:
    def run(data: dict[str, Any], tol: float) -> np.ndarray:
        X, y, lambdas = (data[name] for name in ("X", "y", "lambdas"))
        parts = np.array_split(data["rows"], 2)
        tasks = [delayed(_loop_of_draws)(X, y, part, lambdas, tol, by_hand) for part in parts]
        return np.concatenate(_two_processes(tasks))

    return run


def _loop_of_draws(
    X: np.ndarray,
    y: np.ndarray,
    rows: np.ndarray,
    lambdas: np.ndarray,
    tol: float,
    by_hand: bool,
) -> np.ndarray:
    found = []
    for draw in rows:
        X_drawn, y_drawn = X[draw], y[draw]
        X_drawn = np.asfortranarray(X_drawn - X_drawn.mean(axis=0))
        y_drawn = y_drawn - y_drawn.mean()
        gram = X_drawn.T @ X_drawn if by_hand else None
        path = _path(X_drawn, y_drawn, lambdas, tol, gram, X_drawn.T @ y_drawn)
        found.append(path[1].T)
    return np.stack(found)


def _gap_of_bootstraps(data: dict[str, Any], answer: Any) -> dict[str, Any]:
    gaps = [
        largest_gap(data["X"], data["y"], coef, data["lambdas"], weight=counts)
        for coef, counts in zip(answer, data["counts"], strict=True)
    ]
    return {"gap": max(gaps)}


# --- ridge regression, every row left out ---


def _ridge() -> dict[str, Any]:
    X, y = gaussian(10_000, 1_000, 3.0)
    return {"X": X, "y": y, "lambdas": np.geomspace(10, 1e-3, 100)}


def _our_ridge(data: dict[str, Any], tol: float) -> float:
    X, y, lambdas = (data[name] for name in ("X", "y", "lambdas"))
    return float(ridge_cv(X, y, lambdas=lambdas, folds="leave-one-out", tol=tol).lambda_)


def _their_ridge(data: dict[str, Any], tol: float) -> float:
    X, y, lambdas = (data[name] for name in ("X", "y", "lambdas"))
    return float(RidgeCV(alphas=len(y) * lambdas).fit(X, y).alpha_) / len(y)


def _chosen(data: dict[str, Any], answer: Any) -> dict[str, Any]:
    return {"gap": 0.0, "chosen": int(np.abs(data["lambdas"] / answer - 1).argmin())}


JOBS: dict[str, Job] = {
    "targets": Job(
        "1,000 responses x 50 lambdas, 2,000 x 100",
        _targets,
        {OURS: _our_targets, _LOOP: _their_targets(False), _BY_HAND: _their_targets(True)},
        _gap_of_targets,
        5,
    ),
    "bootstraps": Job(
        "200 bootstraps x 50 lambdas, 1,000 x 100",
        _bootstraps,
        {OURS: _our_bootstraps, _LOOP: _their_bootstraps(False), _BY_HAND: _their_bootstraps(True)},
        _gap_of_bootstraps,
        5,
    ),
    "ridge": Job(
        "ridge, 100 lambdas, every row left out, 10,000 x 1,000",
        _ridge,
        {OURS: _our_ridge, _RIDGE: _their_ridge},
        _chosen,
        3,
    ),
}


class Batch:
    """One who runs one job."""

    def __init__(self, who: str, name: str) -> None:
        self._job, self._who = JOBS[name], who
        self._data = self._job.make()

    def tolerances(self) -> tuple[float, ...]:
        if self._who == OURS:
            return (TOL,)
        # Relative to y'y, ours to y'y / 2.
        return tuple(TOL / 2 * 10.0**-k for k in range(4))

    def run(self, tol: float, verify: bool) -> dict[str, Any]:
        """Return seconds, and what the answer shows where it shall be verified."""
        started = time.perf_counter()
        answer = self._job.runs[self._who](self._data, tol)
        seconds = time.perf_counter() - started
        return {"seconds": seconds} | (self._job.show(self._data, answer) if verify else {})
