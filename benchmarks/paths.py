"""Lasso paths and cross-validation beside scikit-learn, celer and glmnet, at equal accuracy.

`python -m benchmarks.paths [problem ...]` runs everybody in turn on the same data, folds and 100
lambdas, several rounds, and rewrites `benchmarks/paths.md`. Every answer's duality gap is computed
here from the data and its coefficients, relative to the objective of the mean alone. Peers that are
not installed are left out: `pip install celer`; glmnet runs in R, and its time is taken there,
without reading the data.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable

import numpy as np
from rich.console import Console
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LassoCV
from sklearn.linear_model import lasso_path as sklearn_lasso_path

from benchmarks.machine import describe, peak_memory_mib
from regjax.paths import k_folds, lasso_cv, lasso_path

N_LAMBDAS = 100
FOLDS = 5
TOL = 1e-6


@dataclasses.dataclass(frozen=True)
class Problem:
    """Data, the least lambda of its grid as a share of the largest, and rounds to time."""

    X: np.ndarray
    y: np.ndarray
    ratio: float
    rounds: int

    def lambdas(self) -> np.ndarray:
        largest = np.abs((self.X - self.X.mean(axis=0)).T @ (self.y - self.y.mean())).max()
        return largest / len(self.y) * np.geomspace(1, self.ratio, N_LAMBDAS)

    def gap(self, coef: np.ndarray, lambdas: np.ndarray) -> float:
        """Return the largest relative duality gap of `coef` (n_lambdas, p)."""
        n = len(self.y)
        Xc, yc = self.X - self.X.mean(axis=0), self.y - self.y.mean()
        residual = yc - coef @ Xc.T
        z = residual @ Xc / n
        primal = np.sum(residual**2, axis=1) / (2 * n) + lambdas * np.abs(coef).sum(axis=1)
        shrink = np.minimum(1, lambdas / np.abs(z).max(axis=1))
        ry, rr = residual @ yc / n, np.sum(residual**2, axis=1) / n
        s = np.clip(ry / rr, -shrink, shrink)
        return float(np.max(primal - s * ry + s * s * rr / 2) / (yc @ yc / (2 * n)))


def _gaussian(n: int, p: int, noise: float, correlation: float = 0.0) -> tuple:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p))
    for j in range(1, p if correlation else 0):
        X[:, j] = correlation * X[:, j - 1] + np.sqrt(1 - correlation**2) * X[:, j]
    b = np.zeros(p)
    b[rng.choice(p, 50, replace=False)] = rng.normal(size=50)
    return X, X @ b + noise * rng.normal(size=n)


def _nci() -> tuple:
    spec = importlib.util.find_spec("ISLP")
    if spec is None or spec.origin is None:
        raise SystemExit("nci needs the data of ISLP: pip install --no-deps islp")
    X = np.load(pathlib.Path(spec.origin).parent / "data" / "NCI60data.npy")
    # One gene is the response, the others are the features.
    return np.delete(X, 0, axis=1), X[:, 0].copy()


def _diabetes() -> tuple:
    return load_diabetes(return_X_y=True)


PROBLEMS: dict[str, tuple[str, Callable[[], tuple], float, int]] = {
    "diab": ("diabetes, 442 x 10", _diabetes, 1e-3, 20),
    "tall": ("50,000 x 300", lambda: _gaussian(50_000, 300, 3.0), 1e-3, 5),
    "cell": (
        "10,000 x 1,000, correlation 0.5",
        lambda: _gaussian(10_000, 1_000, 3.0, 0.5),
        1e-3,
        5,
    ),
    "wide": ("500 x 10,000", lambda: _gaussian(500, 10_000, 1.0), 1e-2, 3),
    "nci": ("NCI60, 64 x 6,829", _nci, 1e-2, 7),
}

Path = Callable[[Problem, np.ndarray], np.ndarray]
CV = Callable[[Problem, np.ndarray, list], None]


def _ours_path(problem: Problem, lambdas: np.ndarray) -> np.ndarray:
    return lasso_path(problem.X, problem.y, lambdas=lambdas, tol=TOL).coef


def _ours_cv(problem: Problem, lambdas: np.ndarray, splits: list) -> None:
    lasso_cv(problem.X, problem.y, lambdas=lambdas, folds=splits, tol=TOL)


def _sklearn_path(problem: Problem, lambdas: np.ndarray) -> np.ndarray:
    X = np.asfortranarray(problem.X - problem.X.mean(axis=0))
    y = problem.y - problem.y.mean()
    # Its tolerance is relative to y'y and ours to y'y / 2.
    _, coef, _ = sklearn_lasso_path(X, y, alphas=lambdas, tol=TOL / 2, max_iter=100_000)
    return coef.T


def _sklearn_cv(n_jobs: int) -> CV:
    def run(problem: Problem, lambdas: np.ndarray, splits: list) -> None:
        model = LassoCV(alphas=lambdas, cv=splits, tol=TOL / 2, max_iter=100_000, n_jobs=n_jobs)
        model.fit(problem.X, problem.y)

    return run


def _celer_path(problem: Problem, lambdas: np.ndarray) -> np.ndarray:
    from celer import celer_path

    X = np.asfortranarray(problem.X - problem.X.mean(axis=0))
    y = problem.y - problem.y.mean()
    _, coef, _ = celer_path(X, y, pb="lasso", alphas=lambdas, tol=TOL / 2, max_iter=1_000)
    return coef.T


_GLMNET = """
library(glmnet)
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
size <- scan(file.path(folder, "size"), quiet = TRUE)
read <- function(name, n) readBin(file.path(folder, name), "double", n)
X <- matrix(read("X", size[1] * size[2]), size[1], size[2])
y <- read("y", size[1]); lambdas <- read("lambdas", size[3]); fold <- read("fold", size[1])
if (arguments[2] == "path") {
  seconds <- system.time(fit <- glmnet(X, y, lambda = lambdas, standardize = FALSE,
                                       thresh = 1e-13, maxit = 1e8))[["elapsed"]]
  writeBin(as.vector(as.matrix(fit$beta)), file.path(folder, "coef"))
} else {
  seconds <- system.time(cv.glmnet(X, y, lambda = lambdas, standardize = FALSE, foldid = fold,
                                   thresh = 1e-13, maxit = 1e8))[["elapsed"]]
}
cat(seconds)
"""


class _Glmnet:
    """glmnet in a process of its own; `seconds` is what R measured last."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self.seconds = 0.0

    def prepare(self, problem: Problem, lambdas: np.ndarray, fold: np.ndarray) -> None:
        n, p = problem.X.shape
        (self._folder / "size").write_text(f"{n} {p} {len(lambdas)}")
        problem.X.T.tofile(self._folder / "X")
        for name, values in (("y", problem.y), ("lambdas", lambdas), ("fold", fold + 1.0)):
            np.ascontiguousarray(values, dtype=float).tofile(self._folder / name)
        (self._folder / "run.R").write_text(_GLMNET)

    def run(self, what: str) -> None:
        command = ["Rscript", str(self._folder / "run.R"), str(self._folder), what]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        self.seconds = float(done.stdout.split()[-1])

    def coef(self, problem: Problem) -> np.ndarray:
        return np.fromfile(self._folder / "coef").reshape(-1, problem.X.shape[1])


