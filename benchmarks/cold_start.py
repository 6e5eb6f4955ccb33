"""What a cross-validated lasso costs in a fresh process, imports included.

`python -m benchmarks.cold_start` starts Python anew for every measurement, everybody in turn, and
rewrites `benchmarks/cold_start.md`. Each process reads the same data, folds and lambdas from one
file, cross-validates, refits, and prints the lambda it chose and its coefficients. A second table
has first and second calls on the other problems of `benchmarks.paths`.
"""

from __future__ import annotations

import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata

import numpy as np
from rich.console import Console
from sklearn.datasets import load_diabetes

from benchmarks.machine import describe
from benchmarks.paths.problems import PROBLEMS, Problem
from regjax.paths import k_folds

N_LAMBDAS = 100
FOLDS = 5
TOL = 1e-6
ROUNDS = 10
FIRST_CALLS = 3

_READ = """
import sys
import numpy as np
file = np.load(sys.argv[1])
X, y, lambdas, fold = file["X"], file["y"], file["lambdas"], file["fold"]
splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]
"""

_REGJAX = f"""
import regjax
found = regjax.lasso_cv(X, y, lambdas=lambdas, folds=splits, tol={TOL})
print(found.lambda_, *found.coef)
"""

# Its tolerance is relative to y'y and that of regjax to y'y / 2.
_SKLEARN = f"""
from sklearn.linear_model import LassoCV
found = LassoCV(alphas=lambdas, cv=splits, tol={TOL / 2}, max_iter=100_000).fit(X, y)
print(found.alpha_, *found.coef_)
"""

_TRACED = f"""
import jax, regjax
def choose(X, y):
    return regjax.lasso_cv(X, y, lambdas=lambdas, folds=splits, tol={TOL})
found = jax.jit(choose)(X, y)
print(found.lambda_, *found.coef.tolist())
"""

# The time of both calls, the first with the imports of all that it needs.
_TWICE = """
import sys, time
import numpy as np
file = np.load(sys.argv[1])
X, y, lambdas = file["X"], file["y"], file["lambdas"]
marks = [time.perf_counter()]
for _ in range(2):
    import regjax
    regjax.CALL(X, y, lambdas=lambdas)
    marks.append(time.perf_counter())
print(*np.diff(marks))
"""

OURS = "regjax"
PROGRAMS = {
    "Python": "",
    "Python, NumPy and reading the data": _READ,
    OURS: _READ + _REGJAX,
    "regjax, after `import jax`": "import jax" + _READ + _REGJAX,
    "regjax, inside `jax.jit`, compiled before": _READ + _TRACED,
    "regjax, inside `jax.jit`, never compiled": _READ + _TRACED,
    "scikit-learn, `LassoCV`": _READ + _SKLEARN,
}


def save_problem(file: pathlib.Path) -> None:
    """Write the diabetes data, a grid of lambdas and the fold of every row."""
    X, y = load_diabetes(return_X_y=True)
    largest = np.abs((X - X.mean(axis=0)).T @ (y - y.mean())).max() / len(y)
    fold = np.zeros(len(y), dtype=int)
    for k, (_, test) in enumerate(k_folds(len(y), FOLDS)):
        fold[test] = k
    np.savez(file, X=X, y=y, lambdas=largest * np.geomspace(1, 1e-3, N_LAMBDAS), fold=fold)


