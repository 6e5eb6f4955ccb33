"""What callers of paths and cross-validation ask for: checked, with defaults filled in."""

from __future__ import annotations

from typing import Any

import numpy as np

from regjax.paths._problem import Shape, Standard


def lambda_grid(
    lane: Standard,
    given: np.ndarray | None,
    l1_ratio: float,
    n_lambdas: int,
    lambda_min_ratio: float | None,
    size: tuple[int, ...],
) -> np.ndarray:
    """Return lambdas (m, n_lambdas), descending."""
    m = len(lane.cross)
    if given is not None:
        return np.broadcast_to(given, (m, len(given)))
    if n_lambdas < 1:
        raise ValueError(f"n_lambdas must be at least 1, got {n_lambdas}.")
    ratio = lambda_min_ratio
    if ratio is None:
        ratio = 1e-3 if size[0] > size[1] else 1e-2
    if not 0 < ratio <= 1:
        raise ValueError(f"lambda_min_ratio must be in (0, 1], got {ratio}.")
    # Where a bound is 0, correlations of that sign bring nothing in.
    pull = np.where(lane.cross > 0, lane.upper > 0, lane.lower < 0) * np.abs(lane.cross)
    largest = (pull / lane.l1).max(axis=1, initial=0.0) / max(l1_ratio, 1e-3)
    largest = np.where(largest > 0, largest, 1.0)
    return largest[:, None] * np.geomspace(1, ratio, n_lambdas)


def check_lambdas(lambdas: Any, shape: Shape) -> np.ndarray:
    """Return `lambdas` as a descending vector, or raise."""
    values = np.asarray(lambdas, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"lambdas must be a non-empty vector, got shape {values.shape}.")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("lambdas must be finite and at least 0.")
    if not values.all() and shape.bounded:
        raise ValueError("lambda = 0 has no certificate within bounds; take a very small lambda.")
    return np.sort(values)[::-1]


def as_responses(y: Any, n_samples: int) -> tuple[np.ndarray, bool]:
    """Return `y` as a finite matrix (n_samples, n_targets), and whether it was a vector."""
    array = np.asarray(y)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"y must hold real numbers, got dtype {array.dtype}.")
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(
            f"y must have shape (n_samples,) or (n_samples, n_targets), got {array.shape}."
        )
    if len(array) != n_samples:
        raise ValueError(f"X has {n_samples} rows but y has {len(array)}.")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError("y holds NaN or infinity; remove those rows first.")
    return array.reshape(n_samples, -1), array.ndim == 1


def as_sample_weight(sample_weight: Any, n_samples: int) -> np.ndarray | None:
    """Return checked weights, or None if there are none."""
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n_samples,):
        raise ValueError(f"sample_weight must have shape ({n_samples},), got {weight.shape}.")
    if not np.isfinite(weight).all() or (weight < 0).any() or not weight.any():
        raise ValueError("sample_weight must be finite, at least 0, and not 0 everywhere.")
    return weight


def check_fraction(l1_ratio: float) -> float:
    """Return `l1_ratio`, or raise unless it lies in [0, 1]."""
    if not 0 <= l1_ratio <= 1:
        raise ValueError(f"l1_ratio must be between 0 and 1, got {l1_ratio}.")
    return float(l1_ratio)


def as_shape(
    p: int, fit_intercept: bool, standardize: bool, weights: Any, lower: Any, upper: Any
) -> Shape:
    """Return what is asked of every lane, checked."""
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
