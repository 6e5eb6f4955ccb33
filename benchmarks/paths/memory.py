"""The most memory that a call holds beyond its data, seen by the kernel in a fresh process."""

from __future__ import annotations

import pathlib
from typing import Any

from benchmarks.paths.problems import PROBLEMS, Problem
from regjax.paths import lasso_cv, lasso_path


class MemoryProbe:
    """A process for one measurement: it knows how to read Linux's account of itself."""

    def __init__(self, name: str) -> None:
        self._problem = Problem(PROBLEMS[name])

    def parts(self, what: str) -> dict[str, Any]:
        """Return MiB of X, of a matrix (p, p), and of the peak above what was held before."""
        problem, p = self._problem, self._problem.shape[1]
        lambdas, folds = problem.lambdas(1.0), problem.folds
        # What is imported on first use is no part of a call.
        lasso_cv(problem.X[:50, :5], problem.y[:50], n_lambdas=3)
        # The record so far, which is of making the data, is forgotten.
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        if what == "path":
            lasso_path(problem.X, problem.y, lambdas=lambdas)
        else:
            lasso_cv(problem.X, problem.y, lambdas=lambdas, folds=folds)
        return {
            "X": problem.megabytes(),
            "gram": 8 * p * p / 2**20,
            "extra": _status("VmHWM") - before,
        }


def _status(field: str) -> float:
    """Return a line of the process's status in MiB."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return float(line.split()[1]) / 2**10
    raise RuntimeError(f"The kernel does not tell {field}.")
