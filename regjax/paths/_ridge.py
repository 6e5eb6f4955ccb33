"""Ridge at every lambda from one eigendecomposition: of the Gram matrix, or of the kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Spectrum(NamedTuple):
    """A symmetric matrix as `vectors diag(values) vectors'`, and what a response is in it.

    Attributes:
        values: (r,) eigenvalues >= 0.
        vectors: (q, r), or `root` times the vectors if one was given.
        pull: (m, r) the responses in the basis of the eigenvectors.
    """

    values: np.ndarray
    vectors: np.ndarray
    pull: np.ndarray

    def solutions(self, lambdas: np.ndarray) -> np.ndarray:
        """Return `(matrix + lambda)^-1 response` (m, n_lambdas, q) at positive (m, n_lambdas).

        Where a value is 0 but for rounding, and so is the response or lambda, there is no share of
        the solution: rounding divided by a small lambda would be one.
        """
        size = np.abs(self.pull)
        noise = self.values.size * np.finfo(np.float64).eps
        lost = noise * self.values.max(initial=0.0)
        empty = (size <= 64 * noise * np.linalg.norm(size, axis=1, keepdims=True))[:, None]
        rounding = (self.values <= lost) & (empty | (lambdas[:, :, None] <= lost))
        shrunk = self.pull[:, None, :] / (self.values + lambdas[:, :, None])
        return np.where(rounding, 0.0, shrunk) @ self.vectors.T


def gram_spectrum(gram: np.ndarray, cross: np.ndarray, l2: np.ndarray) -> Spectrum:
    """Return the spectrum whose solutions are `(gram + lambda diag(l2))^-1 cross`.

    Args:
        gram: (q, q) second moments.
        cross: (m, q).
        l2: (q,) positive.
    """
    root = 1 / np.sqrt(l2)
    values, V = np.linalg.eigh(gram * np.outer(root, root))
    vectors = root[:, None] * V
    return Spectrum(np.maximum(values, 0.0), vectors, cross @ vectors)


def kernel_spectrum(kernel: np.ndarray, response: np.ndarray) -> Spectrum:
    """Return the spectrum whose solutions are `(kernel + lambda)^-1 response`: the dual of ridge.

    Args:
        kernel: (n, n) `A diag(1 / l2) A'` of the columns A; `A' solution / l2` are coefficients.
        response: (m, n).
    """
    values, U = np.linalg.eigh(kernel)
    return Spectrum(np.maximum(values, 0.0), U, response @ U)
