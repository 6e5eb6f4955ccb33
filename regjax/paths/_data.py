"""The columns of a wide matrix under several weightings of its rows, as the engines need them."""

from __future__ import annotations

import numpy as np


class Columns:
    """Columns of `X` (n, p), centred and scaled for every lane of row weights.

    Attributes:
        X: (n, p).
        weight: (n_lanes, n), summing to 1 in every lane.
        mean, deviation: (n_lanes, p) what columns are shifted by and divided by.
        basis: (n_lanes, n, f) weighted-orthonormal vectors that are projected out.
    """

    def __init__(
        self,
        X: np.ndarray,
        weight: np.ndarray,
        mean: np.ndarray,
        deviation: np.ndarray,
        basis: np.ndarray,
    ) -> None:
        self.X, self.weight, self.mean, self.deviation = X, weight, mean, deviation
        self.basis = basis

    def one(self, lanes: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return one column for each of `lanes`, (n_lanes, n)."""
        moved = self.X[:, columns].T - self.mean[lanes, columns][:, None]
        moved /= self.deviation[lanes, columns][:, None]
        if self.basis.shape[2]:
            weighted = moved * self.weight[lanes]
            inside = np.einsum("lnf,ln->lf", self.basis[lanes], weighted)
            moved -= np.einsum("lnf,lf->ln", self.basis[lanes], inside)
        return moved

    def many(self, lane: int, columns: np.ndarray) -> np.ndarray:
        """Return `columns` of one lane times the root of its weights, (n, n_columns)."""
        root = np.sqrt(self.weight[lane])[:, None]
        moved = (self.X[:, columns] - self.mean[lane, columns]) / self.deviation[lane, columns]
        moved *= root
        basis = self.basis[lane] * root
        if basis.shape[1]:
            moved -= basis @ (basis.T @ moved)
        return moved

    def correlations(self, lane: int, residuals: np.ndarray) -> np.ndarray:
        """Return (r, p) products of all columns with residuals (r, n) times the root weights."""
        weighted = residuals * np.sqrt(self.weight[lane])
        total = weighted.sum(axis=1)
        return (weighted @ self.X - np.outer(total, self.mean[lane])) / self.deviation[lane]
