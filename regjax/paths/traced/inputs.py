"""What callers hand to traced paths: checked where it has values, and given few shapes.

Arrays whose values are known are filled up with rows of weight 0 and columns of zeros to one of
eight sizes between a power of two and the next, so that fits of nearly the same size share their
compiled programs. Inside of traced code shapes are the caller's.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import Numeric, float_array, is_traced, widen
from regjax.paths._grid import default_min_ratio
from regjax.paths.results import CrossValidation, Path
from regjax.paths.settings import Settings, check_l1_ratios
from regjax.paths.statistics import SufficientStatistics

_SIZES_PER_OCTAVE = 8

Result = TypeVar("Result", Path, CrossValidation)


class Samples(NamedTuple):
    """Rows X (n, p), their responses y (n, m), and weights (n,) or None where all are 1."""

    X: jax.Array
    y: jax.Array
    weight: jax.Array | None


class Inputs(NamedTuple):
    """Checked data of the caller.

    Attributes:
        data: filled up where their values are known.
        n, p: number of rows, or the sum of their weights, and of columns, as they were given.
        single: whether the axis of the responses is dropped.
    """

    data: Samples | SufficientStatistics
    n: Numeric
    p: int
    single: bool


class Arguments(NamedTuple):
    """Settings of all paths as arrays.

    Attributes:
        fit_intercept, standardize: truth values.
        weights: (p,) factors of lambda, or None where all are 1.
        box: (p,) lower and upper bounds in original units, or None where there are none.
        l1_ratio: a scalar, or (n_ratios,) those of cross-validation.
        min_ratio: the minimum lambda of a grid as a share of the maximum, one for each l1_ratio.
        lambdas: (n_lambdas,), or None for a grid.
        tol: a scalar.
    """

    fit_intercept: jax.Array
    standardize: jax.Array
    weights: jax.Array | None
    box: tuple[jax.Array, jax.Array] | None
    l1_ratio: jax.Array
    min_ratio: jax.Array
    lambdas: jax.Array | None
    tol: jax.Array


class Program(NamedTuple):
    """What a program is compiled for, besides shapes.

    Attributes:
        n_lambdas: how many lambdas.
        zeros: whether some may be 0, and are solved by least squares.
        ridge: whether an l1_ratio may be 0, and is solved by an eigendecomposition.
        single: whether the axis of the responses is dropped.
    """

    n_lambdas: int
    zeros: bool
    ridge: bool
    single: bool


def rounded(size: int) -> int:
    """Return the least of eight sizes between a power of two and the next that holds `size`.

    Example:
        >>> [rounded(n) for n in (7, 99, 442, 50_000)]
        [7, 104, 448, 53248]
    """
    step = max(1, 2 ** (size - 1).bit_length() // (2 * _SIZES_PER_OCTAVE))
    return step * -(-size // step)


def as_inputs(X: Any, y: Any, sample_weight: Any) -> Inputs:
    """Return X (n, p), y (n,) or (n, m) and weights (n,), or statistics, in the dtype of X."""
    if isinstance(X, SufficientStatistics):
        if y is not None or sample_weight is not None:
            raise ValueError("Statistics hold the response and the weights: leave these out.")
        statistics = as_statistics(X)
        single = statistics.yy.shape == (1,)
        return Inputs(statistics, statistics.weight, len(statistics.x_mean), single)
    if y is None:
        raise ValueError("y is missing: only SufficientStatistics hold the response.")
    if hasattr(X, "todense"):
        raise TypeError(
            "X is sparse, which traced code does not take: call this outside of jit and vmap, or "
            "give X.todense()."
        )
    X = widen(float_array(X))
    y = float_array(y).astype(X.dtype)
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X must have shape (n_samples, n_features), got {X.shape}.")
    n = len(X)
    if y.ndim not in (1, 2) or len(y) != n or y.size == 0:
        raise ValueError(
            f"y must have shape (n_samples,) or (n_samples, n_targets) with {n} samples, got "
            f"{y.shape}."
        )
    weight = None
    if sample_weight is not None:
        weight = float_array(sample_weight).astype(X.dtype)
        if weight.shape != (n,):
            raise ValueError(f"sample_weight must have shape ({n},), got {weight.shape}.")
        weight = jnp.where(jnp.all(weight >= 0), weight, jnp.nan)
    samples = Samples(X, y.reshape(n, -1), weight)
    return Inputs(_filled(samples), n, X.shape[1], y.ndim == 1)


def as_statistics(statistics: SufficientStatistics) -> SufficientStatistics:
    """Return statistics as arrays of JAX."""
    return SufficientStatistics(*(widen(float_array(part)) for part in statistics))


def _filled(samples: Samples) -> Samples:
    """Return the same problem in one of few shapes, unless it is traced or spread out."""
    X, y, weight = samples
    if is_traced(samples) or len(X.sharding.device_set) > 1:
        return samples
    n, p = X.shape
    rows, columns = rounded(n) - n, rounded(p) - p
    weight = jnp.ones(n, X.dtype) if weight is None else weight
    return Samples(
        jnp.pad(X, [(0, rows), (0, columns)]),
        jnp.pad(y, [(0, rows), (0, 0)]),
        jnp.pad(weight, (0, rows)),
    )


def without_filling(result: Result, p: int) -> Result:
    """Return a path or a cross-validation of the first p columns."""
    if result.coef.shape[-1] == p:
        return result
    changes: dict[str, Any] = {"coef": result.coef[..., :p]}
    if isinstance(result, CrossValidation):
        path = without_filling(result.path, p)
        changes |= {"coef_1se": result.coef_1se[..., :p], "path": path}
    return dataclasses.replace(result, **changes)


def as_arguments(settings: Settings, l1_ratio: Any, inputs: Inputs) -> tuple[Arguments, Program]:
    """Return settings, checked where they have values, and what to compile for them.

    Args:
        l1_ratio: one number or a list of several.
    """
    array = inputs.data.X if isinstance(inputs.data, Samples) else inputs.data.xx
    columns, dtype, p = array.shape[1], array.dtype, inputs.p
    lambdas, min_ratio = settings.lambdas, settings.lambda_min_ratio
    grid = None if lambdas is None else jnp.asarray(lambdas, dtype)
    if grid is not None and (grid.ndim != 1 or not grid.size):
        raise ValueError(f"lambdas must be a non-empty vector, got shape {grid.shape}.")
    n_lambdas = settings.n_lambdas if grid is None else len(grid)
    _check(settings, l1_ratio, n_lambdas, p)

    def vector(values: Any, rest: float) -> jax.Array:
        known = jnp.broadcast_to(jnp.asarray(values, dtype), p)
        return jnp.pad(known, (0, columns - p), constant_values=rest)

    box, weights = None, settings.penalty_weights
    if settings.lower is not None or settings.upper is not None:
        lower = -np.inf if settings.lower is None else settings.lower
        upper = np.inf if settings.upper is None else settings.upper
        box = vector(lower, -np.inf), vector(upper, np.inf)
    if min_ratio is None:
        min_ratio = _min_ratio(settings, l1_ratio, inputs)
    ratios = jnp.asarray(l1_ratio, dtype)
    arguments = Arguments(
        fit_intercept=jnp.asarray(settings.fit_intercept, bool),
        standardize=jnp.asarray(settings.standardize, bool),
        weights=None if weights is None else vector(weights, 1.0),
        box=box,
        l1_ratio=ratios,
        min_ratio=jnp.broadcast_to(jnp.asarray(min_ratio, dtype), ratios.shape),
        lambdas=grid,
        tol=jnp.asarray(settings.tol, dtype),
    )
    zeros = is_traced(lambdas) or (lambdas is not None and not np.all(lambdas))
    ridge = is_traced(l1_ratio) or not np.all(l1_ratio)
    program = Program(n_lambdas, zeros and box is None, ridge and box is None, inputs.single)
    return arguments, program


def _check(settings: Settings, l1_ratio: Any, n_lambdas: int, p: int) -> None:
    """Raise for settings that have values, and wrong ones."""
    lambdas, min_ratio = settings.lambdas, settings.lambda_min_ratio
    if not is_traced(settings.penalty_weights, settings.lower, settings.upper):
        dataclasses.replace(settings, fit_intercept=True, standardize=True).shape(p)
    if not is_traced(l1_ratio):
        check_l1_ratios(l1_ratio)
    if not is_traced(settings.tol):
        settings.checked_tol()
    if min_ratio is not None and not is_traced(min_ratio) and not 0 < min_ratio <= 1:
        raise ValueError(f"lambda_min_ratio must be in (0, 1], got {min_ratio}.")
    if lambdas is not None and not is_traced(lambdas):
        known = np.asarray(lambdas)
        if not np.isfinite(known).all() or (known < 0).any():
            raise ValueError("lambdas must be finite and at least 0.")
    if n_lambdas < 1:
        raise ValueError(f"n_lambdas must be at least 1, got {n_lambdas}.")


def _min_ratio(settings: Settings, l1_ratio: Any, inputs: Inputs) -> Numeric:
    """Return the default `lambda_min_ratio` of every l1_ratio; traced only where it must be."""
    bounds = [bound for bound in (settings.lower, settings.upper) if bound is not None]
    xp = jnp if is_traced(l1_ratio, bounds, inputs.n) else np
    bounded = functools.reduce(
        xp.logical_or, [xp.isfinite(xp.asarray(bound)).any() for bound in bounds], False
    )
    return default_min_ratio(xp.asarray(l1_ratio), bounded, inputs.n, inputs.p, xp)
