"""From data to certified paths of several lanes: which engine, and who steps in where it fails."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from regjax.paths._active import solve_active
from regjax.paths._gram import gram_path, path_rows
from regjax.paths._homotopy import DataDesign, Design, GramDesign, homotopy
from regjax.paths._problem import DataForm, Standard
from regjax.paths._ridge import spectrum_of_gram, spectrum_of_rows
from regjax.paths._rows import duality_gaps
from regjax.paths._screened import screened_path

# Measured: where the exact path of few columns or few rows beats iterations on all lambdas.
_FEW_COLUMNS = 64
_FEW_ROWS = 128
_MANY_COLUMNS = 2000
_MAX_LANES = 256


class LanePath(NamedTuple):
    """Coefficients (m, n_lambdas, p), intercepts and relative gaps (m, n_lambdas) of one lane."""

    coef: np.ndarray
    intercept: np.ndarray
    gap: np.ndarray


def wants_gram(n_samples: int, n_features: int) -> bool:
    """Return whether lanes are better served by Gram matrices than by the data."""
    if n_features <= _FEW_COLUMNS:
        return True
    return n_features <= _MANY_COLUMNS and not (n_samples <= _FEW_ROWS < n_features)


def solve_statistics(
    lanes: list[Standard], lambdas: np.ndarray, l1_ratio: float, tol: float
) -> list[LanePath]:
    """Return the paths of lanes given by their Gram matrices, at descending lambdas (m, K)."""
    lambdas, n_zero = _positive(lambdas)
    m = len(lambdas)
    exact: dict[int, np.ndarray] = {}
    same = len({lane.cross.shape[1] for lane in lanes}) == 1
    q = lanes[0].cross.shape[1]
    if same and 0 < q <= _FEW_COLUMNS and m == 1 and len(lanes) <= _MAX_LANES:
        grams = np.stack([lane.gram for lane in lanes])
        design = GramDesign(grams, _cross(lanes), _strength(lanes))
        exact = _exact(lanes, design, lambdas, l1_ratio)
    found = []
    for i, lane in enumerate(lanes):
        target = tol * lane.null / 2
        if l1_ratio == 0 and not _bounded(lane) and lambdas.size:
            b = spectrum_of_gram(lane.gram, lane.cross, lane.l2).solutions(lambdas)
            gap = _gram_gaps(lane, b, lambdas, l1_ratio)
        elif i in exact:
            b = exact[i][None]
            gap = _gram_gaps(lane, b, lambdas, l1_ratio)
        else:
            b, gap = gram_path(lane, lambdas, l1_ratio, target)
        b, gap = _finish(lane, b, gap, lambdas, l1_ratio, target)
        free, free_gap = _least_squares(lane.gram, lane.cross) if n_zero else (lane.cross, target)
        found.append(_restored(lane, *_with_zero(b, gap, free, free_gap, n_zero)))
    return found


def solve_data(form: DataForm, lambdas: np.ndarray, l1_ratio: float, tol: float) -> list[LanePath]:
    """Return the paths of lanes that weigh the rows of one wide matrix, at lambdas (m, K)."""
    lanes, columns = form.lanes, form.columns
    lambdas, n_zero = _positive(lambdas)
    m = len(lambdas)
    exact: dict[int, np.ndarray] = {}
    if columns.X.shape[0] <= _FEW_ROWS and m == 1 and len(lanes) <= _MAX_LANES:
        exact = _exact(
            lanes, DataDesign(columns, _cross(lanes), _strength(lanes)), lambdas, l1_ratio
        )
    found = []
    for i, lane in enumerate(lanes):
        target = tol * lane.null / 2
        b, gap = (
            np.zeros((m, lambdas.shape[1], lane.cross.shape[1])),
            np.full(lambdas.shape, np.inf),
        )
        if l1_ratio == 0 and not _bounded(lane) and lambdas.size:
            A = columns.many(i, np.arange(lane.cross.shape[1]))
            b = spectrum_of_rows(A, form.response[i].T, lane.l2).solutions(lambdas)
            z = form.response[i].T[:, None] - b @ A.T
            z = (z.reshape(-1, len(A)) @ A).reshape(b.shape[0] * b.shape[1], -1)
            rows = path_rows(lane, slice(None), lambdas, l1_ratio)
            gap = duality_gaps(rows, b.reshape(z.shape), z).reshape(lambdas.shape)
        elif i in exact:
            b[0] = exact[i]
            gap[0] = _lasso_gaps(form, i, b[0], lambdas)
        for k in range(m):
            if (gap[k] > target[k]).any():
                one = lane._replace(cross=lane.cross[k : k + 1], scale=lane.scale[k : k + 1])
                b[k], gap[k] = screened_path(
                    columns, i, one, form.response[i, :, k], lambdas[k], l1_ratio, target[k]
                )
        free, free_gap = lane.cross, target
        if n_zero:
            A = columns.many(i, np.arange(lane.cross.shape[1]))
            dual, free_gap = _least_squares(A @ A.T, form.response[i].T)
            free = dual @ A
        found.append(_restored(lane, *_with_zero(b, gap, free, free_gap, n_zero)))
    return found


def _positive(lambdas: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the positive lambdas, and how many zeros come after them."""
    n_zero = int(np.count_nonzero(lambdas[0] == 0))
    return lambdas[:, : lambdas.shape[1] - n_zero], n_zero


