"""How large an effect is over seeds, and where between the points of a grid the least loss lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats


def interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return Student's confidence interval of the mean of independent `values`.

    Example:
        >>> low, high = interval([1.0, 2.0, 3.0])
        >>> print(f"{low:.2f} {high:.2f}")
        -0.48 4.48
    """
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    half = error * stats.t.ppf((1 + level) / 2, len(values) - 1)
    return float(np.mean(values) - half), float(np.mean(values) + half)


def jackknife_error(statistic: Callable[[np.ndarray], float], values: np.ndarray) -> float:
    """Return the standard error of `statistic(values)`, leaving out one row at a time.

    Example:
        >>> print(f"{jackknife_error(np.mean, np.array([1.0, 2.0, 3.0])):.4f}")
        0.5774
    """
    n = len(values)
    left_out = [statistic(np.delete(values, i, axis=0)) for i in range(n)]
    return float(np.sqrt((n - 1) * np.var(left_out)))


def lowest(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float:
    """Return where the parabola through the least of `y` and its two neighbours is lowest.

    `x` is equally spaced. At an end of the grid it is that end.

    Example:
        >>> lowest([0.0, 1.0, 2.0], [2.25, 0.25, 0.25])
        1.5
    """
    i = int(np.argmin(y))
    if i in (0, len(x) - 1):
        return float(x[i])
    before, at, after = (float(y[j]) for j in (i - 1, i, i + 1))
    curvature = before - 2 * at + after
    shift = (before - after) / (2 * curvature) if curvature > 0 else 0.0
    return float(x[i] + shift * (x[1] - x[0]))
