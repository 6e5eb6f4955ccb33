"""Rows or statistics from the caller's hands, as the lanes that are solved together.

A path has one lane, or one for every weighting of the rows. Cross-validation has one of all rows,
then one of the training rows of every split.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from regjax.paths._penalties import PathPenalty
from regjax.paths._solve import solve_data, solve_statistics
from regjax.paths._threads import MANY_ENTRIES, run_each
from regjax.paths.data.inputs import Matrix, as_design, as_responses, as_sample_weight, dense
from regjax.paths.data.standard_form import Standard, data_form, standard_form
from regjax.paths.engines.solutions import LanePath
from regjax.paths.engines.working_set import ColumnSet, MomentSet, WorkingSet
from regjax.paths.folds import Split, as_splits, check_no_folds
from regjax.paths.select import select_engine
from regjax.paths.settings import Settings, Shape
from regjax.paths.statistics import (
    SufficientStatistics,
    check_statistics,
    statistics_of,
    statistics_of_parts,
)

# A column's share of variance below which the difference of two statistics has lost its digits.
_LOST = 1e-8
# The share of the weights below which the same holds.
_LIGHT = 1e-6


class Lanes(Protocol):
    """Problems that are solved together.

    Attributes:
        shape: what is asked of the coefficients.
        size: number of rows, or sum of their weights, and of columns.
        standard: each problem in standard form.
    """

    shape: Shape
    size: tuple[float, int]
    standard: list[Standard]

    def solve(self, lambdas: np.ndarray, penalty: PathPenalty, tol: float) -> list[LanePath]:
        """Return the path of every lane, responses apart, at lambdas (n_lanes, m, n_lambdas)."""

    def responses(self, lane: int) -> np.ndarray:
        """Return (m, d) all that the solutions of a lane depend on."""

    def working_set(self, lane: int, responses: np.ndarray) -> WorkingSet:
        """Return an empty working set of a lane's columns, of these responses (r, d)."""

    def error(self, split: int, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """Return mean squared errors (m, n_lambdas) of the rows that a split tests on.

        Args:
            coef: (m, n_lambdas, p), and intercept (m, n_lambdas).
        """


class MomentLanes:
    """Lanes given by the statistics of their rows, `n_samples` in all, and of every test."""

    def __init__(
        self,
        statistics: Sequence[SufficientStatistics],
        tests: Sequence[SufficientStatistics],
        n_samples: float,
        shape: Shape,
    ) -> None:
        self._tests, self.shape, self.size = tests, shape, (n_samples, len(statistics[0].xx))
        large = len(statistics) * statistics[0].xx.size >= MANY_ENTRIES
        self.standard = run_each(
            lambda i: standard_form(statistics[i], shape), range(len(statistics)), worthwhile=large
        )

    def solve(self, lambdas: np.ndarray, penalty: PathPenalty, tol: float) -> list[LanePath]:
        engine = select_engine(
            *self.size,
            l1_ratio=penalty.l1_ratio,
            bounded=self.shape.bounded,
            n_solutions=int(np.count_nonzero(lambdas)),
            engine="gram",
        )
        return solve_statistics(self.standard, lambdas, penalty, tol, engine)

    def responses(self, lane: int) -> np.ndarray:
        return self.standard[lane].cross

    def working_set(self, lane: int, responses: np.ndarray) -> WorkingSet:
        return MomentSet(self.standard[lane].gram, responses)

    def error(self, split: int, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        s = self._tests[split]
        fit = np.einsum("mkp,pm->mk", coef, s.xy)
        square = s.yy[:, None] - 2 * fit + np.einsum("mkp,mkp->mk", coef @ s.xx, coef)
        shift = s.y_mean[:, None] - intercept - coef @ s.x_mean
        return np.maximum(square, 0.0) / s.weight + shift * shift


class RowLanes:
    """Lanes that weigh the rows of `X` (n, p) and `y` (n, m) by `weight` (n_lanes, n)."""

    def __init__(
        self,
        X: Matrix,
        y: np.ndarray,
        weight: np.ndarray,
        tests: Sequence[np.ndarray],
        shape: Shape,
    ) -> None:
        self._X, self._y, self._weight, self._tests = X, y, weight, tests
        self.shape, self.size = shape, X.shape
        self._form = data_form(X, y, weight, shape)
        self.standard = self._form.lanes

    def solve(self, lambdas: np.ndarray, penalty: PathPenalty, tol: float) -> list[LanePath]:
        engine = select_engine(
            *self.size,
            l1_ratio=penalty.l1_ratio,
            bounded=self.shape.bounded,
            engine="columns",
        )
        return solve_data(self._form, lambdas, penalty, tol, engine)

    def responses(self, lane: int) -> np.ndarray:
        return self._form.response[lane].T

    def working_set(self, lane: int, responses: np.ndarray) -> WorkingSet:
        return ColumnSet(self._form.columns, lane, responses)

    def error(self, split: int, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        test = self._tests[split]
        rows, weight = self._X[test], self._weight[0, test]
        errors = np.empty(intercept.shape)
        for k, (b, a) in enumerate(zip(coef, intercept, strict=True)):
            active = np.flatnonzero(b.any(axis=0))
            fitted = b[:, active] @ dense(rows[:, active]).T
            residual = self._y[test, k] - fitted - a[:, None]
            errors[k] = np.average(residual * residual, axis=1, weights=weight)
        return errors


def as_lanes(X: Any, y: Any, settings: Settings) -> tuple[Lanes, bool]:
    """Return the problems of a path, and whether there is a single response."""
    if isinstance(X, SufficientStatistics):
        if y is not None or settings.sample_weight is not None:
            raise ValueError("Statistics hold the response and the weights: leave these out.")
        _check_engine(settings)
        whole = check_statistics(X)
        shape = _checked(settings, len(whole.xx))
        return MomentLanes([whole], [], float(whole.weight), shape), len(whole.yy) == 1
    if y is None:
        raise ValueError("y is missing: only SufficientStatistics hold the response.")
    design = as_design(X)
    n, p = design.shape
    responses, single = as_responses(y, n)
    weight, shape = as_sample_weight(settings.sample_weight, n), _checked(settings, p)
    lanes = [None] if weight is None else np.atleast_2d(weight)
    if select_engine(n, p, engine=settings.engine).form == "columns":
        weights = np.ones((1, n)) if weight is None else np.atleast_2d(weight)
        return RowLanes(design, responses, weights, [], shape), single
    statistics = run_each(
        lambda i: statistics_of(design, responses, lanes[i]),
        range(len(lanes)),
        worthwhile=len(lanes) > 1 and len(lanes) * n * p >= MANY_ENTRIES,
    )
    return MomentLanes(statistics, [], n, shape), single


def as_folds(
    X: Any, y: Any, folds: int | Iterable[Split] | None, settings: Settings
) -> tuple[Lanes, int, bool]:
    """Return the problems of all rows and of every fold, the number of folds, and as above."""
    if y is None:
        if settings.sample_weight is not None:
            raise ValueError("Statistics hold the weights: leave sample_weight out.")
        _check_engine(settings)
        return _of_statistics(X, folds, settings)
    design = as_design(X)
    n, p = design.shape
    responses, single = as_responses(y, n)
    weight, shape = as_sample_weight(settings.sample_weight, n), _checked(settings, p)
    if weight is not None and weight.ndim == 2:
        raise ValueError("Cross-validation takes one weighting: give sample_weight (n_samples,).")
    splits = as_splits(folds, n)
    for i, split in enumerate(splits):
        if weight is not None and not all(weight[rows].any() for rows in split):
            raise ValueError(f"All rows that split {i} trains or tests on have the weight 0.")
    if select_engine(n, p, engine=settings.engine).form == "gram":
        return _of_rows(design, responses, weight, splits, shape), len(splits), single
    whole = np.ones(n) if weight is None else weight
    lanes = np.zeros((len(splits) + 1, n))
    lanes[0] = whole
    for lane, (train, _) in zip(lanes[1:], splits, strict=True):
        lane[train] = whole[train]
    tests = [test for _, test in splits]
    return RowLanes(design, responses, lanes, tests, shape), len(splits), single


def _checked(settings: Settings, p: int) -> Shape:
    """Return what is asked of p coefficients; a wrong setting is refused before work starts."""
    shape = settings.shape(p)
    settings.given_lambdas(shape)
    return shape


def _check_engine(settings: Settings) -> None:
    """Raise ValueError if statistics are to be solved as what they are not."""
    if settings.engine not in (None, "gram"):
        raise ValueError(
            f"Statistics hold second moments alone: engine must be 'gram' or None, got "
            f"{settings.engine!r}."
        )


def _of_statistics(parts: Any, folds: Any, settings: Settings) -> tuple[Lanes, int, bool]:
    is_list = isinstance(parts, list | tuple) and not isinstance(parts, SufficientStatistics)
    if not is_list or not all(isinstance(part, SufficientStatistics) for part in parts):
        raise ValueError(
            "y is missing: without it X must be a list of SufficientStatistics, one for each fold."
        )
    if len(parts) < 2:
        raise ValueError(f"Cross-validation needs at least two folds, got {len(parts)}.")
    check_no_folds(parts, folds)
    tests = [check_statistics(part) for part in parts]
    if len({part.xy.shape for part in tests}) > 1:
        raise ValueError("The statistics of the folds differ in their columns or responses.")
    total = _sum(tests)
    training = [
        _less(total, part) or _sum(tests[:i] + tests[i + 1 :]) for i, part in enumerate(tests)
    ]
    shape = _checked(settings, len(total.xx))
    lanes = MomentLanes([total, *training], tests, float(total.weight), shape)
    return lanes, len(tests), len(total.yy) == 1


def _of_rows(
    X: Matrix, y: np.ndarray, weight: np.ndarray | None, splits: list[Split], shape: Shape
) -> MomentLanes:
    if not isinstance(X, np.ndarray):
        X = X.tocsr()
    large = X.shape[0] * X.shape[1] >= MANY_ENTRIES
    tests = statistics_of_parts(X, y, weight, [test for _, test in splits])
    covered = np.bincount(np.concatenate([test for _, test in splits]), minlength=len(y))
    once = (covered == 1).all()
    total = _sum(tests) if once else statistics_of(X, y, weight)

    def training(i: int) -> SufficientStatistics:
        train, test = splits[i]
        rest = _less(total, tests[i]) if len(train) + len(test) == len(y) else None
        return rest or statistics_of_parts(X, y, weight, [train])[0]

    parts = run_each(training, range(len(splits)), worthwhile=large)
    return MomentLanes([total, *parts], tests, len(y), shape)


def _less(total: SufficientStatistics, part: SufficientStatistics) -> SufficientStatistics | None:
    """Return the difference, or None where there is nothing in it but rounding.

    That is so where the rest has next to no weight, or a column does not vary in it.
    """
    if not total.weight - part.weight > _LIGHT * total.weight:
        return None
    rest = total - part
    return rest if (np.diag(rest.xx) >= _LOST * np.diag(total.xx)).all() else None


def _sum(parts: Sequence[SufficientStatistics]) -> SufficientStatistics:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
