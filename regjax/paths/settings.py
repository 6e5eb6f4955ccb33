"""The keyword arguments that paths and cross-validation share: declared, and checked, once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict

import numpy as np

from regjax._inputs import belongs_to_jax, refuse_traced
from regjax._messages import suggestion


class JointSettings(TypedDict, total=False):
    """Keyword arguments of every path and cross-validation.

    Attributes:
        lambdas: regularization strengths > 0, or 0 for least squares (of several solutions that of
            minimum quadratic penalty, where ridge ends); sorted descending. Unless given,
            `n_lambdas` values spaced evenly in the logarithm from the minimum one at which every
            penalized coefficient is 0 down to `lambda_min_ratio` times that. With `l1_ratio` below
            0.001 that value is infinite or nearly, and the grid of 0.001 is taken.
        n_lambdas: 100 unless given.
        lambda_min_ratio: 0.001 with more rows than columns, else 0.01, unless given; 1e-9 for
            ridge without bounds, whose best lambda can lie anywhere among the eigenvalues. Of
            statistics the sum of the weights counts as the rows.
        fit_intercept: whether an unpenalized intercept is fitted, True unless given.
        standardize: whether the penalty applies to coefficients of columns divided by their
            standard deviations (divisor n, weighted), False unless given. Coefficients come back
            in the units of the data either way, and so do the bounds.
        sample_weight: (n_samples,) weights >= 0, or (n_weightings, n_samples) for a path under
            each weighting: bootstraps, say, as counts of the rows drawn. Cross-validation and
            joint paths take one.
        penalty_weights: (n_features,) factors of lambda; 0 leaves a column unpenalized,
            infinity leaves it out.
        tol: largest duality gap, relative to the objective of the intercept alone; 1e-6 unless
            given.
        engine: "gram" to work from second moments, "columns" from the data, or None for the choice
            of `select_engine`. Traced code chooses for itself.

    Example:
        >>> import numpy as np
        >>> from regjax.paths import multi_task_path
        >>> shared: JointSettings = {"n_lambdas": 3, "standardize": True}
        >>> multi_task_path(np.eye(4), np.eye(4)[:, :2], **shared)
        Path(2 responses, 3 lambdas, 4 features, 0.456 to 0.00456, all converged)
    """

    lambdas: Any
    n_lambdas: int
    lambda_min_ratio: Any
    fit_intercept: Any
    standardize: Any
    sample_weight: Any
    penalty_weights: Any
    tol: Any
    engine: Any


class PathSettings(JointSettings, total=False):
    """Keyword arguments of paths whose coefficients may be bounded, besides `JointSettings`.

    Attributes:
        lower, upper: bounds of the coefficients, `lower <= 0 <= upper`; numbers or
            (n_features,). `lower=0` makes them non-negative.

    Example:
        >>> import numpy as np
        >>> from regjax.paths import lasso_path
        >>> shared: PathSettings = {"lambdas": [0.1], "lower": 0.0}
        >>> print(lasso_path(np.array([[1.0], [-1.0]]), np.array([-2.0, 2.0]), **shared).coef)
        [[0.]]
    """

    lower: Any
    upper: Any


class Shape(NamedTuple):
    """What is asked for, the same for every lane.

    Attributes:
        fit_intercept, standardize: as in `JointSettings`.
        weights: (p,) factors of lambda, 0 for none and infinity to leave a column out.
        lower, upper: (p,) bounds in original units.
    """

    fit_intercept: bool
    standardize: bool
    weights: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @property
    def bounded(self) -> bool:
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())


@dataclasses.dataclass(frozen=True)
class Settings:
    """`PathSettings` with every default filled in."""

    lambdas: Any = None
    n_lambdas: int = 100
    lambda_min_ratio: Any = None
    fit_intercept: Any = True
    standardize: Any = False
    sample_weight: Any = None
    penalty_weights: Any = None
    lower: Any = None
    upper: Any = None
    tol: Any = 1e-6
    engine: Any = None

    @classmethod
    def of(cls, function: str, settings: Mapping[str, Any], names: Any = PathSettings) -> Settings:
        """Return what a caller of `function` gave, with defaults.

        Raises:
            TypeError: for a keyword that is none of `names`.
        """
        known = list(names.__annotations__)
        for name in settings:
            if name not in known:
                raise TypeError(
                    f"{function}() got an unexpected keyword argument {name!r}."
                    f"{suggestion(name, known)}"
                )
        return cls(**settings)

    def belongs_to_jax(self, *data: Any) -> bool:
        """Return whether data or settings are traced, or arrays on an accelerator."""
        return belongs_to_jax(*data, *vars(self).values())

    def shape(self, p: int) -> Shape:
        """Return what is asked of p coefficients, checked."""
        weights, lower, upper = self.penalty_weights, self.lower, self.upper
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
                raise ValueError(
                    f"{name} must be a number or have shape ({p},), got {values.shape}."
                )
            bounds.append(np.broadcast_to(values, p))
        if not ((bounds[0] <= 0) & (bounds[1] >= 0)).all():
            raise ValueError("Bounds must satisfy lower <= 0 <= upper for every coefficient.")
        shape = Shape(bool(self.fit_intercept), bool(self.standardize), factors, *bounds)
        bounded = np.isfinite(shape.lower) | np.isfinite(shape.upper)
        if bounded[factors == 0].any():
            raise ValueError(
                "An unpenalized coefficient cannot be bounded; give it a small penalty weight."
            )
        return shape

    def given_lambdas(self, shape: Shape) -> np.ndarray | None:
        """Return `lambdas` as a descending vector, checked, or None where none are given."""
        if self.lambdas is None:
            return None
        refuse_traced(lambdas=self.lambdas)
        values = np.asarray(self.lambdas, dtype=np.float64)
        if values.ndim != 1 or not len(values):
            raise ValueError(f"lambdas must be a non-empty vector, got shape {values.shape}.")
        if not np.isfinite(values).all() or (values < 0).any():
            raise ValueError("lambdas must be finite and at least 0.")
        if not values.all() and shape.bounded:
            raise ValueError(
                "lambda = 0 has no certificate within bounds; take a very small lambda."
            )
        return np.sort(values)[::-1]

    def checked_tol(self) -> float:
        """Return `tol`, checked."""
        refuse_traced(tol=self.tol)
        if not self.tol >= 0:
            raise ValueError(f"tol must be at least 0, got {self.tol}.")
        return float(self.tol)


def check_l1_ratios(l1_ratio: Any) -> np.ndarray:
    """Return one l1_ratio or several as a vector, checked."""
    refuse_traced(l1_ratio=l1_ratio)
    ratios = np.asarray(l1_ratio, dtype=np.float64).ravel()
    if not len(ratios):
        raise ValueError("l1_ratio is empty: give one number or several.")
    if not ((ratios >= 0) & (ratios <= 1)).all():
        raise ValueError(f"l1_ratio must be between 0 and 1, got {l1_ratio}.")
    return ratios
