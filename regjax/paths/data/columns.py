"""The columns of a wide matrix under several weightings of its rows, as the engines need them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from regjax.paths.data.inputs import Matrix, dense

_BLOCK_ENTRIES = 2**22
_CACHED = 512
# Squared means, in squared deviations, beyond which a column is far from 0.
_FAR = 1e6


class Columns:
    """Columns of `X` (n, p), centered and scaled for every lane of row weights.

    Attributes:
        X: (n, p), dense or sparse; only some columns at a time are ever made dense.
        weight: (n_lanes, n), summing to 1 in every lane.
        mean, deviation: (n_lanes, p) what columns are shifted by and divided by.
        basis: (n_lanes, n, f) weighted-orthonormal vectors that are projected out.
    """

    def __init__(
        self,
        X: Matrix,
        weight: np.ndarray,
        mean: np.ndarray,
        deviation: np.ndarray,
        basis: np.ndarray,
    ) -> None:
        self.X, self.weight, self.mean, self.deviation = X, weight, mean, deviation
        self.basis = basis
        self._far = np.square(mean) > _FAR * np.square(deviation)

    def many(self, lane: int, columns: np.ndarray) -> np.ndarray:
        """Return `columns` of one lane times the root of its weights, (n, n_columns)."""
        root = np.sqrt(self.weight[lane])[:, None]
        moved = dense(self.X[:, columns]) - self.mean[lane, columns]
        moved /= self.deviation[lane, columns]
        moved *= root
        self._project(lane, moved)
        return moved

    def products(self, lane: int, columns: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return the products that `many` of `columns` and of `others` have.

        Sparse columns are not made dense, unless differences of large numbers would lose digits.
        """
        weight, mean, far = self.weight[lane], self.mean[lane], self._far[lane]
        if isinstance(self.X, np.ndarray) or far[columns].any() or far[others].any():
            return self.many(lane, columns).T @ self.many(lane, others)
        A, B = self.X[:, columns], self.X[:, others]
        mixed = (A.T @ B.multiply(weight[:, None]).tocsc()).toarray()
        # Sums of weighted columns are their means, unless there is no intercept.
        of_a, of_b = weight @ A, weight @ B
        mixed -= np.outer(of_a, mean[others]) + np.outer(mean[columns], of_b)
        mixed += np.outer(mean[columns], mean[others])
        deviation = self.deviation[lane]
        mixed /= np.outer(deviation[columns], deviation[others])
        if self.basis.shape[2]:
            inside = [
                self._in_basis(lane, part, which) for part, which in ((A, columns), (B, others))
            ]
            mixed -= inside[0].T @ inside[1]
        return mixed

    def _in_basis(self, lane: int, part: Matrix, columns: np.ndarray) -> np.ndarray:
        """Return products (f, n_columns) of the basis with columns."""
        weighted = self.basis[lane].T * self.weight[lane]
        moved = weighted @ part - np.outer(weighted.sum(axis=1), self.mean[lane, columns])
        return moved / self.deviation[lane, columns]

    def correlations(self, lane: int | np.ndarray, residuals: np.ndarray) -> np.ndarray:
        """Return (r, p) products of all columns with residuals (r, n) times the root weights.

        Of one lane, or of one lane (r,) for each residual.
        """
        weighted = residuals * np.sqrt(self.weight[lane])
        products = weighted @ self.X
        products -= weighted.sum(axis=1, keepdims=True) * self.mean[lane]
        products /= self.deviation[lane]
        return products

    def steepest(self, lane: int, residuals: np.ndarray, bound: np.ndarray) -> np.ndarray:
        """Return (r,) the largest correlations with residuals (r, n), in bounds (p,).

        A block of columns at a time, so that what comes between stays in the cache.
        """
        weighted = residuals * np.sqrt(self.weight[lane])
        total = weighted.sum(axis=1, keepdims=True)
        factor = 1 / (self.deviation[lane] * bound)
        largest = np.zeros(len(residuals))
        for start in range(0, len(bound), _CACHED):
            part = slice(start, start + _CACHED)
            products = weighted @ self.X[:, part]
            products -= total * self.mean[lane, part]
            products *= factor[part]
            np.abs(products, out=products)
            np.maximum(largest, products.max(axis=1), out=largest)
        return largest

    def fitted(self, lane: int, b: np.ndarray) -> np.ndarray:
        """Return (r, n) what coefficients (r, p) give, times the root of the weights."""
        scaled = b / self.deviation[lane]
        values = scaled @ self.X.T - (scaled @ self.mean[lane])[:, None]
        values *= np.sqrt(self.weight[lane])
        self._project(lane, values.T)
        return values

    def kernel(self, lane: int, factor: np.ndarray) -> np.ndarray:
        """Return (n, n) the sum over columns of `factor` times a column and its transpose."""
        total = np.zeros((self.X.shape[0],) * 2)
        for block in self._blocks():
            A = self.many(lane, block)
            total += (A * factor[block]) @ A.T
        return total

    def _blocks(self) -> Iterator[np.ndarray]:
        size = max(1, _BLOCK_ENTRIES // self.X.shape[0])
        every = np.arange(self.X.shape[1])
        for start in range(0, len(every), size):
            yield every[start : start + size]

    def _project(self, lane: int, moved: np.ndarray) -> None:
        """Take the basis out of vectors (n, r) times the root of the weights."""
        if self.basis.shape[2]:
            rooted = self.basis[lane] * np.sqrt(self.weight[lane])[:, None]
            moved -= rooted @ (rooted.T @ moved)
