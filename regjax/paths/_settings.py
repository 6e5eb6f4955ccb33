"""What callers of paths and cross-validation ask for: checked, with defaults filled in."""

from __future__ import annotations

from typing import Any

import numpy as np

from regjax._inputs import refuse_traced
from regjax.paths._problem import Shape, Standard

# The best strength of ridge can lie anywhere among the eigenvalues, far below where a lasso ends.
_RIDGE_RATIO = 1e-9


def lambda_grid(
    lanes: list[Standard],
    given: np.ndarray | None,
    l1_ratio: float,
    n_lambdas: int,
    lambda_min_ratio: float | None,
    size: tuple[float, int],
) -> np.ndarray:
    """Return lambdas (n_lanes, m, n_lambdas), descending, of every lane and response."""
    if given is not None:
        return np.tile(given, (len(lanes), len(lanes[0].cross), 1))
    if n_lambdas < 1:
        raise ValueError(f"n_lambdas must be at least 1, got {n_lambdas}.")
    ratio = lambda_min_ratio
    if ratio is None:
        ridge = l1_ratio == 0 and not any(lane.bounded for lane in lanes)
        of_lasso = 1e-3 if size[0] > size[1] else 1e-2
        ratio = _RIDGE_RATIO if ridge else of_lasso
    if not 0 < ratio <= 1:
        raise ValueError(f"lambda_min_ratio must be in (0, 1], got {ratio}.")
    largest = np.stack([_entry(lane) for lane in lanes]) / max(l1_ratio, 1e-3)
    return largest[:, :, None] * np.geomspace(1, ratio, n_lambdas)


def _entry(lane: Standard) -> np.ndarray:
    """Return by response the least lambda of the lasso that leaves every coefficient 0, or 1."""
    # Where a bound is 0, correlations of that sign bring nothing in.
    pull = np.where(lane.cross > 0, lane.upper > 0, lane.lower < 0) * np.abs(lane.cross)
    largest = (pull / lane.l1).max(axis=1, initial=0.0)
    return np.where(largest > 0, largest, 1.0)


def check_lambdas(lambdas: Any, shape: Shape) -> np.ndarray:
    """Return `lambdas` as a descending vector, or raise."""
    refuse_traced(lambdas=lambdas)
    values = np.asarray(lambdas, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"lambdas must be a non-empty vector, got shape {values.shape}.")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("lambdas must be finite and at least 0.")
    if not values.all() and shape.bounded:
        raise ValueError("lambda = 0 has no certificate within bounds; take a very small lambda.")
    return np.sort(values)[::-1]


def check_fraction(l1_ratio: float) -> float:
    """Return `l1_ratio`, or raise unless it lies in [0, 1]."""
    refuse_traced(l1_ratio=l1_ratio)
    if not 0 <= l1_ratio <= 1:
        raise ValueError(f"l1_ratio must be between 0 and 1, got {l1_ratio}.")
    return float(l1_ratio)


def check_fractions(l1_ratio: Any) -> np.ndarray:
    """Return one mix or several as a vector, or raise."""
    refuse_traced(l1_ratio=l1_ratio)
    ratios = np.array([check_fraction(ratio) for ratio in np.atleast_1d(l1_ratio).tolist()])
    if not len(ratios):
        raise ValueError("l1_ratio is empty: give one mix or several.")
    return ratios


def check_tolerance(tol: float) -> float:
    """Return `tol`, or raise unless it is a number of at least 0."""
    refuse_traced(tol=tol)
    if not tol >= 0:
        raise ValueError(f"tol must be at least 0, got {tol}.")
    return float(tol)


def as_shape(
    p: int, fit_intercept: bool, standardize: bool, weights: Any, lower: Any, upper: Any
) -> Shape:
    """Return what is asked of every lane, checked."""
    refuse_traced(penalty_weights=weights, lower=lower, upper=upper)
    factors = np.ones(p) if weights is None else np.asarray(weights, dtype=np.float64)
    if factors.shape != (p,):
        raise ValueError(f"penalty_weights must have shape ({p},), got {factors.shape}.")
    if np.isnan(factors).any() or (factors < 0).any():
        raise ValueError("penalty_weights must be at least 0; infinity leaves a column out.")
    bounds = []
    for bound, default, name in ((lower, -np.inf, "lower"), (upper, np.inf, "upper")):
        values = np.asarray(default if bound is None else bound, dtype=np.float64)
        if values.shape not in ((), (p,)):
            raise ValueError(f"{name} must be a number or have shape ({p},), got {values.shape}.")
        bounds.append(np.broadcast_to(values, p))
    if not ((bounds[0] <= 0) & (bounds[1] >= 0)).all():
        raise ValueError("Bounds must satisfy lower <= 0 <= upper for every coefficient.")
    shape = Shape(fit_intercept, standardize, factors, *bounds)
    unpenalised = factors == 0
    if (np.isfinite(shape.lower) | np.isfinite(shape.upper))[unpenalised].any():
        raise ValueError(
            "An unpenalised coefficient cannot be bounded; give it a small penalty weight."
        )
    return shape
