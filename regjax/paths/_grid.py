"""Where the grid of lambdas begins and ends: one rule for NumPy and for traced code.

What is written for any array library takes its namespace as `xp`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# The best lambda of ridge can lie anywhere among the eigenvalues, far below where a lasso ends.
_RIDGE_RATIO = 1e-9
# A share of an l1_ratio of 0 would be infinite.
LEAST_L1_RATIO = 1e-3


def first_lambda(entry: Any, l1_ratio: Any, xp: Any = np) -> Any:
    """Return the largest lambda of a grid; 1 for responses that no column is correlated with.

    Args:
        entry: the minimum lambdas of the lasso at which every coefficient is 0.
        l1_ratio: one number; below 0.001 the grid is that of 0.001.
    """
    return xp.where(entry > 0, entry, 1.0) / xp.maximum(l1_ratio, LEAST_L1_RATIO)


def default_min_ratio(l1_ratio: Any, bounded: Any, n: Any, p: int, xp: Any = np) -> Any:
    """Return the minimum lambda of a grid as a share of the maximum, one for each `l1_ratio`.

    Args:
        bounded: whether any coefficient has a finite bound.
        n, p: number of rows, or the sum of their weights, and of columns.
    """
    ridge = (xp.asarray(l1_ratio) == 0) & xp.logical_not(bounded)
    return xp.where(ridge, _RIDGE_RATIO, xp.where(n > p, 1e-3, 1e-2))


def entry_lambdas(z: Any, l1: Any, lower: Any, upper: Any, xp: Any = np) -> Any:
    """Return the lambdas of the lasso at which columns of correlations z (..., p) come in.

    Args:
        l1: (p,) strengths at lambda = 1.
        lower, upper: bounds; where one is 0, correlations of that sign bring nothing in.
    """
    return xp.abs(z) / l1 * xp.where(z > 0, upper > 0, lower < 0)