def run(who: str, file: pathlib.Path) -> tuple[float, float, np.ndarray]:
    """Return the seconds of a process from start to end, those of its processors, its answer."""
    program = PROGRAMS[who]
    cache = {
        "JAX_ENABLE_X64": "1",
        "JAX_COMPILATION_CACHE_DIR": str(file.parent / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_ENABLE_COMPILATION_CACHE": str("never" not in who).lower(),
    }
    command = [sys.executable, "-c", program, str(file)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, **cache}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    taken, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return taken, busy, np.array(done.stdout.split(), dtype=float)


def measure(console: Console) -> list[str]:
    """Return the rows of the table."""
    seconds: dict[str, list[float]] = {who: [] for who in PROGRAMS}
    processor: dict[str, list[float]] = {who: [] for who in PROGRAMS}
    answers: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as scratch:
        file = pathlib.Path(scratch) / "problem.npz"
        save_problem(file)
        for i in range(ROUNDS + 1):
            for who in PROGRAMS:
                taken, busy, answers[who] = run(who, file)
                # The first round fills the caches of the disk and compiles to bytecode.
                if i:
                    seconds[who].append(taken)
                    processor[who].append(busy)
    typical = {who: statistics.median(times) for who, times in seconds.items()}
    rows = []
    for who, times in seconds.items():
        cells = [f"{typical[who]:.3f}", f"{typical[who] / typical[OURS]:.1f}"]
        cells += [f"{min(times):.3f}", f"{statistics.median(processor[who]):.3f}"]
        if answers[who].size:
            coef, ours = answers[who][1:], answers[OURS][1:]
            difference = np.abs(coef - ours).max() / np.abs(ours).max()
            cells += [f"{answers[who][0]:.6g}", f"{difference:.1g}"]
        rows.append(f"| {who} | {' | '.join(cells + ['-'] * (6 - len(cells)))} |")
        console.print(rows[-1])
    return rows


def first_calls(console: Console) -> list[str]:
    """Return the rows of the table of first calls, of problems whose data are dense."""
    rows = []
    for name, spec in PROBLEMS.items():
        if name in ("diab", "sparse"):
            continue
        problem, call = Problem(spec), "lasso_cv" if spec.has_cv else "lasso_path"
        with tempfile.TemporaryDirectory() as scratch:
            file = pathlib.Path(scratch) / "problem.npz"
            np.savez(file, X=problem.X, y=problem.y, lambdas=problem.lambdas(1.0))
            command = [sys.executable, "-c", _TWICE.replace("CALL", call), str(file)]
            seen = [
                np.array(subprocess.check_output(command, text=True).split(), dtype=float)
                for _ in range(FIRST_CALLS)
            ]
        first, second = np.median(seen, axis=0)
        row = f"| {spec.text} | `{call}` | {first:.2f} | {second:.2f} | {first - second:.2f} |"
        rows.append(row)
        console.print(row)
    return rows


def main() -> None:
    """Measure everybody and write the tables."""
    console = Console(width=160)
    rows = measure(console)
    others = first_calls(console)
    lines = [
        "# Cross-validation in a fresh process",
        "",
        f"{describe()[:-1]}, scikit-learn {metadata.version('scikit-learn')}.",
        f"Made by `python -m benchmarks.cold_start`: lasso on the diabetes data, 442 x 10, "
        f"{N_LAMBDAS} lambdas, {FOLDS} folds and the refit, the same lambdas and folds for all and "
        f"a relative duality gap of {TOL:g} asked for. Seconds from the start of the process to "
        f"its end, imports included, in turn, {ROUNDS} rounds after one that is not counted. `x` "
        "is the median of a row over that of regjax; processors are the seconds of all cores "
        "together, medians, which other users of the machine disturb less; the last column is the "
        "largest difference of a coefficient from that of regjax, relative to the largest one. "
        "Inside `jax.jit` everything is traced in 64 bit; compiled before: by another process, "
        "kept in JAX's persistent compilation cache.",
        "",
        "| process | median, s | x | least, s | processors, s | lambda chosen | difference |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        "## First calls on other problems",
        "",
        f"A fresh process each, medians of {FIRST_CALLS}: the first call with the import of the "
        "library, the second of the same process, and the difference. Nothing is compiled.",
        "",
        "| problem | call | first, s | second, s | difference, s |",
        "|---|---|---|---|---|",
        *others,
    ]
    pathlib.Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
