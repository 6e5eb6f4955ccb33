"""Bias and variance over the strength, and what cross-validation makes of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from experiments.bias_variance_over_lambda.figure import draw
from experiments.report import Claim, Record
from regjax.paths import elastic_net_cv, elastic_net_path

__all__ = ["RTOL", "Config", "claims", "draw", "run"]


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.bias_variance_over_lambda`, about 10 s on 2 cores.

    `y = x w + noise`: normal features whose correlation is `correlation` to the power of their
    distance, and `n_active` coefficients of 1, evenly spaced. Responses are drawn again and again
    for one and the same design.
    """

    seed: int = 0
    n_samples: int = 60
    n_features: int = 30
    n_active: int = 5
    correlation: float = 0.5
    noise: float = 2.0
    n_validation: int = 200
    n_draws: int = 1000
    n_lambdas: int = 60
    # Of ridge and of the lasso.
    largest: tuple[float, float] = (100.0, 3.0)
    least: float = 1e-3
    folds: int = 5


RTOL = 1e-6

_QUANTILES = (0.1, 0.5, 0.9)
_FAMILIES = (("ridge", 0.0), ("lasso", 1.0))


@dataclasses.dataclass(frozen=True)
class _Data:
    """Design, responses by draw (n, n_draws), the same of new samples, and the truth of these."""

    X: np.ndarray
    y: np.ndarray
    X_new: np.ndarray
    y_new: np.ndarray
    truth: np.ndarray
    w: np.ndarray


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return losses, bias and variance of ridge and lasso, and what the choices of strength cost.

    All draws are responses of one path, and of one cross-validation.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    data = _data(config, rng)
    grids = [np.geomspace(largest, config.least, config.n_lambdas) for largest in config.largest]
    return [
        _record(name, l1_ratio, grid, data, config)
        for (name, l1_ratio), grid in zip(_FAMILIES, grids, strict=True)
    ]


