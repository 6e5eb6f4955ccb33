"""Grids of strengths: given by hand, as a range, or a default per penalty."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from regjax._messages import quoted
from regjax.sweeps.checks import MOST, is_real, is_whole, numbers, whole

CLASSIC_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Powers of ten from 1e-4 to 1."""


def log_range(low: float, high: float, n: int) -> tuple[float, ...]:
    """Return `n` strengths evenly spaced in the logarithm from `low` to `high`, both included.

    Example:
        >>> log_range(0.01, 1.0, 3)
        (0.01, 0.1, 1.0)
    """
    if not (is_real(low) and is_real(high) and 0 < low < high and is_whole(n, 2)):
        raise ValueError(
            "A range low:high:n needs finite 0 < low < high and a whole n of at least 2 values, "
            f"got {quoted(low)}:{quoted(high)}:{quoted(n)}."
        )
    whole("n", n, 2, MOST)
    values = np.geomspace(low, high, n)
    # geomspace leaves noise in the last digits, which would end up in tables and file names.
    return tuple(float(f"{value:.6g}") for value in values)


def check_grid(values: float | Iterable[float]) -> tuple[float, ...]:
    """Return strengths as floats, in the given order.

    Raises:
        ValueError: if there is none, or one is negative, not finite, or there twice.

    Example:
        >>> check_grid([0, 0.1])
        (0.0, 0.1)
    """
    grid = tuple(numbers("lambdas", values))
    if not grid:
        raise ValueError(f"lambdas is empty: give at least one strength, got {quoted(values)}.")
    bad = [value for value in grid if not (np.isfinite(value) and value >= 0)]
    if bad:
        raise ValueError(f"lambdas must be finite and at least 0, got {bad[0]:g}.")
    if len(set(grid)) < len(grid):
        raise ValueError("The grid holds a strength twice; give each lambda once.")
    return grid


def parse_grid(text: str) -> tuple[float, ...]:
    """Return the grid that `text` names: `0.01,0.1,1`, a range `1e-4:1:9`, or `classic`.

    Example:
        >>> parse_grid("1e-2:1:3")
        (0.01, 0.1, 1.0)
    """
    if not isinstance(text, str):
        raise ValueError(f"A grid is text such as 1e-4:1:9, got {quoted(text)}.")
    if text.strip() == "classic":
        return CLASSIC_GRID
    try:
        if ":" in text:
            low, high, n = text.split(":")
            ends, number = (float(low), float(high)), int(n)
        else:
            values = [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no grid: write 0.01,0.1,1 or a range 1e-4:1:9 (low:high:number) or "
            "classic."
        ) from error
    return log_range(*ends, number) if ":" in text else check_grid(values)
