"""Ridge at every lambda from one eigendecomposition: of the Gram matrix, or of the kernel.

An eigendecomposition is as exact as its largest eigenvalue allows. Where columns differ in size so
much that small ones vanish beside it, `resolved` solves at one lambda with all columns of one size.
What is written for any array library takes its namespace as `xp`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from regjax.paths.data.standard_form import DataForm, Standard, rounding_of, spectral_inverse
from regjax.paths.engines.batched import path_rows
from regjax.paths.engines.rows import duality_gaps
from regjax.paths.engines.solutions import Solutions

# Columns up to which a direct solution in the kernel's place is affordable.
_MANY_COLUMNS = 2000
# Relative to the response: where correlations are off by more, or gaps, they are not rounding.
_RESOLVED = 1e-12
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


class RidgeSolutions(NamedTuple):
    """Ridge at positive lambdas (m, n_lambdas), and where the spectrum was not exact enough."""

    solved: Solutions
    spectrum: Spectrum
    resolved: np.ndarray


def gram_ridge(lane: Standard, lambdas: np.ndarray) -> RidgeSolutions:
    """Return ridge solutions at positive lambdas (m, n_lambdas) from the Gram matrix."""
    spectrum = gram_spectrum(lane.gram, lane.cross, lane.l2)
    b = spectrum.solutions(lambdas)
    z = lane.cross[:, None] - b @ lane.gram
    rows = path_rows(lane, slice(None), lambdas, 0.0)
    gap = duality_gaps(rows, b.reshape(rows.cross.shape), z.reshape(rows.cross.shape))
    solved = Solutions(b, gap.reshape(lambdas.shape))
    which = _unresolved(lane, solved, z, lambdas)
    return RidgeSolutions(_resolve(lane, solved, lambdas, which), spectrum, which)


def _unresolved(
    lane: Standard, solved: Solutions, z: np.ndarray, lambdas: np.ndarray
) -> np.ndarray:
    """Return where (m, n_lambdas) a spectrum left more than rounding, at correlations `z`."""
    gradient = z - lambdas[:, :, None] * lane.l2 * solved.b
    size = np.abs(solved.b).sum(axis=2) + np.sqrt(lane.null)[:, None]
    off = np.abs(gradient).max(axis=2, initial=0.0) > _RESOLVED * size
    return off | (solved.gap > _RESOLVED * lane.null[:, None])


def _resolve(
    lane: Standard, solved: Solutions, lambdas: np.ndarray, which: np.ndarray
) -> Solutions:
    """Solve some ridge problems again, each lambda on its own."""
    b, gap = solved
    for lambda_ in np.unique(lambdas[which]):
        again = resolved(lane, lambda_)
        for k, j in np.argwhere(which & (lambdas == lambda_)):
            b[k, j], gap[k, j] = again.b[k], again.gap[k]
    return solved


def dual_ridge(form: DataForm, lane: int, lambdas: np.ndarray) -> RidgeSolutions:
    """Return ridge solutions of a wide matrix at positive lambdas (m, n_lambdas)."""
    one, columns, response = form.lanes[lane], form.columns, form.response[lane].T
    spectrum = kernel_spectrum(columns.kernel(lane, 1 / one.l2), response)
    dual = spectrum.solutions(lambdas)
    b, gap = np.empty((*lambdas.shape, len(one.l2))), np.empty(lambdas.shape)
    z = np.empty_like(b)
    for k in range(len(b)):
        b[k] = columns.correlations(lane, dual[k]) / one.l2
        z[k] = columns.correlations(lane, response[k] - columns.fitted(lane, b[k]))
        rows = path_rows(one, slice(k, k + 1), lambdas[k : k + 1], 0.0)
        gap[k] = duality_gaps(rows, b[k], z[k])
    solved = Solutions(b, gap)
    which = _unresolved(one, solved, z, lambdas) & (len(one.l2) <= _MANY_COLUMNS)
    if which.any():
        solved = _resolve(with_gram(form, lane), solved, lambdas, which)
    return RidgeSolutions(solved, spectrum, which)


def with_gram(form: DataForm, lane: int) -> Standard:
    """Return a lane of a matrix with its Gram matrix: smaller than a kernel if rows are more."""
    every = np.arange(form.columns.X.shape[1])
    return form.lanes[lane]._replace(gram=form.columns.products(lane, every, every))


def gram_least_squares(lane: Standard) -> tuple[np.ndarray, np.ndarray]:
    """Return the least-squares solution of least quadratic penalty (m, q), and its gap (m,).

    It is where ridge regression goes as lambda goes to 0. Without a penalty the gap is known:
    `z' gram^+ z / 2` at correlations z, and what the rounding of the Gram matrix makes of large
    coefficients. Where a direction that rounding took for dependent is not, up to the whole
    residual may be missed.
    """
    inverse, lost = spectral_inverse(lane.gram)
    b = np.zeros_like(lane.cross)
    if lost.shape[1]:
        root = 1 / np.sqrt(lane.l2)
        b = (lane.cross * root) @ spectral_inverse(lane.gram * root * root[:, None])[0] * root
    # What that missed: in units of the penalty, columns of small variance may be lost in rounding.
    for _ in range(2):
        b = b + (lane.cross - b @ lane.gram) @ inverse
    z = lane.cross - b @ lane.gram
    gap = np.abs(np.einsum("mq,qr,mr->m", z, inverse, z)) / 2 + rounding_of(b)
    torn = np.abs(lane.cross @ lost).max(axis=1, initial=0.0) > 1e-13 * np.sqrt(lane.scale)
    residual = lane.scale - np.einsum("mq,mq->m", b, lane.cross + z)
    return b, np.where(torn, np.maximum(residual, 0.0) / 2, gap)


def dual_least_squares(form: DataForm, lane: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the same of a matrix with more columns than rows."""
    columns, response, l2 = form.columns, form.response[lane].T, form.lanes[lane].l2
    kernel = columns.kernel(lane, np.ones(len(l2)))
    inverse, lost = spectral_inverse(kernel)
    in_units = spectral_inverse(columns.kernel(lane, 1 / l2))[0]
    b = columns.correlations(lane, response @ in_units) / l2
    for _ in range(2):
        residual = response - columns.fitted(lane, b)
        b = b + columns.correlations(lane, residual @ inverse)
    residual = response - columns.fitted(lane, b)
    # What of it the columns could still reach: all but the directions in which they are 0.
    reach = np.abs(columns.correlations(lane, lost.T)).max(axis=1, initial=0.0)
    out_of_reach = lost[:, reach <= 1e-12 * np.sqrt(np.diag(kernel).sum())]
    open_part = residual - (residual @ out_of_reach) @ out_of_reach.T
    return b, np.einsum("mn,mn->m", open_part, open_part) / 2
