"""Writes paths.json beside this file: `python tests/goldens/make_goldens.py`.

Solutions of scikit-learn and, where Rscript is there, of glmnet, both far more exact than a test
asks for, on little seeded data whose response is far from standard deviation 1. Each library has
its own scale: see the comments where they are called.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import tempfile
import warnings

import numpy as np
import sklearn
from sklearn.linear_model import ElasticNet

HERE = pathlib.Path(__file__).parent
SHARES = np.array([0.6, 0.3, 0.1, 0.03, 0.01])

# Arguments of `elastic_net_path`; those that are True here become the arrays of the problem.
SETTINGS = {
    "lasso": {},
    "elastic net": {"l1_ratio": 0.5},
    "standardised": {"standardize": True},
    "standardised elastic net": {"standardize": True, "l1_ratio": 0.5},
    "weighted": {"sample_weight": True},
    "weighted elastic net, standardised": {
        "sample_weight": True,
        "standardize": True,
        "l1_ratio": 0.5,
    },
    "penalty factors": {"penalty_weights": True},
    "weighted penalty factors, elastic net": {
        "sample_weight": True,
        "penalty_weights": True,
        "l1_ratio": 0.5,
    },
    "non-negative": {"lower": 0.0},
    "non-negative elastic net": {"lower": 0.0, "l1_ratio": 0.5},
    "no intercept": {"fit_intercept": False},
    "no intercept, elastic net": {"fit_intercept": False, "l1_ratio": 0.5},
}


def make_problem(n, p, seed):
    """Return data rounded so that the decimals written are the very numbers that were fitted."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * rng.choice([0.5, 1.0, 3.0], p)
    X[:, 1] += 0.8 * X[:, 0]
    X += rng.choice([-2.0, 0.0, 1.0], p)
    b = np.where(np.arange(p) % 3 == 0, rng.normal(size=p) * 4, 0.0)
    y = 10 + X @ b + 2 * rng.normal(size=n)
    factors = rng.uniform(0.3, 2.0, p)
    return {
        "X": X.round(4),
        "y": y.round(4),
        "sample_weight": rng.uniform(0.2, 3.0, n).round(4),
        "penalty_weights": factors.round(4),
    }


PROBLEMS = {"30 x 5": make_problem(30, 5, 1), "12 x 20": make_problem(12, 20, 2)}


class Case:
    """One problem under one setting, in the terms of regjax."""

    def __init__(self, problem, setting):
        data, arguments = PROBLEMS[problem], SETTINGS[setting]
        self.X, self.y = data["X"], data["y"]
        n, p = self.X.shape
        given = {name: data[name] for name in ("sample_weight", "penalty_weights")}
        given = {name: given[name] if name in arguments else None for name in given}
        self.weight = np.ones(n) if given["sample_weight"] is None else given["sample_weight"]
        self.share = self.weight / self.weight.sum()
        self.factors = np.ones(p) if given["penalty_weights"] is None else given["penalty_weights"]
        self.l1_ratio = arguments.get("l1_ratio", 1.0)
        self.intercept = arguments.get("fit_intercept", True)
        self.lower = arguments.get("lower", -np.inf)
        self.x_mean = self.share @ self.X if self.intercept else np.zeros(p)
        self.y_mean = self.share @ self.y if self.intercept else 0.0
        mean = self.share @ self.X
        sd = np.sqrt(self.share @ (self.X - mean) ** 2)
        self.scale = sd if arguments.get("standardize") else np.ones(p)
        slope = (self.X - self.x_mean).T @ (self.share * (self.y - self.y_mean))
        slope = np.maximum(slope, 0) if self.lower == 0 else np.abs(slope)
        largest = np.max(slope / (self.factors * self.scale)) / self.l1_ratio
        self.lambdas = np.array([float(f"{lambda_:.6g}") for lambda_ in largest * SHARES])
        self.null = self.share @ (self.y - self.y_mean) ** 2 / 2

    def objective(self, coef, intercept, lambda_):
        scaled = coef * self.scale
        each = self.l1_ratio * np.abs(scaled) + (1 - self.l1_ratio) / 2 * scaled**2
        residual = self.y - intercept - self.X @ coef
        return self.share @ residual**2 / 2 + lambda_ * self.factors @ each

    def fit(self, coefs):
        """Return the solutions of one library as they are kept, with the best intercept."""
        intercepts = self.y_mean - coefs @ self.x_mean
        triples = zip(coefs, intercepts, self.lambdas, strict=True)
        return {
            "coef": coefs.tolist(),
            "intercept": intercepts.tolist(),
            "objective": [float(self.objective(*triple)) for triple in triples],
        }


