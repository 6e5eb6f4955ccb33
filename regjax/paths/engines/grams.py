"""Products of rows with Gram matrices, of which neighboring rows share one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Grams:
    """`x @ grams` multiplies every row of x by the matrix of its lane.

    Args:
        matrices: (q, q) for every lane.
        lane: (n_rows,) sorted.
    """

    # Arrays leave the product with this to it.
    __array_ufunc__ = None

    def __init__(self, matrices: Sequence[np.ndarray], lane: np.ndarray) -> None:
        self._matrices, self._lane = matrices, lane
        ends = np.searchsorted(lane, np.arange(len(matrices) + 1))
        self._parts = [
            (matrix, slice(start, end))
            for matrix, start, end in zip(matrices, ends[:-1], ends[1:], strict=True)
            if start < end
        ]

    def take(self, rows: np.ndarray) -> Grams:
        """Return the matrices of some rows, in their order."""
        return Grams(self._matrices, self._lane[rows])

    def __rmatmul__(self, x: np.ndarray) -> np.ndarray:
        out = np.empty_like(x)
        for matrix, part in self._parts:
            np.matmul(x[part], matrix, out=out[part])
        return out


def block(matrix: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Return a copy of the rows and columns `which`: one after the other, faster than `np.ix_`."""
    return matrix.take(which, axis=0).take(which, axis=1)
