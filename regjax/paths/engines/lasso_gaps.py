"""Duality gaps of lassos without bounds, whose coefficients are 0 for most columns."""

from __future__ import annotations

import numpy as np

from regjax.paths.data.standard_form import DataForm, Standard
from regjax.paths.engines.rows import row_dots


def lasso_gram_gaps(lane: Standard, b: np.ndarray, lambdas: np.ndarray) -> np.ndarray:
    """Return the gaps of unbounded lasso solutions (m, n_lambdas, q)."""
    gap = np.empty(lambdas.shape)
    # One response after the other stays in the cache.
    for k, rows in enumerate(b):
        z = lane.cross[k] - rows @ lane.gram
        ry = lane.scale[k] - rows @ lane.cross[k]
        rr = np.maximum(ry - row_dots(rows, z), 0.0)
        np.abs(z, out=z)
        z /= lane.l1
        gap[k] = _lasso_gaps(lambdas[k], np.abs(rows) @ lane.l1, z.max(axis=1), ry, rr)
    return gap


def lasso_data_gaps(
    form: DataForm, lane: int, target: int, b: np.ndarray, lambdas: np.ndarray
) -> np.ndarray:
    """Return the gaps of unbounded lasso solutions (n_lambdas, p) that use few columns."""
    one, response = form.lanes[lane], form.response[lane, :, target]
    active = np.flatnonzero(b.any(axis=0))
    residual = response - b[:, active] @ form.columns.many(lane, active).T
    steepest = form.columns.steepest(lane, residual, one.l1)
    norm = np.abs(b[:, active]) @ one.l1[active]
    return _lasso_gaps(lambdas, norm, steepest, residual @ response, row_dots(residual, residual))


def _lasso_gaps(
    lambdas: np.ndarray, norm: np.ndarray, steepest: np.ndarray, ry: np.ndarray, rr: np.ndarray
) -> np.ndarray:
    """Return gaps from norms of coefficients, largest correlations, and products of residuals."""
    shrink = lambdas / np.maximum(steepest, np.finfo(float).tiny)
    s = np.clip(ry / np.where(rr > 0, rr, 1.0), -shrink, shrink)
    return np.maximum(rr / 2 + lambdas * norm - s * ry + s * s * rr / 2, 0.0)
