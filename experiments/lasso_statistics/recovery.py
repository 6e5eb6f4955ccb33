"""Recovery: how many coefficients minimal L1 norm finds again from how few equations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from experiments.report import Record
from regjax.paths import lasso_path


def recovery(
    ratios: Sequence[float],
    n_features: int,
    n_sizes: int,
    n_designs: int,
    n_draws: int,
    rng: np.random.Generator,
) -> Record:
    """Return by n / p up to which k / n sparse coefficients are found again, half of the time.

    `A` is normal, n by p, and `x` has k entries of 1 or -1 and else 0. The lasso at a strength next
    to 0 stands for the least L1 norm under `A b = A x`. All draws of all k that share an `A` are
    responses of one path. The k tried lie about the threshold of theory, far enough for nearly all
    and for none to be found again: the fall between is about as wide as `1 / sqrt(n)`.
    """
    points, shares, sizes = [], [], []
    for ratio in ratios:
        n = round(ratio * n_features)
        theory = weak_threshold(ratio) * n
        ends = theory * (1 - 4 / np.sqrt(n)), theory * (1 + 4 / np.sqrt(n))
        ks = np.unique(np.linspace(*ends, n_sizes).round().astype(int).clip(1, n))
        designs = [_shares(n, n_features, ks, n_draws, rng) for _ in range(n_designs)]
        share = np.mean(designs, axis=0)
        sizes.append((ks / n).tolist())
        shares.append(share.tolist())
        # Spearman and Kaerber's estimate of where the share falls through a half.
        points.append(float((ks[0] + np.trapezoid(share, ks)) / n))
    return {
        "question": "recovery",
        "lanes": sum(n_designs * n_draws * len(k) for k in sizes),
        "n / p": list(ratios),
        "k / n at one half": points,
        "k / n": sizes,
        "shares": shares,
    }


def _shares(n: int, p: int, ks: np.ndarray, n_draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return for every k the share of draws whose coefficients are found again."""
    A = rng.normal(size=(n, p))
    x = np.zeros((len(ks), n_draws, p))
    for k, rows in zip(ks, x, strict=True):
        for row in rows:
            row[rng.permutation(p)[:k]] = rng.choice([-1.0, 1.0], size=k)
    flat = x.reshape(-1, p)
    path = lasso_path(A, A @ flat.T, lambdas=[1e-5], fit_intercept=False, tol=1e-9)
    error = np.linalg.norm(path.coef[:, 0] - flat, axis=1) / np.linalg.norm(flat, axis=1)
    return (error < 1e-2).reshape(len(ks), n_draws).mean(axis=1)


def weak_threshold(ratio: float) -> float:
    """Return the share k / n that is found again with n = `ratio` p equations, as p grows.

    `max_z (1 - 2 / ratio h(z)) / (1 + z^2 - 2 h(z))` with `h(z) = (1 + z^2) Phi(-z) - z phi(z)`
    (Donoho, Maleki and Montanari 2009, "Message-passing algorithms for compressed sensing").

    Example:
        >>> round(weak_threshold(0.5), 3)
        0.386
    """
    z = np.linspace(0, 6, 60_001)
    h = (1 + np.square(z)) * ndtr(-z) - z * np.exp(-np.square(z) / 2) / np.sqrt(2 * np.pi)
    # At z = 0 both are 0 if the ratio is 1.
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = (1 - 2 / ratio * h) / (1 + np.square(z) - 2 * h)
    return float(np.nanmax(shares))
