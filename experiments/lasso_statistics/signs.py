"""Signs: whether some strength recovers them hangs on the irrepresentable condition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.report import Record
from regjax.paths import lasso_path

TRUTHS = ((2.0, 3.0, 0.0), (-2.0, 3.0, 0.0))


def sign_recovery(
    values: Sequence[float],
    n_samples: int,
    n_draws: int,
    n_lambdas: int,
    rng: np.random.Generator,
) -> Record:
    """Return by value of the condition in how many draws some strength has all signs right.

    `x3 = r x1 + r x2 + sqrt(1 - 2 r^2) e`, with `x1`, `x2` and `e` orthogonal and of variance 1,
    so that `C21 inv(C11) sign(b)`, which the condition wants below 1, is 2 r where the signs of `b`
    are equal, and 0 where they are not. All draws are responses of one path.
    """
    z = np.sqrt(n_samples) * np.linalg.qr(rng.normal(size=(n_samples, 3)))[0]
    noise = rng.normal(size=(n_samples, n_draws))
    lambdas = np.geomspace(10, 1e-6, n_lambdas)
    shares = np.empty((len(TRUTHS), len(values)))
    for i, value in enumerate(values):
        r = value / 2
        X = z @ [[1, 0, r], [0, 1, r], [0, 0, np.sqrt(1 - 2 * r**2)]]
        for k, truth in enumerate(TRUTHS):
            y = (X @ truth)[:, None] + noise
            path = lasso_path(X, y, lambdas=lambdas, fit_intercept=False, tol=1e-10)
            right = (np.sign(path.coef) == np.sign(truth)).all(axis=-1).any(axis=-1)
            shares[k, i] = right.mean()
    return {
        "question": "signs",
        "lanes": n_draws,
        "values": list(values),
        "shares, equal signs": shares[0].tolist(),
        "shares, opposite signs": shares[1].tolist(),
    }