def _least_squares(gram: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least-squares solution of least norm (m, q), and what it misses by (m,).

    Without a penalty the gap is known: `z' gram^+ z / 2` at correlations z.
    """
    inverse = np.linalg.pinv(gram, rcond=1e-13, hermitian=True)
    b = cross @ inverse
    b = b + (cross - b @ gram) @ inverse
    z = cross - b @ gram
    return b, np.abs(np.einsum("mq,qr,mr->m", z, inverse, z)) / 2


def _with_zero(
    b: np.ndarray, gap: np.ndarray, free: np.ndarray, free_gap: np.ndarray, n_zero: int
) -> tuple[np.ndarray, np.ndarray]:
    if not n_zero:
        return b, gap
    return (
        np.concatenate([b, np.repeat(free[:, None], n_zero, axis=1)], axis=1),
        np.concatenate([gap, np.repeat(free_gap[:, None], n_zero, axis=1)], axis=1),
    )


def _exact(
    lanes: list[Standard], design: Design, lambdas: np.ndarray, l1_ratio: float
) -> dict[int, np.ndarray]:
    """Return by lane the coefficients of those whose whole path the homotopy has walked."""
    if l1_ratio != 1 or any(map(_bounded, lanes)) or lambdas.shape[1] == 0:
        return {}
    paths, done = homotopy(design, lambdas[0], max_kinks=8 * design.capacity + 50)
    return {int(i): paths[i] for i in np.flatnonzero(done)}


def _bounded(lane: Standard) -> bool:
    return bool(np.isfinite(lane.lower).any() or np.isfinite(lane.upper).any())


def _gram_gaps(lane: Standard, b: np.ndarray, lambdas: np.ndarray, l1_ratio: float) -> np.ndarray:
    rows = path_rows(lane, slice(None), lambdas, l1_ratio)
    flat = b.reshape(len(rows.l1), -1)
    return duality_gaps(rows, flat, rows.cross - flat @ lane.gram).reshape(lambdas.shape)


def _strength(lanes: list[Standard]) -> np.ndarray:
    return np.stack([lane.l1 for lane in lanes])


def _cross(lanes: list[Standard]) -> np.ndarray:
    return np.stack([lane.cross[0] for lane in lanes])


def _lasso_gaps(form: DataForm, lane: int, b: np.ndarray, lambdas: np.ndarray) -> np.ndarray:
    """Return the gaps of unbounded lasso solutions (n_lambdas, p) that use few columns."""
    one, response = form.lanes[lane], form.response[lane, :, 0]
    active = np.flatnonzero(b.any(axis=0))
    residual = response - b[:, active] @ form.columns.many(lane, active).T
    z = form.columns.correlations(lane, residual)
    np.abs(z, out=z)
    z /= one.l1
    shrink = lambdas[0] / np.maximum(z.max(axis=1), np.finfo(float).tiny)
    ry, rr = residual @ response, np.einsum("kn,kn->k", residual, residual)
    s = np.clip(ry / np.where(rr > 0, rr, 1.0), -shrink, shrink)
    primal = rr / 2 + lambdas[0] * (np.abs(b[:, active]) @ one.l1[active])
    return np.maximum(primal - s * ry + s * s * rr / 2, 0.0)


def _finish(
    lane: Standard,
    b: np.ndarray,
    gap: np.ndarray,
    lambdas: np.ndarray,
    l1_ratio: float,
    target: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Solve rows whose gap is still open by the active set, one after the other."""
    for k, j in np.argwhere(gap > target[:, None]):
        row = path_rows(lane, slice(k, k + 1), lambdas[k : k + 1, j : j + 1], l1_ratio)
        start = np.clip(b[k, j], lane.lower, lane.upper)
        new = solve_active(
            lane.gram, lane.cross[k], row.l1[0], row.l2[0], lane.lower, lane.upper, start
        )
        new_gap = duality_gaps(row, new[None], row.cross - new[None] @ lane.gram)[0]
        if new_gap < gap[k, j]:
            b[k, j], gap[k, j] = new, new_gap
    return b, gap


def _restored(lane: Standard, b: np.ndarray, gap: np.ndarray) -> LanePath:
    pairs = [lane.scaling.restore(rows, k) for k, rows in enumerate(b)]
    null = np.where(lane.null > 0, lane.null / 2, 1.0)
    return LanePath(
        np.stack([coef for coef, _ in pairs]),
        np.stack([intercept for _, intercept in pairs]),
        gap / null[:, None],
    )
