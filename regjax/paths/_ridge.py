"""Ridge at every lambda from one eigendecomposition."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Spectrum(NamedTuple):
    """`root A'A root = V diag(values) V'` for columns A and `root = l2^(-1/2)`.

    Attributes:
        values: (r,) eigenvalues >= 0.
        vectors: (q, r) `root V`.
        pull: (m, r) `V' root A'y`.
    """

    values: np.ndarray
    vectors: np.ndarray
    pull: np.ndarray

    def solutions(self, lambdas: np.ndarray) -> np.ndarray:
        """Return coefficients (m, n_lambdas, q) at positive lambdas (m, n_lambdas)."""
        shrunk = self.pull[:, None, :] / (self.values + lambdas[:, :, None])
        return shrunk @ self.vectors.T


def spectrum_of_gram(gram: np.ndarray, cross: np.ndarray, l2: np.ndarray) -> Spectrum:
    """Return the spectrum from second moments gram (q, q) and cross (m, q)."""
    root = 1 / np.sqrt(l2)
    values, V = np.linalg.eigh(gram * np.outer(root, root))
    vectors = root[:, None] * V
    return Spectrum(np.maximum(values, 0.0), vectors, cross @ vectors)


def spectrum_of_rows(A: np.ndarray, response: np.ndarray, l2: np.ndarray) -> Spectrum:
    """Return the spectrum from rows A (n, q), n below q, and response (m, n)."""
    root = 1 / np.sqrt(l2)
    U, s, Vt = np.linalg.svd(A * root, full_matrices=False)
    return Spectrum(s * s, root[:, None] * Vt.T, (response @ U) * s)
