"""Paths in traced code: the semantics of `elastic_net_path` inside `jit` and `vmap`.

Statistics, then standard form, then all lambdas as rows of one array, in fixed shapes and without a
look at any value: whatever is given as an array may be traced. With at least as many rows as
columns the program after the statistics does not depend on the number of rows.

Everything has the dtype of X. A duality gap is a difference of sums and is itself rounded: `tol` is
never taken below `ROUNDINGS` times the dtype's epsilon (8e-6 in float32, 1e-14 in float64). Where
`elastic_net_path` raises for a value, traced code cannot: such a path has coefficients that are
not numbers, an infinite gap and status 1.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import Numeric, float_array, is_traced, widen
from regjax.paths._settings import as_shape, check_fraction
from regjax.paths._traced_form import (
    Form,
    Settings,
    data_form,
    gram_form,
    traced_statistics,
)
from regjax.paths._traced_solve import least_squares, solve_block
from regjax.paths.path import CONVERGED, NOT_CONVERGED, Path
from regjax.paths.statistics import SufficientStatistics

ROUNDINGS = 64
_MAX_ENTRIES = 2**25


class _Strengths(NamedTuple):
    """Scalars `l1_ratio`, `min_ratio` and `tol`; lambdas (n_lambdas,), or None for a grid."""

    l1_ratio: jax.Array
    lambdas: jax.Array | None
    min_ratio: jax.Array
    tol: jax.Array


class _Program(NamedTuple):
    """What a program is compiled for, besides shapes: lambdas, and whether some may be 0."""

    n_lambdas: int
    zeros: bool


def traced_path(
    X: Any,
    y: Any,
    *,
    l1_ratio: Numeric = 1.0,
    lambdas: Any = None,
    n_lambdas: int = 100,
    lambda_min_ratio: Numeric | None = None,
    fit_intercept: bool | jax.Array = True,
    standardize: bool | jax.Array = False,
    sample_weight: Any = None,
    penalty_weights: Any = None,
    lower: Any = None,
    upper: Any = None,
    tol: Numeric = 1e-6,
) -> Path:
    """Return the elastic-net path of `X` (n, p) and `y` (n,) or (n, m), as JAX arrays.

    Arguments are those of `elastic_net_path`; all but `n_lambdas` may be traced and mapped over.
    Columns should have standard deviations that can be squared in the dtype of X. At lambda = 0
    the solution is that of least squares; within bounds that are not all finite it may have no
    certificate. There are no derivatives backwards.

    Raises:
        ValueError: for shapes that do not fit, and for values that can be seen and are wrong.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> X = jnp.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> y = X @ jnp.array([3.0, 1.0])
        >>> solve = jax.jit(lambda lambdas: traced_path(X, y, lambdas=lambdas).coef)
        >>> print(solve(jnp.array([2.0, 0.5])).round(3))
        [[1.  0. ]
         [2.5 0.5]]
    """
    X = widen(float_array(X))
    y = float_array(y).astype(X.dtype)
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X must have shape (n_samples, n_features), got {X.shape}.")
    n, p = X.shape
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
    if lambda_min_ratio is None:
        lambda_min_ratio = 1e-3 if n > p else 1e-2
    settings = _settings(p, X.dtype, fit_intercept, standardize, penalty_weights, lower, upper)
    strengths, program = _strengths(
        settings, X.dtype, l1_ratio, lambdas, n_lambdas, lambda_min_ratio, tol
    )
    responses = y.reshape(n, -1)
    if n < p:
        path = _of_data(X, responses, weight, settings, strengths, program)
    else:
        path = _of_statistics(_statistics(X, responses, weight), settings, strengths, program)
    return path if y.ndim == 2 else _first(path)


def traced_paths(X: Any, y: Any, sample_weight: Any, **settings: Any) -> Path:
    """Return what `elastic_net_path` returns: of statistics too, and of several weightings."""
    if isinstance(X, SufficientStatistics):
        if y is not None or sample_weight is not None:
            raise ValueError("Statistics hold the response and the weights: leave these out.")
        if settings["lambda_min_ratio"] is None:
            settings["lambda_min_ratio"] = jnp.where(X.weight > X.x_mean.shape[0], 1e-3, 1e-2)
        path = traced_path_of_statistics(X, **settings)
        return _first(path) if X.yy.shape == (1,) else path
    if y is None:
        raise ValueError("y is missing: only SufficientStatistics hold the response.")
    if np.ndim(sample_weight) < 2:
        return traced_path(X, y, sample_weight=sample_weight, **settings)
    solve = functools.partial(traced_path, X, y, **settings)
    return jax.vmap(lambda weight: solve(sample_weight=weight))(jnp.asarray(sample_weight))


def traced_path_of_statistics(
    statistics: SufficientStatistics,
    *,
    l1_ratio: Numeric = 1.0,
    lambdas: Any = None,
    n_lambdas: int = 100,
    lambda_min_ratio: Numeric = 1e-3,
    fit_intercept: bool | jax.Array = True,
    standardize: bool | jax.Array = False,
    penalty_weights: Any = None,
    lower: Any = None,
    upper: Any = None,
    tol: Numeric = 1e-6,
) -> Path:
    """Return the path of the rows behind `statistics`; every field has a leading axis of targets.

    One program serves any number of rows. Arguments are those of `traced_path`.

    Example:
        >>> import numpy as np
        >>> from regjax.paths import sufficient_statistics
        >>> X = np.array([[1.0], [-1.0]])
        >>> statistics = sufficient_statistics(X, np.array([2.0, -2.0]))
        >>> print(traced_path_of_statistics(statistics, lambdas=[1.0]).coef)
        [[[1.]]]
    """
    statistics = SufficientStatistics(*(widen(float_array(part)) for part in statistics))
    p, dtype = len(statistics.x_mean), statistics.xx.dtype
    settings = _settings(p, dtype, fit_intercept, standardize, penalty_weights, lower, upper)
    strengths, program = _strengths(
        settings, dtype, l1_ratio, lambdas, n_lambdas, lambda_min_ratio, tol
    )
    return _of_statistics(statistics, settings, strengths, program)


def _first(path: Path) -> Path:
    """Return the path of the first response."""
    return path._replace(
        lambdas=path.lambdas[0],
        coef=path.coef[0],
        intercept=path.intercept[0],
        duality_gap=path.duality_gap[0],
        status=path.status[0],
    )


def _settings(
    p: int,
    dtype: Any,
    fit_intercept: Any,
    standardize: Any,
    penalty_weights: Any,
    lower: Any,
    upper: Any,
) -> Settings:
    """Return what is asked of the coefficients, checked if it can be seen."""
    if not is_traced(penalty_weights, lower, upper):
        as_shape(p, True, True, penalty_weights, lower, upper)

    def vector(values: Any) -> jax.Array:
        return jnp.broadcast_to(jnp.asarray(values, dtype), p)

    bounded = lower is not None or upper is not None
    box = vector(-jnp.inf if lower is None else lower), vector(jnp.inf if upper is None else upper)
    return Settings(
        fit_intercept=jnp.asarray(fit_intercept, bool),
        standardize=jnp.asarray(standardize, bool),
        weights=None if penalty_weights is None else vector(penalty_weights),
        box=box if bounded else None,
    )


def _strengths(
    settings: Settings,
    dtype: Any,
    l1_ratio: Numeric,
    lambdas: Any,
    n_lambdas: int,
    lambda_min_ratio: Numeric,
    tol: Numeric,
) -> tuple[_Strengths, _Program]:
    """Return strengths, checked if they can be seen, and what to compile for them."""
    if not is_traced(l1_ratio):
        check_fraction(float(l1_ratio))
    if lambdas is not None:
        n_lambdas = len(lambdas)
    if n_lambdas < 1:
        raise ValueError(f"n_lambdas must be at least 1, got {n_lambdas}.")
    zeros = is_traced(lambdas) or (lambdas is not None and not np.all(lambdas))
    values = _Strengths(
        jnp.asarray(l1_ratio, dtype),
        None if lambdas is None else jnp.asarray(lambdas, dtype),
        jnp.asarray(lambda_min_ratio, dtype),
        jnp.asarray(tol, dtype),
    )
    return values, _Program(n_lambdas, zeros and settings.box is None)


@jax.jit
def _statistics(
    X: jax.Array, y: jax.Array, sample_weight: jax.Array | None
) -> SufficientStatistics:
    with jax.default_matmul_precision("highest"):
        return traced_statistics(X, y, sample_weight)


@functools.partial(jax.jit, static_argnames="program")
def _of_statistics(
    statistics: SufficientStatistics,
    settings: Settings,
    strengths: _Strengths,
    program: _Program,
) -> Path:
    with jax.default_matmul_precision("highest"):
        return _solved(gram_form(statistics, settings), settings, strengths, program)


@functools.partial(jax.jit, static_argnames="program")
def _of_data(
    X: jax.Array,
    y: jax.Array,
    sample_weight: jax.Array | None,
    settings: Settings,
    strengths: _Strengths,
    program: _Program,
) -> Path:
    with jax.default_matmul_precision("highest"):
        return _solved(data_form(X, y, sample_weight, settings), settings, strengths, program)


def _solved(form: Form, settings: Settings, strengths: _Strengths, program: _Program) -> Path:
    """Return the path of a problem in standard form, with a leading axis of targets."""
    m, p = form.cross.shape
    l1_ratio = strengths.l1_ratio
    grid = _grid(form, settings, strengths, program.n_lambdas)
    tol = jnp.maximum(strengths.tol, ROUNDINGS * jnp.finfo(grid.dtype).eps)
    valid = _valid(form, settings, grid, l1_ratio)
    exact = (grid == 0) & program.zeros
    target = jnp.where(valid[:, None] & ~exact, tol / 2, jnp.inf)

    # Targets beyond what memory holds at once follow one another, in blocks of one size.
    n_blocks = -(-m * grid.shape[1] * p // _MAX_ENTRIES)
    size = -(-m // n_blocks)
    whole = (form.cross, form.scale, form.unit, grid, target)
    if n_blocks == 1:
        b, gap = solve_block(form, settings, l1_ratio, *whole)
    else:
        missing = n_blocks * size - m
        blocks = [
            jnp.pad(a, [(0, missing)] + [(0, 0)] * (a.ndim - 1), mode="edge").reshape(
                n_blocks, size, *a.shape[1:]
            )
            for a in whole
        ]
        b, gap = jax.lax.map(lambda part: solve_block(form, settings, l1_ratio, *part), blocks)
        b, gap = b.reshape(-1, *b.shape[2:])[:m], gap.reshape(-1, gap.shape[2])[:m]

    if program.zeros:
        free, free_gap = jax.lax.cond(
            exact.any(), least_squares, lambda form: (form.cross, form.scale), form
        )
        b = jnp.where(exact[:, :, None], free[:, None], b)
        gap = jnp.where(exact, free_gap[:, None], gap)
    coef, intercept = form.restored(b, settings)
    gap = jnp.where(valid[:, None], 2 * gap, jnp.inf)
    fields: dict[str, Any] = {
        "lambdas": grid,
        "coef": jnp.where(valid[:, None, None], coef, jnp.nan),
        "intercept": jnp.where(valid[:, None], intercept, jnp.nan),
        "duality_gap": gap,
        "status": jnp.where(gap <= tol, CONVERGED, NOT_CONVERGED).astype(jnp.int32),
        "l1_ratio": l1_ratio,
    }
    return Path(**fields, feature_names=None)


def _grid(form: Form, settings: Settings, strengths: _Strengths, n_lambdas: int) -> jax.Array:
    """Return lambdas (m, n_lambdas), descending."""
    if strengths.lambdas is not None:
        ordered = jnp.sort(strengths.lambdas, descending=True)
        return jnp.broadcast_to(ordered, (len(form.cross), n_lambdas))
    pull = jnp.abs(form.cross)
    if settings.box is not None:
        # Where a bound is 0, correlations of that sign bring nothing in.
        lower, upper = settings.box
        pull = pull * jnp.where(form.cross > 0, upper > 0, lower < 0)
    largest = form.unit * (pull / form.columns.l1).max(axis=1)
    largest = largest / jnp.maximum(strengths.l1_ratio, 1e-3)
    shares = strengths.min_ratio ** (np.arange(n_lambdas) / max(n_lambdas - 1, 1))
    return jnp.where(largest > 0, largest, 1)[:, None] * shares.astype(largest.dtype)


def _valid(form: Form, settings: Settings, grid: jax.Array, l1_ratio: jax.Array) -> jax.Array:
    """Return which targets (m,) have nothing that would raise outside traced code."""
    right = (l1_ratio >= 0) & (l1_ratio <= 1) & jnp.isfinite(form.columns.deviation).all()
    if settings.weights is not None:
        right &= (settings.weights >= 0).all()
    if settings.box is not None:
        lower, upper = settings.box
        right &= ((lower <= 0) & (upper >= 0)).all()
        if settings.weights is not None:
            finite = jnp.isfinite(lower) | jnp.isfinite(upper)
            right &= ~(finite & (settings.weights == 0)).any()
    right = right & (jnp.isfinite(grid) & (grid >= 0)).all(axis=1)
    return right & jnp.isfinite(form.cross).all(axis=1) & jnp.isfinite(form.scale)