def _data(config: Config, rng: np.random.Generator) -> _Data:
    p = config.n_features
    apart = np.abs(np.subtract.outer(np.arange(p), np.arange(p)))
    root = np.linalg.cholesky(config.correlation**apart)
    X, X_new = (rng.normal(size=(n, p)) @ root.T for n in (config.n_samples, config.n_validation))
    w = np.zeros(p)
    w[:: p // config.n_active][: config.n_active] = 1.0
    y, y_new = (
        (A @ w)[:, None] + config.noise * rng.normal(size=(len(A), config.n_draws))
        for A in (X, X_new)
    )
    return _Data(X, y, X_new, y_new, X_new @ w, w)


def _record(
    name: str, l1_ratio: float, strengths: np.ndarray, data: _Data, config: Config
) -> Record:
    # 0 is least squares.
    lambdas = np.append(strengths, 0.0)
    settings = {"l1_ratio": l1_ratio, "lambdas": lambdas, "fit_intercept": False, "tol": 1e-9}
    path = elastic_net_path(data.X, data.y, **settings)
    cv = elastic_net_cv(data.X, data.y, folds=config.folds, **settings)
    # (n_draws, n_lambdas, n_samples)
    training = np.square(path.predict(data.X) - data.y.T[:, None]).mean(axis=2)
    new = path.predict(data.X_new)
    validation = np.square(new - data.y_new.T[:, None]).mean(axis=2)
    excess = np.square(new - data.truth).mean(axis=2)
    risk = excess.mean(axis=0)
    oracle = int(risk.argmin())
    choices = {
        "oracle": path.coef[:, oracle],
        "minimum": cv.coef,
        "one s.e.": cv.coef_1se,
    }
    of_choices = {
        k: np.square(b @ data.X_new.T - data.truth).mean(axis=1) for k, b in choices.items()
    }
    theory = _ridge_theory(lambdas, data, config) if l1_ratio == 0 else None
    return {
        "penalty": name,
        "draws": config.n_draws,
        "noise": config.noise**2,
        "oracle": float(lambdas[oracle]),
        "lambdas": lambdas.tolist(),
        "training loss": training.mean(axis=0).tolist(),
        "validation loss": validation.mean(axis=0).tolist(),
        "s.e. of validation loss less excess risk": _error(validation - excess).tolist(),
        "squared bias": np.square(new.mean(axis=0) - data.truth).mean(axis=1).tolist(),
        "variance": new.var(axis=0).mean(axis=1).tolist(),
        "excess risk": risk.tolist(),
        "s.e. of excess risk": _error(excess).tolist(),
        "excess risk, theory": theory,
        "strengths chosen, minimum": np.quantile(cv.lambda_, _QUANTILES).tolist(),
        "strengths chosen, one s.e.": np.quantile(cv.lambda_1se, _QUANTILES).tolist(),
        "risk of the choice": {k: float(risks.mean()) for k, risks in of_choices.items()},
        "percentiles of that": {
            k: np.percentile(risks, range(1, 100)).tolist() for k, risks in of_choices.items()
        },
        "false positives": {
            k: float(np.count_nonzero(b[:, data.w == 0], axis=1).mean()) for k, b in choices.items()
        },
        "false negatives": {
            k: float(np.count_nonzero(b[:, data.w != 0] == 0, axis=1).mean())
            for k, b in choices.items()
        },
    }


def _error(draws: np.ndarray) -> np.ndarray:
    return draws.std(axis=0, ddof=1) / np.sqrt(len(draws))


def _ridge_theory(lambdas: np.ndarray, data: _Data, config: Config) -> list[float]:
    """Return squared bias plus variance of ridge on the new samples, for the given design.

    `b = inv(G + lambda I) X' y / n` with `G = X'X / n` has the mean `inv(G + lambda I) G w` and the
    covariance `noise^2 / n inv(G + lambda I) G inv(G + lambda I)`.
    """
    n, p = data.X.shape
    G, S = data.X.T @ data.X / n, data.X_new.T @ data.X_new / len(data.X_new)
    risks = []
    for lambda_ in lambdas:
        inverse = np.linalg.inv(G + lambda_ * np.eye(p))
        bias = inverse @ G @ data.w - data.w
        covariance = config.noise**2 / n * inverse @ G @ inverse
        risks.append(float(bias @ S @ bias + np.trace(S @ covariance)))
    return risks


def claims(records: Sequence[Record]) -> list[Claim]:
    """Return what theory says of bias and variance, and papers of the choice of the strength."""
    return [claim for record in records for claim in (*_of_losses(record), *_of_choices(record))]


def _of_losses(record: Record) -> list[Claim]:
    name = record["penalty"]
    # From no penalty to the strongest.
    bias, variance, risk, training, validation, error = (
        np.array(record[column])[::-1]
        for column in (
            "squared bias",
            "variance",
            "excess risk",
            "training loss",
            "validation loss",
            "s.e. of validation loss less excess risk",
        )
    )
    gap = np.max(np.abs(bias + variance - risk)) / np.max(risk)
    off = np.max(np.abs(validation - record["noise"] - bias - variance) / error)
    # The mean of the draws is itself off by this, squared, and without a penalty bias is nothing.
    chance = variance[0] / record["draws"]
    rises = np.diff(bias).min() >= -chance
    steps = rises, np.diff(variance).max() <= 0, np.diff(training).min() >= 0
    best = int(validation.argmin())
    found = [
        Claim(
            f"{name}: excess risk is squared bias plus variance",
            "a difference of 0",
            f"{gap:.0e} of the largest risk",
            "1e-12",
            bool(gap <= 1e-12),
        ),
        Claim(
            f"{name}: validation loss is noise plus squared bias plus variance",
            "a difference of 0",
            f"at most {off:.1f} standard errors",
            "3 standard errors",
            bool(off <= 3),
        ),
        Claim(
            f"{name}: with the strength bias rises, variance falls and training loss rises",
            "at every step",
            ", ".join("yes" if step else "no" for step in steps),
            f"{chance:.1g} of bias, variance over draws",
            all(bool(step) for step in steps),
        ),
        Claim(
            f"{name}: some strength has less validation loss than none, and than all stronger",
            f"less than {validation[0]:.2f} and {validation[-1]:.2f}",
            f"{validation[best]:.2f}",
            "none",
            0 < best < len(validation) - 1,
        ),
    ]
    if record["excess risk, theory"] is not None:
        theory = np.array(record["excess risk, theory"])[::-1]
        off = np.max(np.abs(risk - theory) / np.array(record["s.e. of excess risk"])[::-1])
        found.append(
            Claim(
                f"{name}: excess risk of the closed form, at every strength",
                "a difference of 0",
                f"at most {off:.1f} standard errors",
                "3 standard errors",
                bool(off <= 3),
            )
        )
    return found


def _of_choices(record: Record) -> list[Claim]:
    name, free = record["penalty"], record["excess risk"][-1]
    oracle, least, parsimonious = record["risk of the choice"].values()
    wrong = record["false positives"]
    found = [
        Claim(
            f"{name}: the strength of least cross-validation error is worth while",
            f"risk between the oracle's, {oracle:.3f}, and {free:.3f} without a penalty",
            f"{least:.3f}, {least / oracle:.2f} times the oracle's",
            "none",
            oracle <= least < free,
        ),
        Claim(
            f"{name}: the rule of one standard error predicts worse than the minimum",
            f"risk above {least:.3f}",
            f"{parsimonious:.3f}, {parsimonious / oracle:.2f} times the oracle's",
            "none",
            parsimonious > least,
        ),
    ]
    if name == "lasso":
        found.append(
            Claim(
                f"{name}: the rule of one standard error selects fewer variables in vain",
                f"fewer than {wrong['minimum']:.1f}",
                f"{wrong['one s.e.']:.1f}",
                "none",
                wrong["one s.e."] < wrong["minimum"],
            )
        )
    return found