def _has_glmnet() -> bool:
    if shutil.which("Rscript") is None:
        return False
    probe = ["Rscript", "-e", "library(glmnet)"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def measure(name: str, console: Console) -> list[str]:
    """Return the rows of the table for one problem."""
    text, load, ratio, rounds = PROBLEMS[name]
    X, y = load()
    problem = Problem(np.ascontiguousarray(X, dtype=float), y, ratio, rounds)
    lambdas = problem.lambdas()
    splits = k_folds(len(y), FOLDS)
    fold = np.zeros(len(y))
    for i, (_, test) in enumerate(splits):
        fold[test] = i
    paths: dict[str, Path] = {"regjax": _ours_path, "scikit-learn": _sklearn_path}
    cvs: dict[str, CV] = {
        "regjax": _ours_cv,
        "scikit-learn": _sklearn_cv(1),
        "scikit-learn, n_jobs=2": _sklearn_cv(2),
    }
    if importlib.util.find_spec("celer"):
        paths["celer"] = _celer_path
    seconds: dict[tuple[str, str], list[float]] = {}
    gaps: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        glmnet = _Glmnet(pathlib.Path(scratch)) if _has_glmnet() else None
        if glmnet is not None:
            glmnet.prepare(problem, lambdas, fold)
        for i in range(rounds + 1):
            for who, path in paths.items():
                started = time.perf_counter()
                coef = path(problem, lambdas)
                seconds.setdefault((who, "path"), []).append(time.perf_counter() - started)
                if i == 0:
                    gaps[who] = problem.gap(coef, lambdas)
            for who, cv in cvs.items():
                started = time.perf_counter()
                cv(problem, lambdas, splits)
                seconds.setdefault((who, "cv"), []).append(time.perf_counter() - started)
            if glmnet is not None and i <= 3:
                for what in ("path", "cv"):
                    glmnet.run(what)
                    seconds.setdefault(("glmnet", what), []).append(glmnet.seconds)
                if i == 0:
                    gaps["glmnet"] = problem.gap(glmnet.coef(problem), lambdas)
    rows = []
    ours = {what: statistics.median(seconds["regjax", what][1:]) for what in ("path", "cv")}
    for who in dict.fromkeys(who for who, _ in seconds):
        cells = []
        for what in ("path", "cv"):
            times = seconds.get((who, what))
            if times is None:
                cells += ["-", "-"]
                continue
            typical = statistics.median(times[1:])
            cells += [f"{typical:.4g}", f"{typical / ours[what]:.1f}"]
        gap = f"{gaps[who]:.0e}" if who in gaps else "-"
        rows.append(f"| {text} | {who} | {' | '.join(cells)} | {gap} |")
        console.print(rows[-1])
    return rows


def main() -> None:
    """Measure the named problems, or all, and write the table."""
    console = Console(width=160)
    warnings.simplefilter("ignore")
    rows = [row for name in sys.argv[1:] or PROBLEMS for row in measure(name, console)]
    lines = [
        "# Lasso paths and cross-validation beside others",
        "",
        f"{describe()} Peak memory of this process {peak_memory_mib():.0f} MiB.",
        f"Made by `python -m benchmarks.paths`: {N_LAMBDAS} lambdas, {FOLDS} folds and the final "
        f"fit, warm, in turn, medians of seconds. `x` is the time of a row over that of regjax; "
        f"gap is the largest duality gap of the path, from the data, relative to the null "
        f"objective; {TOL:g} was asked for. glmnet runs with thresh 1e-13.",
        "",
        "| problem | who | path, s | x | CV, s | x | gap |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]
    pathlib.Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
