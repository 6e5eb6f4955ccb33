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
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import Numeric, float_array, is_traced, widen
from regjax.paths._traced_form import Form, Settings, data_form, gram_form, traced_statistics
from regjax.paths._traced_input import Program, Strengths, as_rows, as_settings, as_strengths
from regjax.paths._traced_lane import as_traced_path, solved_lanes, traced_grid
from regjax.paths.path import Path
from regjax.paths.statistics import SufficientStatistics


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
    given = as_rows(X, y, sample_weight)
    n, p = given.X.shape
    rows = given.filled()
    settings = as_settings(
        p,
        rows.X.dtype,
        fit_intercept=fit_intercept,
        standardize=standardize,
        penalty_weights=penalty_weights,
        lower=lower,
        upper=upper,
        columns=rows.X.shape[1],
    )
    strengths, program = as_strengths(
        settings,
        rows.X.dtype,
        l1_ratio=l1_ratio,
        lambdas=lambdas,
        n_lambdas=n_lambdas,
        lambda_min_ratio=default_ratio(n, p) if lambda_min_ratio is None else lambda_min_ratio,
        tol=tol,
    )
    if n < p:
        path = _of_data(*rows, settings=settings, strengths=strengths, program=program)
    else:
        statistics = statistics_of_rows(*rows[:3])
        path = _of_statistics(statistics, rows.single, settings, strengths, program)
    return path if path.coef.shape[-1] == p else path._replace(coef=path.coef[..., :p])


def traced_paths(X: Any, y: Any, sample_weight: Any, **settings: Any) -> Path:
    """Return what `elastic_net_path` returns: of statistics too, and of several weightings."""
    if isinstance(X, SufficientStatistics):
        if y is not None or sample_weight is not None:
            raise ValueError("Statistics hold the response and the weights: leave these out.")
        if settings["lambda_min_ratio"] is None:
            settings["lambda_min_ratio"] = default_ratio(X.weight, X.x_mean.shape[0])
        return traced_path_of_statistics(X, single=X.yy.shape == (1,), **settings)
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
    single: bool = False,
) -> Path:
    """Return the path of the rows behind `statistics`; every field has a leading axis of targets.

    One program serves any number of rows. Arguments are those of `traced_path`, and `single`:
    whether the axis of the targets is dropped.

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
    settings = as_settings(
        p,
        dtype,
        fit_intercept=fit_intercept,
        standardize=standardize,
        penalty_weights=penalty_weights,
        lower=lower,
        upper=upper,
        columns=p,
    )
    strengths, program = as_strengths(
        settings,
        dtype,
        l1_ratio=l1_ratio,
        lambdas=lambdas,
        n_lambdas=n_lambdas,
        lambda_min_ratio=lambda_min_ratio,
        tol=tol,
    )
    return _of_statistics(statistics, single, settings, strengths, program)


def default_ratio(n: Any, p: int) -> Numeric:
    """Return the least lambda of a grid as a share of the largest, for n rows and p columns."""
    return jnp.where(n > p, 1e-3, 1e-2) if is_traced(n) else 1e-3 if n > p else 1e-2


@jax.jit
def statistics_of_rows(
    X: jax.Array, y: jax.Array, sample_weight: jax.Array | None
) -> SufficientStatistics:
    """Return the statistics of checked rows."""
    with jax.default_matmul_precision("highest"):
        return traced_statistics(X, y, sample_weight)


@functools.partial(jax.jit, static_argnames=("single", "program"))
def _of_statistics(
    statistics: SufficientStatistics,
    single: bool,
    settings: Settings,
    strengths: Strengths,
    program: Program,
) -> Path:
    with jax.default_matmul_precision("highest"):
        return _path(gram_form(statistics, settings), single, settings, strengths, program)


@functools.partial(jax.jit, static_argnames=("single", "program"))
def _of_data(
    X: jax.Array,
    y: jax.Array,
    sample_weight: jax.Array | None,
    single: bool,
    settings: Settings,
    strengths: Strengths,
    program: Program,
) -> Path:
    with jax.default_matmul_precision("highest"):
        form = data_form(X, y, sample_weight, settings)
        return _path(form, single, settings, strengths, program)


def _path(
    form: Form, single: bool, settings: Settings, strengths: Strengths, program: Program
) -> Path:
    grid = traced_grid(form, settings, strengths, program)
    alone = jax.tree.map(lambda a: a[None], form)
    lane = solved_lanes(alone, settings, grid, strengths, program).lane(0)
    if single:
        grid, lane = grid[0], lane.lane(0)
    return as_traced_path(lane, grid, strengths)
