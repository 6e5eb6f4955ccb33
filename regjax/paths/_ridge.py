"""Ridge at every lambda from one eigendecomposition: of the Gram matrix, or of the kernel.

An eigendecomposition is as exact as its largest eigenvalue allows. Where columns differ in size so
much that small ones vanish beside it, `resolved` solves at one lambda with all columns of one size.
What is written for any array library takes its namespace as `xp`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from regjax.paths._problem import Standard, rounding_of, spectral_inverse

# Largest trace of an inverse, of a matrix of unit diagonal, that Cholesky's is trusted with.
_ILL_CONDITIONED = 1e13
_LOST = 1e-13


class Spectrum(NamedTuple):
    """A symmetric matrix as `vectors diag(values) vectors'`, and what a response is in it.

    Attributes:
        values: (r,) eigenvalues >= 0.
        vectors: (q, r), or `root` times the vectors if one was given.
        pull: (m, r) the responses in the basis of the eigenvectors.
    """

    values: Any
    vectors: Any
    pull: Any

    def solutions(self, lambdas: Any, xp: Any = np) -> Any:
        """Return `(matrix + lambda)^-1 response` (m, n_lambdas, q) at positive (m, n_lambdas).

        Where a value is 0 but for rounding, and so is the response or lambda, there is no share of
        the solution: rounding divided by a small lambda would be one.
        """
        size = xp.abs(self.pull)
        noise = self.values.size * float(np.finfo(self.values.dtype).eps)
        lost = noise * self.values.max(initial=0.0)
        empty = (size <= 64 * noise * xp.linalg.norm(size, axis=1, keepdims=True))[:, None]
        rounding = (self.values <= lost) & (empty | (lambdas[:, :, None] <= lost))
        shrunk = self.pull[:, None, :] / (self.values + lambdas[:, :, None])
        return xp.where(rounding, 0.0, shrunk) @ self.vectors.T


def gram_spectrum(gram: Any, cross: Any, l2: Any, xp: Any = np) -> Spectrum:
    """Return the spectrum whose solutions are `(gram + lambda diag(l2))^-1 cross`.

    Args:
        gram: (q, q) second moments.
        cross: (m, q).
        l2: (q,) positive.
    """
    root = 1 / xp.sqrt(l2)
    values, V = xp.linalg.eigh(gram * xp.outer(root, root))
    vectors = root[:, None] * V
    return Spectrum(xp.maximum(values, 0.0), vectors, cross @ vectors)


def kernel_spectrum(kernel: Any, response: Any, xp: Any = np) -> Spectrum:
    """Return the spectrum whose solutions are `(kernel + lambda)^-1 response`: the dual of ridge.

    Args:
        kernel: (n, n) `A diag(1 / l2) A'` of the columns A; `A' solution / l2` are coefficients.
        response: (m, n).
    """
    values, U = xp.linalg.eigh(kernel)
    return Spectrum(xp.maximum(values, 0.0), U, response @ U)


class Resolved(NamedTuple):
    """Solutions (m, q) at one lambda, their gaps (m,), and the inverse (q, q) that gave them."""

    b: np.ndarray
    gap: np.ndarray
    inverse: np.ndarray


def resolved(lane: Standard, lambda_: float) -> Resolved:
    """Return ridge solutions at one lambda, each column to its own precision.

    The matrix is inverted in the form that has a diagonal of ones. Where columns depend on each
    other and lambda is lost beside them, the solution is the one of least penalty, and the gap that
    of a direction taken for dependent that is not.
    """
    l2 = lambda_ * lane.l2
    root = 1 / np.sqrt(np.diag(lane.gram) + l2)
    scaled = (lane.gram + np.diag(l2)) * np.outer(root, root)
    inverse, lost = _inverse(scaled)
    inverse *= np.outer(root, root)
    b = lane.cross @ inverse
    for _ in range(2):
        b = b + _gradient(lane, b, l2) @ inverse
    lost = root[:, None] * lost
    if lost.shape[1]:
        in_penalty = l2[:, None] * lost
        b = b - np.linalg.solve(lost.T @ in_penalty, (b @ in_penalty).T).T @ lost.T
    r = _gradient(lane, b, l2)
    gap = np.abs(np.einsum("mq,qr,mr->m", r, inverse, r)) / 2 + rounding_of(b)
    torn = np.abs(lane.cross @ lost).max(axis=1, initial=0.0) > _LOST * np.sqrt(lane.scale)
    left = lane.scale - np.einsum("mq,mq->m", b, lane.cross)
    return Resolved(b, np.where(torn, np.maximum(left, 0.0) / 2, gap), inverse)


def _gradient(lane: Standard, b: np.ndarray, l2: np.ndarray) -> np.ndarray:
    return lane.cross - b @ lane.gram - l2 * b


def _inverse(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the inverse of a matrix of unit diagonal, and the directions that it leaves out."""
    try:
        factor = np.linalg.inv(np.linalg.cholesky(matrix))
    except np.linalg.LinAlgError:
        return spectral_inverse(matrix)
    if np.square(factor).sum() > _ILL_CONDITIONED:
        return spectral_inverse(matrix)
    return factor.T @ factor, np.zeros((len(matrix), 0))
