"""A scikit-learn script with nothing changed but the import.

`python -m benchmarks.sklearn_script` runs every script with the estimators of scikit-learn and of
`regjax.sklearn`, in turn, each time in a fresh process, checks that both find the same, and
rewrites `benchmarks/sklearn_script.md`.
"""

from __future__ import annotations

import pathlib
import statistics
import subprocess
import sys
import time
from importlib import metadata

import numpy as np
from rich.console import Console

from benchmarks.machine import describe

ROUNDS = 5
# Predictions agree to the tolerance asked for. Of coefficients it could not be said: a square is
# the same column where a feature has two values.
PREDICTIONS = 1e-2

_DIABETES = """
from sklearn.datasets import load_diabetes
X, y = load_diabetes(return_X_y=True)
"""
_MADE = """
from sklearn.datasets import make_regression
X, y = make_regression(2000, 200, n_informative=20, noise=20.0, random_state=0)
"""
_LASSO = """
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from {package} import LassoCV
model = make_pipeline({first}StandardScaler(), LassoCV(cv=5))
"""
_LASSO_FOUND = "print(model[-1].alpha_, *model.predict(X))"
_GRID = """
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from {package} import ElasticNet
pipeline = make_pipeline({first}StandardScaler(), ElasticNet())
grid = {{"elasticnet__alpha": [0.01, 0.1, 1.0, 10.0], "elasticnet__l1_ratio": [0.1, 0.5, 0.9]}}
model = GridSearchCV(pipeline, grid, cv=5)
"""
_GRID_FOUND = "print(*model.best_params_.values(), *model.predict(X))"
_FIT = """
import time
started = time.perf_counter()
model.fit(X, y)
print(time.perf_counter() - started)
"""
_QUADRATIC = "PolynomialFeatures(2, include_bias=False), "

# Name: the data, the script with what it prints, and what its pipeline starts with.
SCRIPTS = {
    "`LassoCV` in a pipeline, diabetes 442 x 10": (_DIABETES, _LASSO, _LASSO_FOUND, ""),
    "`LassoCV`, quadratic features, 442 x 65": (_DIABETES, _LASSO, _LASSO_FOUND, _QUADRATIC),
    "`LassoCV`, made, 2000 x 200": (_MADE, _LASSO, _LASSO_FOUND, ""),
    "`GridSearchCV` over `ElasticNet`, diabetes 442 x 10": (_DIABETES, _GRID, _GRID_FOUND, ""),
    "`GridSearchCV`, quadratic features, 442 x 65": (_DIABETES, _GRID, _GRID_FOUND, _QUADRATIC),
    "`GridSearchCV`, made, 2000 x 200": (_MADE, _GRID, _GRID_FOUND, ""),
}
PACKAGES = {"scikit-learn": "sklearn.linear_model", "regjax": "regjax.sklearn"}


def run(text: str) -> tuple[float, float, np.ndarray]:
    """Return the seconds of a process and of its fit, and what the fit found."""
    command, started = [sys.executable, "-W", "ignore", "-c", text], time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    taken = time.perf_counter() - started
    fit, *found = map(float, done.stdout.split())
    return taken, fit, np.array(found)


def compared(name: str, ours: np.ndarray, theirs: np.ndarray, n_chosen: int) -> list[str]:
    """Return what was chosen and the largest difference of predictions; raise if they are off."""
    fitted, expected = ours[n_chosen:], theirs[n_chosen:]
    difference = float(np.abs(fitted - expected).max() / expected.std())
    if difference > PREDICTIONS:
        raise AssertionError(f"{name}: predictions differ by {difference:.1g} deviations.")
    same = np.allclose(ours[:n_chosen], theirs[:n_chosen], rtol=1e-6)
    chosen = [", ".join(f"{value:.4g}" for value in found[:n_chosen]) for found in (theirs, ours)]
    return [chosen[0] if same else " / ".join(chosen), f"{difference:.0e}"]


def measure(console: Console) -> list[str]:
    """Return the rows of the table."""
    rows = []
    for name, (data, script, found, first) in SCRIPTS.items():
        whole: dict[str, list[float]] = {who: [] for who in PACKAGES}
        fits: dict[str, list[float]] = {who: [] for who in PACKAGES}
        answers: dict[str, np.ndarray] = {}
        for i in range(ROUNDS + 1):
            for who, package in PACKAGES.items():
                text = data + script.format(package=package, first=first) + _FIT + found
                taken, fit, answers[who] = run(text)
                # The first round fills the caches of the disk and compiles to bytecode.
                if i:
                    whole[who].append(taken)
                    fits[who].append(fit)
        n_chosen = 1 if found is _LASSO_FOUND else 2
        results = compared(name, answers["regjax"], answers["scikit-learn"], n_chosen)
        cells = []
        for times in (fits, whole):
            theirs, ours = (statistics.median(times[who]) for who in ("scikit-learn", "regjax"))
            cells += [f"{theirs:.3f}", f"{ours:.3f}", f"{theirs / ours:.1f}"]
        rows.append(f"| {name} | {' | '.join(cells + results)} |")
        console.print(rows[-1])
    return rows


def main() -> None:
    """Measure every script and write the table."""
    rows = measure(Console(width=160))
    lines = [
        "# A scikit-learn script with nothing changed but the import",
        "",
        f"{describe()[:-1]}, scikit-learn {metadata.version('scikit-learn')}.",
        "Made by `python -m benchmarks.sklearn_script`: the same script with the estimators of "
        "scikit-learn and with those of `regjax.sklearn`, every run in a fresh process, in turn, "
        f"{ROUNDS} rounds after one that is not counted. Medians in seconds, of the call of `fit` "
        "and of the whole process, imports and data included; x is the first over the second. Then "
        "the strengths chosen, by scikit-learn and by regjax where they differ: with `tol=1e-10` "
        "scikit-learn chooses as regjax does. Last the largest difference of a prediction, "
        "relative to their standard deviation. `tol` is the default, 1e-4, which regjax takes for "
        "1e-6.",
        "",
        "| script | fit, scikit-learn | fit, regjax | x | process, scikit-learn | process, regjax "
        "| x | chosen | difference |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]
    pathlib.Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
