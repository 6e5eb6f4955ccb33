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
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import float_array, root_of_squares, widen
from regjax.paths._traced import statistics_of_rows
from regjax.paths._traced_form import Asked, Form, data_form, gram_form
from regjax.paths._traced_input import (
    Program,
    Rows,
    Strengths,
    as_rows,
    as_settings,
    as_strengths,
    rounded,
)
from regjax.paths._traced_lane import Lanes, solved_lanes, traced_grid, traced_status
from regjax.paths.folds import Split, as_splits
from regjax.paths.results import CrossValidation, chosen, first_response
from regjax.paths.settings import PathSettings, Settings
from regjax.paths.statistics import SufficientStatistics

# Columns up to which a CPU gains by solving all lanes at once.
_SMALL = 64
# Coefficients beyond which lanes given by weights of the rows follow one another anywhere.
_MAX_ENTRIES = 2**26


class _Parts(NamedTuple):
    """Sets of rows, filled up to one length.

    Attributes:
        rows: (n_parts, length) indices.
        held: (n_parts, length), false where filled up.
    """

    rows: np.ndarray
    held: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[np.ndarray]) -> _Parts:
        """Return these sets of rows."""
        length = rounded(max(len(part) for part in parts))
        rows = np.stack([np.pad(part, (0, length - len(part))) for part in parts])
        return cls(rows, np.arange(length) < np.array([[len(part)] for part in parts]))


def traced_cv(
    X: Any,
    y: Any,
    *,
    l1_ratio: Any = 1.0,
    folds: int | Iterable[Split] = 5,
    **settings: Unpack[PathSettings],
) -> CrossValidation:
    """Return what `elastic_net_cv` returns, as JAX arrays.

    All but `n_lambdas` and `folds` may be traced and mapped over; statistics are a list of those
    of the folds. A mix that is given as an array is one of several. With at least as many rows as
    columns errors come from second moments: those below a rounding of the response's variance, as
    noise of a thousandth in float32, are rounding themselves. Splits that have no weight leave no
    choice: coefficients are not numbers then.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> X = jnp.arange(20.0).reshape(-1, 1)
        >>> choose = jax.jit(lambda X, y: traced_cv(X, y, folds=4, lambdas=[9.0, 0.1]).lambda_)
        >>> print(choose(X, X[:, 0]))
        0.1
    """
    given = Settings.of("traced_cv", settings)
    several = isinstance(l1_ratio, list | tuple) or np.ndim(l1_ratio) > 0
    if several and not len(l1_ratio):
        raise ValueError("l1_ratio is empty: give one number or several.")
    if y is None:
        tests = _fold_statistics(X, folds, given.sample_weight)
        n, p = sum(part.weight for part in tests), len(tests[0].x_mean)
        columns, dtype, single = p, tests[0].xx.dtype, tests[0].yy.shape == (1,)
    else:
        unfilled = as_rows(X, y, given.sample_weight)
        n, p = unfilled.X.shape
        splits, rows = as_splits(folds, n), unfilled.filled()
        columns, dtype, single = rows.X.shape[1], rows.X.dtype, rows.single
    asked = as_settings(given, p, columns, dtype)
    mixes = l1_ratio if several else [l1_ratio]
    strengths, program = as_strengths(given, mixes, dtype, (n, p))
    if y is None:
        found = _of_statistics(*_training(_stacked(tests)), asked, strengths, program, single)
    elif n < p:
        found = _of_data(*_weighted(rows, splits), asked, strengths, program, single)
    else:
        found = _of_statistics(*_statistics(rows, splits, n), asked, strengths, program, single)
    if columns == p:
        return found
    path = dataclasses.replace(found.path, coef=found.path.coef[..., :p])
    return dataclasses.replace(
        found, coef=found.coef[..., :p], coef_1se=found.coef_1se[..., :p], path=path
    )


def _fold_statistics(parts: Any, folds: Any, sample_weight: Any) -> list[SufficientStatistics]:
    are_statistics = isinstance(parts, list | tuple) and all(
        isinstance(part, SufficientStatistics) for part in parts
    )
    if not are_statistics or isinstance(parts, SufficientStatistics):
        raise ValueError(
            "y is missing: without it X must be a list of SufficientStatistics, one for each fold."
        )
    if folds not in (5, len(parts)) or sample_weight is not None or len(parts) < 2:
        raise ValueError(
            "The statistics of at least two folds are the folds and hold the weights: leave folds "
            "and sample_weight out."
        )
    if len({part.xy.shape for part in parts}) > 1:
        raise ValueError("The statistics of the folds differ in their columns or responses.")
    return [SufficientStatistics(*(widen(float_array(a)) for a in part)) for part in parts]


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
    rows: Rows, splits: Sequence[Split], n: int
) -> tuple[SufficientStatistics, SufficientStatistics]:
    """Return the statistics of all n rows and of training rows, and those of test rows."""
    tests = [test for _, test in splits]
    times = np.bincount(np.concatenate(tests), minlength=n)
    # Folds: every row is tested once, and trains the rest of the time.
    if np.all(times == 1) and all(len(train) + len(test) == n for train, test in splits):
        return _training(_of_parts(*rows[:3], _Parts.of(tests)))
    parts = _Parts.of([np.arange(n), *(train for train, _ in splits)])
    return _of_parts(*rows[:3], parts), _of_parts(*rows[:3], _Parts.of(tests))


