"""The problems that are solved: data, grids, folds, and how much faster we want to be."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.datasets import load_diabetes

from regjax.paths import k_folds

N_LAMBDAS = 100
FOLDS = 5
TOL = 1e-6


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a problem is called, how its data come to be, and the targets.

    Attributes:
        ratio: the least lambda of the grid as a share of the largest.
        path_target, cv_target: how many times faster than the best peer, None where only measured.
        has_cv: whether it is cross-validated too.
    """

    text: str
    load: Callable[[], tuple[Any, np.ndarray]]
    ratio: float
    path_target: float | None = None
    cv_target: float | None = None
    has_cv: bool = True


class Problem:
    """Data (n, p), dense by rows or CSR, and a response (n,)."""

    def __init__(self, spec: Spec) -> None:
        X, self.y = spec.load()
        self.is_sparse = scipy.sparse.issparse(X)
        self.X = X if self.is_sparse else np.ascontiguousarray(X, dtype=float)
        self.shape = X.shape
        self.mean = np.asarray(X.mean(axis=0)).ravel()
        self._ratio = spec.ratio

    @functools.cached_property
    def columns(self) -> Any:
        """The same data laid out by columns, as coordinate descent wants them."""
        return self.X.tocsc() if self.is_sparse else np.asfortranarray(self.X)

    @functools.cached_property
    def folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return k_folds(len(self.y), FOLDS)

    def lambdas(self, l1_ratio: float) -> np.ndarray:
        centred = self.y - self.y.mean()
        largest = np.abs(self.X.T @ centred - self.mean * centred.sum()).max() / len(self.y)
        return largest / l1_ratio * np.geomspace(1, self._ratio, N_LAMBDAS)

    def megabytes(self) -> float:
        """Return the size of X."""
        parts = (self.X.data, self.X.indices, self.X.indptr) if self.is_sparse else (self.X,)
        return sum(part.nbytes for part in parts) / 2**20


def gaussian(n: int, p: int, noise: float, correlation: float = 0.0) -> tuple:
    """Return columns of an autoregression, and a response of 50 of them, or a quarter."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p))
    for j in range(1, p if correlation else 0):
        X[:, j] = correlation * X[:, j - 1] + np.sqrt(1 - correlation**2) * X[:, j]
    b = np.zeros(p)
    active = min(50, p // 4)
    b[rng.choice(p, active, replace=False)] = rng.normal(size=active)
    return X, X @ b + noise * rng.normal(size=n)


def _sparse(n: int, p: int, density: float) -> tuple:
    rng = np.random.default_rng(0)
    X = scipy.sparse.random_array((n, p), density=density, format="csr", rng=rng)
    b = np.zeros(p)
    b[rng.choice(p, 50, replace=False)] = rng.normal(size=50)
    return X, X @ b + 0.5 * rng.normal(size=n)


def _expression(n: int, p: int) -> tuple:
    """Return genes that follow a few hidden factors, and two classes that differ in some."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(n, 8))
    X = factors @ rng.normal(size=(8, p)) * 0.5 + rng.normal(size=(n, p))
    y = (np.arange(n) >= 27).astype(float)
    X[:, :60] += np.outer(y, rng.normal(size=60))
    return X, y


def _nci() -> tuple:
    spec = importlib.util.find_spec("ISLP")
    if spec is None or spec.origin is None:
        raise SystemExit("nci needs the data of ISLP: pip install --no-deps islp")
    X = np.load(pathlib.Path(spec.origin).parent / "data" / "NCI60data.npy")
    # One gene is the response, the others are the features.
    return np.delete(X, 0, axis=1), X[:, 0].copy()


def _diabetes() -> tuple:
    return load_diabetes(return_X_y=True)


PROBLEMS: dict[str, Spec] = {
    "diab": Spec("diabetes, 442 x 10", _diabetes, 1e-3, 2.5, 10),
    "golub": Spec("like Golub's, 38 x 3,051", lambda: _expression(38, 3_051), 1e-2, None, 5),
    "nci": Spec("NCI60, 64 x 6,829", _nci, 1e-2, 4, 5),
    "ar95": Spec("3,000 x 200, correlation 0.95", lambda: gaussian(3_000, 200, 3.0, 0.95), 1e-3),
    "tall": Spec("50,000 x 300", lambda: gaussian(50_000, 300, 3.0), 1e-3, 1.1, 10),
    "cell": Spec(
        "10,000 x 1,000, correlation 0.5", lambda: gaussian(10_000, 1_000, 3.0, 0.5), 1e-3, 1.5, 5
    ),
    "wide": Spec("500 x 10,000", lambda: gaussian(500, 10_000, 1.0), 1e-2, 6, 5),
    "sparse": Spec("20,000 x 5,000, 1 % not 0", lambda: _sparse(20_000, 5_000, 0.01), 1e-2),
    "mid": Spec("2,000 x 2,000", lambda: gaussian(2_000, 2_000, 3.0), 1e-3, 4, None, has_cv=False),
}
