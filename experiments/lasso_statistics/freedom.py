"""Degrees of freedom: as many as there are active variables, on average."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.diabetes_path import unit_columns
from experiments.report import Record
from regjax.paths import lasso_path


def degrees_of_freedom(
    strengths: Sequence[float], n_draws: int, rng: np.random.Generator
) -> Record:
    """Return what responses and fits have in common, and how many variables are active.

    On the diabetes design new responses `X b + sigma e` are drawn about the fit of least squares;
    all draws are responses of one path. Degrees of freedom are `sum_i cov(fit_i, y_i) / sigma^2`.
    Strengths are those of `RSS / 2 + lambda_ ||b||_1`.
    """
    X, y, _ = unit_columns()
    n, p = X.shape
    w = np.linalg.lstsq(X, y)[0]
    sigma = np.sqrt(np.sum(np.square(y - X @ w)) / (n - p - 1))
    noise = rng.normal(size=(n, n_draws))
    lambdas = np.sort(strengths)[::-1]
    path = lasso_path(
        X, (X @ w)[:, None] + sigma * noise, lambdas=lambdas / n, fit_intercept=False, tol=1e-10
    )
    # The mean fit has no covariance with the noise, and without it the sum varies less.
    around = (path.coef - path.coef.mean(axis=0)) * n_draws / (n_draws - 1)
    covariance = np.einsum("klj,jk->kl", around, X.T @ noise) / sigma
    active = np.count_nonzero(path.coef, axis=-1)
    return {
        "question": "degrees of freedom",
        "lanes": n_draws,
        "strengths": lambdas.tolist(),
        "degrees of freedom": covariance.mean(axis=0).tolist(),
        "active variables": active.mean(axis=0).tolist(),
        "standard errors": _standard_error(covariance).tolist(),
        "standard errors of the difference": _standard_error(covariance - active).tolist(),
    }


def _standard_error(draws: np.ndarray) -> np.ndarray:
    return draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
