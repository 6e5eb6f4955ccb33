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

import dataclasses
import functools
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import float_array, widen
from regjax.paths._traced_form import Asked, Form, data_form, gram_form, traced_statistics
from regjax.paths._traced_input import Program, Strengths, as_rows, as_settings, as_strengths
from regjax.paths._traced_lane import solved_lanes, traced_grid, traced_status
from regjax.paths.results import Path
from regjax.paths.settings import PathSettings, Settings
from regjax.paths.statistics import SufficientStatistics


def traced_path(X: Any, y: Any, l1_ratio: Any = 1.0, **settings: Unpack[PathSettings]) -> Path:
    """Return the elastic-net path of `X` (n, p) and `y` (n,) or (n, m), as JAX arrays.

    Arguments are those of `elastic_net_path`; all but `n_lambdas` may be traced and mapped over.
    Columns should have standard deviations that can be squared in the dtype of X. At lambda = 0
    the solution is that of least squares; within bounds that are not all finite it may have no
    certificate. Ridge without bounds comes from one eigendecomposition, and has its own grid, also
    where a traced `l1_ratio` turns out to be 0.

    Coefficients and intercepts have derivatives, forward and backward, in X, y, weights, lambdas
    and bounds: those of the active set, which does not change. Duality gaps, statuses, and lambdas
    that are not given are constants.

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
    return traced_paths(X, y, l1_ratio, Settings.of("traced_path", settings))


def traced_paths(X: Any, y: Any, l1_ratio: Any, settings: Settings) -> Path:
    """Return what `elastic_net_path` returns: of statistics too, and of several weightings."""
    if isinstance(X, SufficientStatistics):
        if y is not None or settings.sample_weight is not None:
            raise ValueError("Statistics hold the response and the weights: leave these out.")
        return _path_of_statistics(X, l1_ratio, settings)
    if y is None:
        raise ValueError("y is missing: only SufficientStatistics hold the response.")
    if np.ndim(settings.sample_weight) < 2:
        return _path_of_rows(X, y, l1_ratio, settings)
    return jax.vmap(
        lambda weight: _path_of_rows(
            X, y, l1_ratio, dataclasses.replace(settings, sample_weight=weight)
        )
    )(jnp.asarray(settings.sample_weight))


def _path_of_rows(X: Any, y: Any, l1_ratio: Any, settings: Settings) -> Path:
    given = as_rows(X, y, settings.sample_weight)
    n, p = given.X.shape
    rows = given.filled()
    asked = as_settings(settings, p, rows.X.shape[1], rows.X.dtype)
    strengths, program = as_strengths(settings, l1_ratio, rows.X.dtype, (n, p))
    if n < p:
        path = _of_data(*rows, asked=asked, strengths=strengths, program=program)
    else:
        statistics = statistics_of_rows(*rows[:3])
        path = _of_statistics(statistics, rows.single, asked, strengths, program)
    if path.coef.shape[-1] == p:
        return path
    return dataclasses.replace(path, coef=path.coef[..., :p])


def _path_of_statistics(
    statistics: SufficientStatistics, l1_ratio: Any, settings: Settings
) -> Path:
    """Return the path of the rows behind `statistics`. One program serves any number of rows."""
    statistics = SufficientStatistics(*(widen(float_array(part)) for part in statistics))
    p, dtype = len(statistics.x_mean), statistics.xx.dtype
    asked = as_settings(settings, p, p, dtype)
    strengths, program = as_strengths(settings, l1_ratio, dtype, (statistics.weight, p))
    return _of_statistics(statistics, statistics.yy.shape == (1,), asked, strengths, program)


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
    asked: Asked,
    strengths: Strengths,
    program: Program,
) -> Path:
    with jax.default_matmul_precision("highest"):
        return _path(gram_form(statistics, asked), single, asked, strengths, program)


@functools.partial(jax.jit, static_argnames=("single", "program"))
def _of_data(
    X: jax.Array,
    y: jax.Array,
    sample_weight: jax.Array | None,
    single: bool,
    asked: Asked,
    strengths: Strengths,
    program: Program,
) -> Path:
    with jax.default_matmul_precision("highest"):
        form = data_form(X, y, sample_weight, asked)
        return _path(form, single, asked, strengths, program)


def _path(form: Form, single: bool, asked: Asked, strengths: Strengths, program: Program) -> Path:
    grid = traced_grid(form, asked, strengths, program)
    alone = jax.tree.map(lambda a: a[None], form)
    lane = solved_lanes(alone, asked, grid, strengths, program).lane(0)
    if single:
        grid, lane = grid[0], lane.lane(0)
    return Path(grid, *lane, traced_status(lane.gap, strengths.tol), strengths.l1_ratio)
