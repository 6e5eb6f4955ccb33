"""Grouping: of three nearly equal variables the lasso picks, and the elastic net shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.report import Record
from regjax.paths import elastic_net_path

# Of x1, x2 and x3, which are z1, -z1 and z1 with noise.
_SIGNS = np.array([1.0, -1.0, 1.0])


def grouping(
    mixes: Sequence[float],
    noises: Sequence[float],
    n_samples: int,
    n_designs: int,
    n_draws: int,
    n_lambdas: int,
    least: float,
    rng: np.random.Generator,
) -> Record:
    """Return by noise and mix how the weight of the first group is spread, and the bound on it.

    `z1` and `z2` are uniform on 0 to 20, `y = z1 + 0.1 z2 + e`, and the columns z1, -z1, z1, z2,
    -z2, z2 with noise, then centred and of norm 1. All draws of `e` are responses of one path.
    Theorem 1 bounds, for columns of correlation rho, `|b_i - b_j|` by
    `sqrt(2 (1 - rho)) ||y|| / lambda2` with `lambda2 = n lambda (1 - l1_ratio)` here.
    """
    z = rng.uniform(0, 20, size=(n_designs, n_samples, 2))
    y = (z @ [1.0, 0.1])[..., None] + rng.normal(size=(n_designs, n_samples, n_draws))
    y -= y.mean(axis=1, keepdims=True)
    error = rng.normal(size=(n_designs, n_samples, 6))
    settings = {"n_lambdas": n_lambdas, "lambda_min_ratio": least, "fit_intercept": False}
    cases, ratios = [], []
    for noise in noises:
        X = np.repeat(z, 3, axis=2) * np.tile(_SIGNS, 2) + noise * error
        X -= X.mean(axis=1, keepdims=True)
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        for mix in mixes:
            paths = [
                elastic_net_path(*data, l1_ratio=mix, tol=1e-10, **settings)
                for data in zip(X, y, strict=True)
            ]
            ratios += [
                _over_bound(path.coef, A, b, n_samples * (1 - mix) * path.lambdas)
                for path, A, b in zip(paths, X, y, strict=True)
            ]
            # At the first strength everything is 0.
            group = np.abs(np.concatenate([path.coef[:, 1:, :3] for path in paths]))
            members = np.count_nonzero(group, axis=-1)
            share = np.median(group.max(axis=-1) / group.sum(axis=-1), axis=0)
            cases.append(
                {
                    "mix": mix,
                    "noise": noise,
                    "variables of the group": members.mean(axis=0).tolist(),
                    "draws with one variable": np.mean(members == 1, axis=0).tolist(),
                    "draws with all three": np.mean(members == 3, axis=0).tolist(),
                    "largest share, median": share.tolist(),
                }
            )
    return {
        "question": "grouping",
        "lanes": n_designs * n_draws,
        "strengths, in units of the largest": np.geomspace(1, least, n_lambdas)[1:].tolist(),
        "cases": cases,
        "largest difference, in units of the bound": max(ratios),
    }


def _over_bound(coef: np.ndarray, X: np.ndarray, y: np.ndarray, lambda2: np.ndarray) -> float:
    """Return the largest ratio of a difference of two coefficients to its bound, of a design."""
    group, X = coef[..., :3] * _SIGNS, X[:, :3] * _SIGNS
    ratios = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        # The theorem speaks of two coefficients that are not 0 and have equal signs.
        both = group[..., i] * group[..., j] > 0
        apart = np.abs(group[..., i] - group[..., j]) * both
        # Of columns of norm 1, sqrt(2 (1 - rho)) is the distance.
        bound = np.linalg.norm(X[:, i] - X[:, j]) * np.linalg.norm(y, axis=0)[:, None]
        ratios.append(np.max(apart * lambda2 / bound))
    return float(max(ratios))