def by_sklearn(case):
    """Return coefficients (n_lambdas, p), or None where the library has no such problem."""
    has_factors = np.any(case.factors != 1)
    if has_factors and case.l1_ratio < 1:
        return None
    # Factors and scales go into the columns: for the lasso alone in the case of factors, since a
    # square penalty would see the squares of them.
    columns = case.scale * case.factors
    X, y = (case.X - case.x_mean) / columns, case.y - case.y_mean
    coefs = []
    for lambda_ in case.lambdas:
        model = ElasticNet(
            alpha=lambda_,
            l1_ratio=case.l1_ratio,
            fit_intercept=False,
            positive=case.lower == 0,
            tol=1e-14,
            max_iter=10**6,
        )
        coefs.append(model.fit(X, y, sample_weight=case.weight).coef_ / columns)
    return np.stack(coefs)


_GLMNET = """
suppressMessages(library(glmnet))
folder <- commandArgs(trailingOnly = TRUE)[1]
read <- function(name) as.matrix(read.csv(file.path(folder, name), header = FALSE))
number <- as.vector(read("numbers"))
fit <- glmnet(read("X"), as.vector(read("y")), weights = as.vector(read("weights")),
              alpha = number[1], lambda = as.vector(read("lambdas")), standardize = FALSE,
              intercept = FALSE, penalty.factor = as.vector(read("factors")),
              lower.limits = number[2], thresh = 1e-22, maxit = 1e9)
write.table(format(t(as.matrix(fit$beta)), digits = 17), file.path(folder, "coef"),
            quote = FALSE, row.names = FALSE, col.names = FALSE)
cat(as.character(packageVersion("glmnet")))
"""


def by_glmnet(case):
    """Return coefficients (n_lambdas, p) and glmnet's version."""
    # glmnet divides y by its standard deviation s. With y / s and b / s, our objective over s^2 has
    # lambda l1_ratio / s before the absolute values and lambda (1 - l1_ratio) before the squares.
    y = case.y - case.y_mean
    s = np.sqrt(case.share @ y**2)
    mix = case.l1_ratio / s + 1 - case.l1_ratio
    # It also divides the factors by their mean.
    lambdas = case.lambdas * mix * case.factors.mean()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        files = {
            "X": (case.X - case.x_mean) / case.scale,
            "y": y / s,
            "weights": case.weight,
            "lambdas": lambdas,
            "factors": case.factors,
            "numbers": np.array([case.l1_ratio / s / mix, case.lower]),
        }
        for name, values in files.items():
            np.savetxt(folder / name, np.atleast_2d(values.T).T, fmt="%.17g", delimiter=",")
        text = (folder / "numbers").read_text().replace("-inf", "-Inf")
        (folder / "numbers").write_text(text)
        (folder / "run.R").write_text(_GLMNET)
        command = ["Rscript", str(folder / "run.R"), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        coefs = np.loadtxt(folder / "coef", ndmin=2)
    return coefs * s / case.scale, done.stdout


def as_text(versions, problems, cases):
    """Return JSON with a line for each array of a problem and for each case."""
    arrays = [
        f'"{name}": {{\n' + ",\n".join(f'"{part}": {json.dumps(data[part])}' for part in data) + "}"
        for name, data in problems.items()
    ]
    return (
        f'{{"versions": {json.dumps(versions)},\n"problems": {{\n'
        + ",\n".join(arrays)
        + '},\n"cases": [\n'
        + ",\n".join(json.dumps(case) for case in cases)
        + "]}\n"
    )


def main():
    """Solve everything with everybody, see that they agree, and write."""
    warnings.simplefilter("error")
    versions = {"scikit-learn": sklearn.__version__}
    cases = []
    for problem in PROBLEMS:
        for setting, arguments in SETTINGS.items():
            case = Case(problem, setting)
            found = {"scikit-learn": by_sklearn(case)}
            try:
                found["glmnet"], versions["glmnet"] = by_glmnet(case)
            except FileNotFoundError:
                print("Rscript is not there: the solutions of glmnet are left out.")
            fits = {who: case.fit(coefs) for who, coefs in found.items() if coefs is not None}
            objectives = np.array([fit["objective"] for fit in fits.values()])
            print(f"{problem}, {setting}: {np.ptp(objectives, axis=0).max() / case.null:.0e} apart")
            cases.append(
                {
                    "problem": problem,
                    "setting": setting,
                    "arguments": arguments,
                    "lambdas": case.lambdas.tolist(),
                    "null_objective": float(case.null),
                    "fits": fits,
                }
            )
    problems = {
        name: {part: values.tolist() for part, values in data.items()}
        for name, data in PROBLEMS.items()
    }
    (HERE / "paths.json").write_text(as_text(versions, problems, cases))


if __name__ == "__main__":
    main()