@jax.jit
def _of_parts(
    X: jax.Array, y: jax.Array, weight: jax.Array | None, parts: _Parts
) -> SufficientStatistics:
    """Return the statistics of sets of rows, one set after the other."""
    weight = jnp.ones(len(X), X.dtype) if weight is None else weight

    def of_part(part: _Parts) -> SufficientStatistics:
        held = jnp.where(part.held, weight[part.rows], 0)
        return statistics_of_rows(X[part.rows], y[part.rows], held)

    return jax.lax.map(of_part, parts)


def _weighted(rows: Rows, splits: Sequence[Split]) -> tuple[jax.Array, ...]:
    """Return rows with their weights in every lane, all rows first, and in every split's test."""
    n = len(rows.X)
    masks = np.zeros((2, len(splits), n), bool)
    for k, split in enumerate(splits):
        for mask, of in zip(masks, split, strict=True):
            mask[k, of] = True
    weight = jnp.ones(n, rows.X.dtype) if rows.weight is None else rows.weight
    train, test = jnp.where(masks, weight, 0)
    return rows.X, rows.y, jnp.concatenate([weight[None], train]), test


@functools.partial(jax.jit, static_argnames=("program", "single"))
def _of_statistics(
    lanes: SufficientStatistics,
    tests: SufficientStatistics,
    asked: Asked,
    strengths: Strengths,
    program: Program,
    single: bool,
) -> CrossValidation:
    def errors(part: tuple[SufficientStatistics, Lanes]) -> jax.Array:
        s, (coef, intercept, _) = part
        fit = jnp.einsum("mkp,pm->mk", coef, s.xy)
        square = s.yy[:, None] - 2 * fit + jnp.einsum("mkp,mkp->mk", coef @ s.xx, coef)
        shift = s.y_mean[:, None] - intercept - coef @ s.x_mean
        return jnp.maximum(square, 0) / s.weight + jnp.square(shift)

    with jax.default_matmul_precision("highest"):
        form = functools.partial(gram_form, asked=asked)
        found = _searched(len(lanes.xx[0]), lanes, form, tests, errors, asked, strengths, program)
    return first_response(found) if single else found


@functools.partial(jax.jit, static_argnames=("program", "single"))
def _of_data(
    X: jax.Array,
    y: jax.Array,
    lanes: jax.Array,
    tests: jax.Array,
    asked: Asked,
    strengths: Strengths,
    program: Program,
    single: bool,
) -> CrossValidation:
    def errors(part: tuple[jax.Array, Lanes]) -> jax.Array:
        weight, (coef, intercept, _) = part
        residual = y.T[:, None] - coef @ X.T - intercept[:, :, None]
        return (jnp.square(residual) @ weight) / weight.sum()

    with jax.default_matmul_precision("highest"):
        form = functools.partial(data_form, X, y, asked=asked)
        found = _searched(X.shape[1], lanes, form, tests, errors, asked, strengths, program)
    return first_response(found) if single else found


def _searched(
    p: int,
    lanes: Any,
    form: Callable[[Any], Form],
    tests: Any,
    errors: Callable[[Any], jax.Array],
    asked: Asked,
    strengths: Strengths,
    program: Program,
) -> CrossValidation:
    """Return the cross-validation of all mixes; every field but the mixes has the responses first.

    Args:
        p: the number of columns.
        lanes: all rows, then the training rows of every split, stacked.
        form: makes a lane's problem in standard form.
        tests: the test rows of every split, stacked.
        errors: gives mean squared errors (m, n_lambdas) of a split's test rows and its solutions.
    """
    by_gram = isinstance(lanes, SufficientStatistics)
    # A CPU takes large lanes one after the other, which fits its caches.
    together = jax.default_backend() != "cpu" or p <= _SMALL
    if by_gram and together:
        forms = jax.vmap(form)(lanes)
        whole = jax.tree.map(lambda a: a[0], forms)
    else:
        whole = form(jax.tree.map(lambda a: a[0], lanes))

    def of_ratio(ratios: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, Lanes, jax.Array]:
        l1_ratio, min_ratio = ratios
        mixed = strengths._replace(l1_ratio=l1_ratio, min_ratio=min_ratio)
        grid = traced_grid(whole, asked, mixed, program)

        def solve(lane: Any) -> Lanes:
            alone = jax.tree.map(lambda a: a[None], form(lane))
            return solved_lanes(alone, asked, grid, mixed, program).lane(0)

        if by_gram and together:
            found = solved_lanes(forms, asked, grid, mixed, program)
        else:
            entries = len(jax.tree.leaves(lanes)[0]) * grid.size * p
            at_once = together and entries <= _MAX_ENTRIES
            found = jax.vmap(solve)(lanes) if at_once else jax.lax.map(solve, lanes)
        return grid, found.lane(0), jax.lax.map(errors, (tests, found.lane(slice(1, None))))

    grids, fits, found = jax.lax.map(of_ratio, (strengths.l1_ratio, strengths.min_ratio))
    # (m, n_ratios, n_folds, n_lambdas)
    fold_errors = jnp.moveaxis(found, 2, 0)
    mean = fold_errors.mean(axis=2)
    spread = root_of_squares(fold_errors.var(axis=2, ddof=1) / fold_errors.shape[2])
    # Splits without weight, and NaN data, leave no choice.
    valid = jnp.isfinite(mean).all(axis=(1, 2))
    result = chosen(
        strengths.l1_ratio,
        jnp.moveaxis(grids, 1, 0),
        fold_errors,
        mean,
        spread,
        jnp.where(valid[:, None, None], fits.coef, jnp.nan),
        jnp.where(valid[:, None], fits.intercept, jnp.nan),
        jnp.where(valid[:, None], fits.gap, jnp.inf),
    )
    status = traced_status(result.path.duality_gap, strengths.tol)
    return dataclasses.replace(result, path=dataclasses.replace(result.path, status=status))
