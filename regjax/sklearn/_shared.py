"""What the drop-ins share: checked weights, scikit-learn's scales, and its warnings."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight

from regjax.paths import ConvergenceWarning as PathWarning

FLOATS = [np.float64, np.float32]
_USUAL = 1e-6
# What double precision can tell of a gap.
_ROUNDING = 1e-15


def as_weight(sample_weight: Any, X: Any) -> np.ndarray | None:
    """Return weights (n_samples,), or None where they are all the same number."""
    if sample_weight is None or isinstance(sample_weight, numbers.Number):
        return None
    return _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)


def engine_tol(tol: float) -> float:
    """Return the engine's tolerance, relative to half the variance of y, where theirs is to it.

    Never above the engine's own: scikit-learn's usual one is far from what its sweeps end at.
    """
    return min(max(2 * tol, _ROUNDING), _USUAL)


def objective_without_columns(
    y: np.ndarray, weight: np.ndarray | None, fit_intercept: bool
) -> np.ndarray:
    """Return by response what the engine's gaps are relative to: half the mean square of y."""
    centre = np.average(y, axis=0, weights=weight) if fit_intercept else 0.0
    return np.average(np.square(y - centre), axis=0, weights=weight) / 2


@contextmanager
def quiet_engine() -> Iterator[None]:
    """Leave out the engine's own warning: `warn_of_gaps` says it in scikit-learn's terms."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathWarning)
        yield


def warn_of_gaps(gap: Any, allowed: Any, stacklevel: int = 4) -> None:
    """Warn where the duality gap asked for was not reached.

    To be called by `fit`, inside what scikit-learn wraps it in: the warning points to the line of
    the caller of `fit`.
    """
    if np.any(gap > allowed):
        warnings.warn(
            f"Objective did not converge. The duality gap is {np.max(gap):.3e}, tolerance "
            f"{np.max(allowed):.3e}. Scale the features, drop nearly dependent ones, increase the "
            "penalty, or accept a larger tol.",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )
