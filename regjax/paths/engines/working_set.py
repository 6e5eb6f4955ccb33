"""The columns of one lane that may have a coefficient, with their Gram matrix.

A guess of the columns that are active, such as the strong rules make (Tibshirani and others 2012,
"Strong rules for discarding predictors in lasso-type problems"), is solved alone; the correlations
of all columns then tell which others break their bound and must join.
"""

from __future__ import annotations

import abc
from typing import Protocol

import numpy as np

from regjax.paths.data.columns import Columns
from regjax.paths.engines.factor import Factor
from regjax.paths.engines.grams import block

# A smaller share of wanted columns is worth a new array.
_FULL = 0.75


class WorkingSet(Protocol):
    """Some columns, in any order.

    Attributes:
        index: (w,) which of the q columns.
        gram: (w, w) their products.
        factor: of some of them, in the same order.
    """

    index: np.ndarray
    gram: np.ndarray
    factor: Factor

    def choose(self, wanted: np.ndarray) -> None:
        """Make it the columns where `wanted` (q,) is True, and few others that it has."""

    def add(self, new: np.ndarray) -> None:
        """Append columns (k,) that are not in it yet."""

    def correlations(self, b: np.ndarray) -> np.ndarray:
        """Return (k, m, q) products of all columns with what coefficients (k, m, w) leave."""


class _Set(abc.ABC):
    """What is the same wherever products come from."""

    def __init__(self) -> None:
        self.index, self.gram = np.zeros(0, dtype=int), np.zeros((0, 0))
        self.factor = Factor()

    def choose(self, wanted: np.ndarray) -> None:
        stay = np.flatnonzero(wanted[self.index])
        if len(stay) < _FULL * len(self.index):
            self.index, self.gram = self.index[stay], block(self.gram, stay)
            self.factor = Factor()
            self._keep(stay)
        rest = wanted.copy()
        rest[self.index] = False
        self.add(np.flatnonzero(rest))

    def add(self, new: np.ndarray) -> None:
        if not len(new):
            return
        cross, own = self._products(new)
        k = len(self.index)
        gram = np.empty((k + len(new),) * 2)
        gram[:k, :k], gram[:k, k:], gram[k:, :k], gram[k:, k:] = self.gram, cross, cross.T, own
        self.gram = gram
        self.index = np.concatenate([self.index, new])

    @abc.abstractmethod
    def _keep(self, stay: np.ndarray) -> None:
        """Drop what is kept of columns besides `stay`."""

    @abc.abstractmethod
    def _products(self, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return products (w, k) with the columns of the set, and (k, k) of the new ones."""


class MomentSet(_Set):
    """Columns known by second moments: gram (q, q), and cross (m, q) with the responses."""

    def __init__(self, gram: np.ndarray, cross: np.ndarray) -> None:
        super().__init__()
        self._all, self._cross = gram, cross

    def correlations(self, b: np.ndarray) -> np.ndarray:
        flat = b.reshape(len(b) * b.shape[1], -1)
        return self._cross - (flat @ self._all[self.index]).reshape(len(b), *self._cross.shape)

    def _keep(self, stay: np.ndarray) -> None:
        """Nothing is kept: all products are known."""

    def _products(self, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._all[np.ix_(self.index, new)], block(self._all, new)


class ColumnSet(_Set):
    """Columns of a wide matrix under one weighting, and responses (m, n) times its root.

    Dense columns are kept centered and scaled; sparse ones stay where they are.
    """

    def __init__(self, columns: Columns, lane: int, response: np.ndarray) -> None:
        super().__init__()
        self._columns, self._lane, self._response = columns, lane, response
        self._dense = isinstance(columns.X, np.ndarray)
        # By rows, so that columns come and go in one piece.
        self._A = np.zeros((0, columns.X.shape[0]))

    def correlations(self, b: np.ndarray) -> np.ndarray:
        m, n = self._response.shape
        flat = b.reshape(len(b) * m, -1)
        if self._dense:
            fitted = flat @ self._A
        else:
            whole = np.zeros((len(flat), self._columns.X.shape[1]))
            whole[:, self.index] = flat
            fitted = self._columns.fitted(self._lane, whole)
        residuals = (self._response - fitted.reshape(-1, m, n)).reshape(-1, n)
        return self._columns.correlations(self._lane, residuals).reshape(len(b), m, -1)

    def _keep(self, stay: np.ndarray) -> None:
        if self._dense:
            self._A = self._A.take(stay, axis=0)

    def _products(self, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not self._dense:
            of = self._columns.products
            return of(self._lane, self.index, new), of(self._lane, new, new)
        A = np.ascontiguousarray(self._columns.many(self._lane, new).T)
        products = self._A @ A.T, A @ A.T
        self._A = np.concatenate([self._A, A])
        return products
