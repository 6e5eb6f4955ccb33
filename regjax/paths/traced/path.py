"""Paths in traced code: the semantics of `elastic_net_path` inside `jit` and `vmap`.

Statistics, then standard form, then all lambdas as rows of one array, in fixed shapes and without a
look at any value: whatever is given as an array may be traced. With at least as many rows as
columns the program after the statistics does not depend on the number of rows.

Everything has the dtype of X. A duality gap is a difference of sums and is itself rounded: `tol` is
never taken below `ROUNDINGS` times the dtype's epsilon (8e-6 in float32, 1e-14 in float64). Where
`elastic_net_path` raises for a value, traced code cannot: such a path has NaN
coefficients, an infinite gap and status 1.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regjax.paths.results import Path
from regjax.paths.settings import Settings
from regjax.paths.statistics import SufficientStatistics
from regjax.paths.traced.inputs import (
    Arguments,
    Program,
    Samples,
    as_arguments,
    as_inputs,
    without_filling,
)
from regjax.paths.traced.lanes import solved_lane, traced_grid, traced_status
from regjax.paths.traced.standard_form import standard_form, statistics_of_rows


def traced_path(X: Any, y: Any, l1_ratio: Any, settings: Settings) -> Path:
    """Return what `elastic_net_path` returns, as JAX arrays: of statistics too, and of weightings.

    Arguments are those of `elastic_net_path`; all but `n_lambdas` may be traced and mapped over.
    Columns should have standard deviations that can be squared in the dtype of X. At lambda = 0
    the solution is that of least squares; within bounds that are not all finite it may have no
    certificate. Ridge without bounds comes from one eigendecomposition, and has its own grid, also
    where a traced `l1_ratio` turns out to be 0.

    Coefficients and intercepts have derivatives, forward and backward, in X, y, weights, lambdas
    and bounds: those of the active set, which does not change. Duality gaps, statuses, and lambdas
    that are not given are constants.

    Raises:
        ValueError: for shapes that do not fit, and for values that are known and wrong.
    """
    if y is not None and np.ndim(settings.sample_weight) == 2:
        return jax.vmap(
            lambda weight: traced_path(
                X, y, l1_ratio, dataclasses.replace(settings, sample_weight=weight)
            )
        )(jnp.asarray(settings.sample_weight))
    inputs = as_inputs(X, y, settings.sample_weight)
    arguments, program = as_arguments(settings, l1_ratio, inputs)
    data = inputs.data
    if isinstance(data, Samples) and inputs.n >= inputs.p:
        data = statistics_of_rows(*data)
    return without_filling(_path(data, arguments, program), inputs.p)


@functools.partial(jax.jit, static_argnames="program")
def _path(data: Samples | SufficientStatistics, arguments: Arguments, program: Program) -> Path:
    with jax.default_matmul_precision("highest"):
        form = standard_form(data, arguments)
        grid = traced_grid(form, arguments, program)
        lane = solved_lane(form, arguments, grid, program)
    if program.single:
        grid, lane = grid[0], lane.lane(0)
    return Path(grid, *lane, traced_status(lane.gap, arguments.tol), arguments.l1_ratio)
