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
# Of its mean: a column that varies by less is nearly all rounding.
_VARIES = 1e-13
# Rows that show most columns to vary enough, so that the others need not be read.
_FIRST_ROWS = 64


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


def warn_of_lost_columns(model: Any, X: Any, stacklevel: int = 4) -> None:
    """Warn of columns of dense `X` so far from 0 that rounding hides how they vary.

    To be called by `fit`, like `warn_of_gaps`, once the names of the columns are known.
    """
    if not model.fit_intercept or not isinstance(X, np.ndarray):
        return
    first = X[:_FIRST_ROWS]
    spread = np.ptp(first, axis=0).astype(np.float64)
    suspect = np.flatnonzero(spread <= _VARIES * np.abs(first).max(axis=0))
    columns = X[:, suspect].astype(np.float64)
    # Differences of numbers so near to each other are exact.
    deviation = (columns - columns[:1]).std(axis=0)
    lost = suspect[(deviation > 0) & (deviation <= _VARIES * np.abs(columns[0]))]
    if len(lost):
        names = getattr(model, "feature_names_in_", None)
        shown = ", ".join(str(j) if names is None else repr(names[j]) for j in lost[:10].tolist())
        warnings.warn(
            f"Column(s) {shown} vary by less than {_VARIES:g} of their mean, which rounding hides "
            "in double precision: their coefficients are not reliable. Subtract a constant from "
            "these columns first.",
            UserWarning,
            stacklevel=stacklevel,
        )
