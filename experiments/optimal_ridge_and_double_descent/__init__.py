"""Double descent of least squares in the number of samples, and ridge regression without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments.report import Claim, Record
from regjax.paths import ridge_path

# Samples, closer to each other about the peak at 60 features.
_BELOW = (5, 10, 15, 20, 25, 30, 35, 40, 44, 48, 51, 54, 56, 58, 59, 60)
_ABOVE = (61, 62, 64, 66, 69, 72, 76, 80, 85, 90, 100, 110, 120, 140, 160, 180)


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.optimal_ridge_and_double_descent`, about 20 s on 2 cores.

    `y = x w + noise` with `x` standard normal in `n_features` dimensions and `||w|| = 1`. The risk
    is the excess error on new samples, `||b - w||^2`. Penalties are `lambda_ n ||b||^2 / 2` beside
    half the sum of squares.
    """

    seed: int = 0
    n_features: int = 60
    noise: float = 0.5
    n_samples: tuple[int, ...] = (*_BELOW, *_ABOVE)
    n_draws: int = 200
    # In units of the best strength.
    strengths: tuple[float, ...] = (0.0, 0.01, 0.05, 0.2, 0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 2.0, 5.0)
    drawn: tuple[float, ...] = (0.0, 0.01, 0.05, 1.0)


RTOL = 1e-6


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return by number of samples the mean risk of every strength, and what theory says."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    return [_record(n, config, rng) for n in config.n_samples]


def _record(n: int, config: Config, rng: np.random.Generator) -> Record:
    p = config.n_features
    strengths = np.sort(config.strengths)[::-1]
    risks = np.empty((config.n_draws, len(strengths)))
    for i in range(config.n_draws):
        X, w = rng.normal(size=(n, p)), rng.normal(size=p)
        w /= np.linalg.norm(w)
        y = X @ w + config.noise * rng.normal(size=n)
        path = ridge_path(X, y, lambdas=strengths * best_lambda(n, config), fit_intercept=False)
        risks[i] = np.square(path.coef - w).sum(axis=1)
    mean, error = risks.mean(axis=0), risks.std(axis=0, ddof=1) / np.sqrt(config.n_draws)
    best = int(mean.argmin())
    at_theory = int(np.flatnonzero(strengths == 1.0)[0])
    return {
        "samples": n,
        "features": p,
        "no penalty": float(mean[-1]),
        "no penalty, theory": risk_without_penalty(n, config),
        "best strength": float(mean[best]),
        "best strength, in units of theory's": float(strengths[best]),
        "theory's strength": float(mean[at_theory]),
        "strengths": strengths.tolist(),
        "risks": mean.tolist(),
        "standard errors": error.tolist(),
    }


def best_lambda(n: int, config: Config) -> float:
    """Return the strength of least expected risk: `noise^2 p / (n ||w||^2)`, for any design.

    It is that of the normal prior on `w` with the same norm (Nakkiran and others 2020, theorem 1).
    """
    return config.noise**2 * config.n_features / n


def risk_without_penalty(n: int, config: Config) -> float | None:
    """Return the expected risk of the least-squares solution of least norm, or None if infinite.

    For normal samples `noise^2 p / (n - p - 1)` above p, and below it what the samples do not see,
    `1 - n / p`, and `noise^2 n / (p - n - 1)` (Belkin, Hsu and Xu 2020).
    """
    p = config.n_features
    if abs(n - p) <= 1:
        return None
    if n > p:
        return config.noise**2 * p / (n - p - 1)
    return 1 - n / p + config.noise**2 * n / (p - n - 1)


def claims(records: Sequence[Record]) -> list[Claim]:
    """Return what the paper says of the peak and of the best strength."""
    p = records[0]["features"]
    n = np.array([record["samples"] for record in records])
    free = np.array([record["no penalty"] for record in records])
    theory = np.array([record["no penalty, theory"] or np.inf for record in records])
    error = np.array([record["standard errors"][-1] for record in records])
    # Nearer to the peak the risk of a draw has no variance, and the mean of many no law.
    far = np.abs(n - p) > 3
    deviation = np.max(np.abs(free - theory)[far] / error[far])
    before, worst = n < p, int(n[free.argmax()])
    least = int(n[before][free[before].argmin()])
    units = [record["best strength, in units of theory's"] for record in records]
    rise, allowed = _largest_rise(records)
    return [
        Claim(
            "least squares is worst where samples are as many as features",
            f"{p} samples",
            f"{worst} samples",
            "1 sample",
            abs(worst - p) <= 1,
        ),
        Claim(
            "short of that least squares gets worse with more samples",
            f"from before {0.9 * p:g} samples on",
            f"from {least} samples on",
            "none",
            least < 0.9 * p,
        ),
        Claim(
            "risk of least squares, by theory",
            "noise^2 p / (n - p - 1), or its like below p",
            f"off by at most {deviation:.1f} standard errors",
            "4 standard errors, more than 3 samples from the peak",
            bool(deviation <= 4),
        ),
        Claim(
            "the best strength is noise^2 p / ||w||^2 at every number of samples",
            f"best of {len(records[0]['strengths'])} at {len(records)} of {len(records)}",
            f"at {units.count(1.0)}",
            "the step of the grid",
            units.count(1.0) == len(records),
        ),
        Claim(
            "the risk at the best strength never rises with more samples",
            "largest rise at most 0",
            f"{rise:.2g}",
            f"2 standard errors of a difference, {allowed:.2g}",
            rise <= allowed,
        ),
    ]


def _largest_rise(records: Sequence[Record]) -> tuple[float, float]:
    """Return the largest rise of the risk at theory's strength, and what chance allows there."""
    k = records[0]["strengths"].index(1.0)
    risk = np.array([record["risks"][k] for record in records])
    error = np.array([record["standard errors"][k] for record in records])
    allowed = 2 * np.hypot(error[1:], error[:-1])
    i = int(np.argmax(np.diff(risk) / allowed))
    return float(np.diff(risk)[i]), float(allowed[i])


_COLORS = ("#D55E00", "#E69F00", "#009E73", "#0072B2")


def draw(records: Sequence[Record]) -> Figure:
    """Return the risk over the number of samples, and over the strength at three numbers."""
    figure = Figure(figsize=(11.4, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.45, 1), sharey=True)
    n = np.array([record["samples"] for record in records])
    risks = np.array([record["risks"] for record in records])
    errors = np.array([record["standard errors"] for record in records])
    strengths = records[0]["strengths"]
    for strength, color, marker in zip(Config().drawn, _COLORS, "o^sD", strict=True):
        k = strengths.index(strength)
        label = "no penalty" if strength == 0 else f"{strength:g} x the best strength"
        label = "the best strength" if strength == 1 else label
        left.errorbar(
            n, risks[:, k], errors[:, k], color=color, marker=marker, ms=4, lw=1.2, label=label
        )
    p = records[0]["features"]
    for side in (n < p, n > p):
        theory = [record["no penalty, theory"] for record in records]
        shown = [i for i in np.flatnonzero(side) if theory[i] is not None]
        left.plot(
            n[shown],
            [theory[i] for i in shown],
            color="black",
            ls=":",
            lw=1.4,
            zorder=5,
            label="no penalty, theory" if side[0] else None,
        )
    left.axvline(p, color="0.7", lw=0.8, zorder=0)
    left.set(yscale="log", xlabel="samples", ylabel="risk, $||b - w||^2$", ylim=(0.05, 60))
    left.legend(fontsize=9, frameon=False)
    for wanted, color, marker in zip((30, 60, 120), _COLORS[1:], "^sD", strict=True):
        i = int(np.argmin(np.abs(n - wanted)))
        shown = np.array(strengths) > 0
        right.plot(
            np.array(strengths)[shown],
            risks[i][shown],
            color=color,
            marker=marker,
            ms=4,
            lw=1.2,
            label=f"{n[i]} samples",
        )
    right.axvline(1.0, color="0.7", lw=0.8, zorder=0)
    right.set(xscale="log", xlabel="strength, in units of the best one")
    right.legend(fontsize=9, frameon=False)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    return figure
