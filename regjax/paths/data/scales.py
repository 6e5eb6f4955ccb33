"""What columns are shifted and divided by, and what lambda costs each: the standard form's scales.

With columns divided by their standard deviations, every strength, bound and step is of the same
order, whatever the units. What is written for any array library takes its namespace as `xp`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

# In roundings of a mean: what is left of a constant column, or of a constant response.
_CONSTANT = 45


class Scales(NamedTuple):
    """What is known of the columns, (..., p) each.

    Attributes:
        mean: what is taken from them.
        deviation: what they are divided by.
        usable: which may have a coefficient.
        penalized: which may have one, and pay for it.
        l1, l2: strengths per unit of `lambda l1_ratio` and `lambda (1 - l1_ratio)`.
    """

    mean: Any
    deviation: Any
    usable: Any
    penalized: Any
    l1: Any
    l2: Any

    @classmethod
    def of(
        cls,
        mean: Any,
        variance: Any,
        fit_intercept: Any,
        standardize: Any,
        weights: Any,
        xp: Any = np,
    ) -> Scales:
        """Return the scales of columns (..., p) of these means and variances.

        Args:
            weights: (p,) factors of lambda.
        """
        constant = is_constant(variance, mean)
        # Of roots of 0 there is no derivative.
        varies = standardize & ~constant
        unit = xp.where(varies, xp.sqrt(xp.where(varies, variance, 1.0)), 1.0)
        # Without an intercept moments are about 0.
        square = xp.where(fit_intercept, variance, variance + xp.square(mean))
        constant = xp.where(fit_intercept, constant, square == 0)
        deviation = xp.sqrt(xp.where(constant, 1.0, square))
        usable = ~constant & xp.isfinite(weights)
        penalized = usable & (weights > 0)
        relative = deviation / unit
        factors = xp.where(penalized, weights, 1.0) / relative
        mean = xp.where(fit_intercept, mean, 0.0)
        return cls(mean, deviation, usable, penalized, factors, factors / relative)


def is_constant(square: Any, mean: Any) -> Any:
    """Return where mean squares about the mean are what rounding leaves of a constant."""
    rounding = _CONSTANT * float(np.finfo(mean.dtype).eps)
    return square <= (rounding * mean) ** 2
