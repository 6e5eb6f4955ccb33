"""glmnet, in R: data go there by files, and its clock runs without reading them."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import tempfile

import numpy as np

from benchmarks.paths.problems import Problem

_PROGRAM = """
suppressMessages(library(glmnet))
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
thresh <- as.numeric(arguments[3])
size <- scan(file.path(folder, "size"), quiet = TRUE)
read <- function(name, n, what = "double") readBin(file.path(folder, name), what, n)
if (size[4] > 0) {
  X <- Matrix::sparseMatrix(i = read("indices", size[4], "integer") + 1L,
                            p = read("starts", size[2] + 1, "integer"),
                            x = read("values", size[4]), dims = size[1:2])
} else {
  X <- matrix(read("X", size[1] * size[2]), size[1], size[2])
}
y <- read("y", size[1])
lambdas <- read("lambdas", size[3])
fold <- read("fold", size[1])
started <- Sys.time()
if (arguments[2] == "path") {
  fit <- glmnet(X, y, lambda = lambdas, standardize = FALSE, thresh = thresh, maxit = 1e9)
  seconds <- Sys.time() - started
  coef <- matrix(0, size[2], size[3])
  coef[, seq_len(ncol(fit$beta))] <- as.matrix(fit$beta)
  writeBin(as.vector(coef), file.path(folder, "coef"))
} else {
  fit <- cv.glmnet(X, y, lambda = lambdas, standardize = FALSE, foldid = fold, thresh = thresh,
                   maxit = 1e9)
  seconds <- Sys.time() - started
  cat(fit$lambda.min, "")
}
cat(as.numeric(seconds, units = "secs"))
"""


def has_glmnet() -> bool:
    """Return whether R is there, and glmnet in it."""
    if shutil.which("Rscript") is None:
        return False
    probe = ["Rscript", "-e", "library(glmnet)"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


class Glmnet:
    """A process of R for every call, on the data of one problem and one grid."""

    tolerances = (1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16, 1e-18, 1e-20)

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory()
        self._folder = pathlib.Path(self._scratch.name)
        self._written: Problem | None = None

    def path(
        self, problem: Problem, lambdas: np.ndarray, l1_ratio: float, tol: float
    ) -> tuple[float, np.ndarray]:
        if l1_ratio != 1:
            raise ValueError("The elastic net of glmnet is scaled in another way.")
        seconds = self._run(problem, lambdas, "path", tol)[-1]
        return seconds, np.fromfile(self._folder / "coef").reshape(len(lambdas), -1)

    def cv(self, problem: Problem, lambdas: np.ndarray, tol: float) -> tuple[float, float]:
        chosen, seconds = self._run(problem, lambdas, "cv", tol)
        return seconds, chosen

    def _run(self, problem: Problem, lambdas: np.ndarray, what: str, tol: float) -> list[float]:
        if self._written is not problem:
            self._write(problem)
            self._written = problem
        n, p = problem.shape
        entries = problem.columns.nnz if problem.is_sparse else 0
        (self._folder / "size").write_text(f"{n} {p} {len(lambdas)} {entries}")
        lambdas.tofile(self._folder / "lambdas")
        command = ["Rscript", str(self._folder / "run.R"), str(self._folder), what, str(tol)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [float(word) for word in done.stdout.split()]

    def _write(self, problem: Problem) -> None:
        fold = np.empty(len(problem.y))
        for i, (_, test) in enumerate(problem.folds):
            fold[test] = i + 1.0
        if problem.is_sparse:
            X = problem.columns
            X.indices.astype(np.int32).tofile(self._folder / "indices")
            X.indptr.astype(np.int32).tofile(self._folder / "starts")
            X.data.tofile(self._folder / "values")
        else:
            problem.X.T.tofile(self._folder / "X")
        problem.y.astype(float).tofile(self._folder / "y")
        fold.tofile(self._folder / "fold")
        (self._folder / "run.R").write_text(_PROGRAM)
