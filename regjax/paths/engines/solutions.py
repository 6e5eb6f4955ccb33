"""What engines return, and the way back to the units of the data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from regjax.paths.data.standard_form import Standard


class LanePath(NamedTuple):
    """The path of one lane: of every response, or of all of them as one joint problem.

    Attributes:
        coef: (m, n_lambdas, p), or (1, m, n_lambdas, p).
        intercept: (m, n_lambdas), or (1, m, n_lambdas).
        gap: (m, n_lambdas), or (1, n_lambdas), relative.
    """

    coef: np.ndarray
    intercept: np.ndarray
    gap: np.ndarray


class Solutions(NamedTuple):
    """In standard form: coefficients (m, n_lambdas, q) and gaps (m, n_lambdas)."""

    b: np.ndarray
    gap: np.ndarray


def restored(lane: Standard, solved: Solutions) -> LanePath:
    """Return solutions in the units of the data, and their gaps relative to the null objective.

    The solutions given may be overwritten.
    """
    null = np.where(lane.null > 0, lane.null / 2, 1.0)
    gap = (solved.gap + lane.missed[:, None]) / null[:, None]
    return LanePath(*lane.scaling.restore(solved.b), gap)
