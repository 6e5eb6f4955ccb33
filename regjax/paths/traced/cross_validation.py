"""Cross-validation in traced code: the semantics of `elastic_net_cv` inside `jit` and `vmap`.

Lanes are all rows, then the training rows of every split. With at least as many rows as columns
each has its statistics: those of a fold's training rows are the sum over the other folds, so that
nothing is lost by a difference, and the program after the statistics does not depend on the number
of rows. With fewer rows lanes are weights of the rows. An accelerator solves all lanes at once, as
long as memory holds them; a CPU takes one after the other, unless they are small.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import root_of_squares
from regjax.paths.folds import Split, as_splits, check_no_folds
from regjax.paths.results import CrossValidation, chosen, first_response
from regjax.paths.settings import Settings
from regjax.paths.statistics import SufficientStatistics
from regjax.paths.traced.inputs import (
    Arguments,
    Inputs,
    Program,
    Samples,
    as_arguments,
    as_inputs,
    as_statistics,
    rounded,
    without_filling,
)
from regjax.paths.traced.lanes import (
    Lanes,
    solved_lane,
    solved_lanes,
    traced_grid,
    traced_status,
)
from regjax.paths.traced.standard_form import Form, standard_form, statistics_of_rows

# Columns up to which a CPU gains by solving all lanes at once.
_SMALL = 64
# Coefficients beyond which lanes given by weights of the rows follow one another anywhere.
_MAX_ENTRIES = 2**26


class _Parts(NamedTuple):
    """Sets of rows, filled up to one length.

    Attributes:
        rows: (n_parts, length) indices.
        present: (n_parts, length), false where filled up.
    """

    rows: np.ndarray
    present: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[np.ndarray]) -> _Parts:
        """Return these sets of rows."""
        length = rounded(max(len(part) for part in parts))
        rows = np.stack([np.pad(part, (0, length - len(part))) for part in parts])
        return cls(rows, np.arange(length) < np.array([[len(part)] for part in parts]))


class _Folds(NamedTuple):
    """Lanes, all rows first, then the training rows of every split; and its test rows.

    Attributes:
        data: X (n, p) and y (n, m), or None where statistics are enough.
        lanes, tests: stacked statistics, or (n_lanes, n) weights of the rows.
    """

    data: tuple[jax.Array, jax.Array] | None
    lanes: SufficientStatistics | jax.Array
    tests: SufficientStatistics | jax.Array


def traced_cv(
    X: Any, y: Any, l1_ratio: Any, folds: int | Iterable[Split] | None, settings: Settings
) -> CrossValidation:
    """Return what `elastic_net_cv` returns, as JAX arrays.

    All but `n_lambdas` and `folds` may be traced and mapped over; statistics are a list of those
    of the folds. An l1_ratio that is given as an array is one of several. With at least as many
    rows as columns errors come from second moments: those below a rounding of the response's
    variance, as noise of a thousandth in float32, are rounding themselves. Splits that have no
    weight leave no choice: coefficients are NaN then.
    """
    several = isinstance(l1_ratio, list | tuple) or np.ndim(l1_ratio) > 0
    l1_ratios = l1_ratio if several else [l1_ratio]
    if not len(l1_ratios):
        raise ValueError("l1_ratio is empty: give one number or several.")
    if y is None:
        parts = _fold_statistics(X, folds, settings.sample_weight)
        weight, first = sum(part.weight for part in parts), parts[0]
        inputs = Inputs(first, weight, len(first.x_mean), first.yy.shape == (1,))
    else:
        inputs = as_inputs(X, y, settings.sample_weight)
        splits = as_splits(folds, inputs.n)
    arguments, program = as_arguments(settings, l1_ratios, inputs)
    data = inputs.data
    if isinstance(data, SufficientStatistics):
        prepared = _Folds(None, *_training(_stacked(parts)))
    elif inputs.n < inputs.p:
        prepared = _weighted(data, splits)
    else:
        prepared = _Folds(None, *_statistics(data, splits, inputs.n))
    return without_filling(_searched(prepared, arguments, program), inputs.p)


def _fold_statistics(parts: Any, folds: Any, sample_weight: Any) -> list[SufficientStatistics]:
    are_statistics = isinstance(parts, list | tuple) and all(
        isinstance(part, SufficientStatistics) for part in parts
    )
    if not are_statistics or isinstance(parts, SufficientStatistics):
        raise ValueError(
            "y is missing: without it X must be a list of SufficientStatistics, one for each fold."
        )
    check_no_folds(parts, folds)
    if sample_weight is not None or len(parts) < 2:
        raise ValueError(
            "The statistics of at least two folds are wanted, and hold the weights: leave "
            "sample_weight out."
        )
    if len({part.xy.shape for part in parts}) > 1:
        raise ValueError("The statistics of the folds differ in their columns or responses.")
    return [as_statistics(part) for part in parts]


@jax.jit
def _stacked(parts: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)


@jax.jit
def _training(
    tests: SufficientStatistics,
) -> tuple[SufficientStatistics, SufficientStatistics]:
    """Return the statistics of all rows and of the rows outside each fold, and those of folds."""

    def add(known: SufficientStatistics, part: SufficientStatistics) -> tuple[Any, Any]:
        total = known + part
        # Two weights of 0 have no mean.
        return jax.tree.map(lambda a, b: jnp.where(part.weight > 0, a, b), total, known), known

    nothing = jax.tree.map(lambda a: jnp.zeros_like(a[0]), tests)
    total, before = jax.lax.scan(add, nothing, tests)
    _, after = jax.lax.scan(add, nothing, tests, reverse=True)
    training = jax.vmap(operator.add)(before, after)
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), total, training), tests


def _statistics(
    samples: Samples, splits: Sequence[Split], n: int
) -> tuple[SufficientStatistics, SufficientStatistics]:
    """Return the statistics of all n rows and of training rows, and those of test rows."""
    tests = [test for _, test in splits]
    times = np.bincount(np.concatenate(tests), minlength=n)
    # Folds: every row is tested once, and trains the rest of the time.
    if np.all(times == 1) and all(len(train) + len(test) == n for train, test in splits):
        return _training(_of_parts(*samples, _Parts.of(tests)))
    parts = _Parts.of([np.arange(n), *(train for train, _ in splits)])
    return _of_parts(*samples, parts), _of_parts(*samples, _Parts.of(tests))


@jax.jit
def _of_parts(
    X: jax.Array, y: jax.Array, weight: jax.Array | None, parts: _Parts
) -> SufficientStatistics:
    """Return the statistics of sets of rows, one set after the other."""
    weight = jnp.ones(len(X), X.dtype) if weight is None else weight

    def of_part(part: _Parts) -> SufficientStatistics:
        present = jnp.where(part.present, weight[part.rows], 0)
        return statistics_of_rows(X[part.rows], y[part.rows], present)

    return jax.lax.map(of_part, parts)


def _weighted(samples: Samples, splits: Sequence[Split]) -> _Folds:
    """Return lanes and tests as weights of the rows."""
    n = len(samples.X)
    masks = np.zeros((2, len(splits), n), bool)
    for k, split in enumerate(splits):
        for mask, rows in zip(masks, split, strict=True):
            mask[k, rows] = True
    weight = jnp.ones(n, samples.X.dtype) if samples.weight is None else samples.weight
    train, test = jnp.where(masks, weight, 0)
    return _Folds((samples.X, samples.y), jnp.concatenate([weight[None], train]), test)


def _moment_errors(tests: SufficientStatistics, solutions: Lanes) -> jax.Array:
    """Return mean squared errors (m, n_lambdas) of rows behind statistics."""
    s, (coef, intercept, _) = tests, solutions
    fit = jnp.einsum("mkp,pm->mk", coef, s.xy)
    square = s.yy[:, None] - 2 * fit + jnp.einsum("mkp,mkp->mk", coef @ s.xx, coef)
    shift = s.y_mean[:, None] - intercept - coef @ s.x_mean
    return jnp.maximum(square, 0) / s.weight + jnp.square(shift)


def _row_errors(X: jax.Array, y: jax.Array, weight: jax.Array, solutions: Lanes) -> jax.Array:
    """Return mean squared errors (m, n_lambdas) of weighted rows."""
    coef, intercept, _ = solutions
    residual = y.T[:, None] - coef @ X.T - intercept[:, :, None]
    return (jnp.square(residual) @ weight) / weight.sum()


@functools.partial(jax.jit, static_argnames="program")
def _searched(folds: _Folds, arguments: Arguments, program: Program) -> CrossValidation:
    with jax.default_matmul_precision("highest"):
        found = _all_responses(folds, arguments, program)
    return first_response(found) if program.single else found


def _all_responses(folds: _Folds, arguments: Arguments, program: Program) -> CrossValidation:
    """Return the cross-validation; every field but the l1_ratios has the responses first."""
    data, lanes, tests = folds
    # Without rows the lanes are statistics.
    p = data[0].shape[1] if data else cast(SufficientStatistics, lanes).xx.shape[-1]

    def form(lane: Any) -> Form:
        return standard_form(lane if data is None else Samples(*data, lane), arguments)

    def errors(split: tuple[Any, Lanes]) -> jax.Array:
        return _moment_errors(*split) if data is None else _row_errors(*data, *split)

    # A CPU takes large lanes one after the other, which fits its caches.
    together = jax.default_backend() != "cpu" or p <= _SMALL
    stacked = data is None and together
    if stacked:
        forms = jax.vmap(form)(lanes)
        whole = jax.tree.map(lambda a: a[0], forms)
    else:
        whole = form(jax.tree.map(lambda a: a[0], lanes))

    def of_ratio(ratios: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, Lanes, jax.Array]:
        l1_ratio, min_ratio = ratios
        of_one = arguments._replace(l1_ratio=l1_ratio, min_ratio=min_ratio)
        grid = traced_grid(whole, of_one, program)

        def solve(lane: Any) -> Lanes:
            return solved_lane(form(lane), of_one, grid, program)

        if stacked:
            found = solved_lanes(forms, of_one, grid, program)
        else:
            entries = len(jax.tree.leaves(lanes)[0]) * grid.size * p
            at_once = together and entries <= _MAX_ENTRIES
            found = jax.vmap(solve)(lanes) if at_once else jax.lax.map(solve, lanes)
        return grid, found.lane(0), jax.lax.map(errors, (tests, found.lane(slice(1, None))))

    ratios = arguments.l1_ratio, arguments.min_ratio
    grids, fits, found = jax.lax.map(of_ratio, ratios)
    # (m, n_ratios, n_folds, n_lambdas)
    fold_errors = jnp.moveaxis(found, 2, 0)
    mean = fold_errors.mean(axis=2)
    spread = root_of_squares(fold_errors.var(axis=2, ddof=1) / fold_errors.shape[2])
    # Splits without weight, and NaN data, leave no choice.
    valid = jnp.isfinite(mean).all(axis=(1, 2))
    result = chosen(
        arguments.l1_ratio,
        jnp.moveaxis(grids, 1, 0),
        fold_errors,
        mean,
        spread,
        jnp.where(valid[:, None, None], fits.coef, jnp.nan),
        jnp.where(valid[:, None], fits.intercept, jnp.nan),
        jnp.where(valid[:, None], fits.gap, jnp.inf),
    )
    status = traced_status(result.path.duality_gap, arguments.tol)
    return dataclasses.replace(result, path=dataclasses.replace(result.path, status=status))
