"""The lanes of cross-validation: all rows first, then the training rows of every fold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from regjax.paths._input import Matrix, as_design, as_responses, as_sample_weight, dense
from regjax.paths._lanes import DataLanes, GramLanes, Lanes
from regjax.paths._problem import Shape
from regjax.paths._solve import LanePath, wants_gram
from regjax.paths._threads import MANY_ENTRIES, run_each
from regjax.paths.folds import Split, as_splits
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


class FoldData(Protocol):
    """Rows or statistics that have been divided into folds.

    Attributes:
        size: number of rows, or sum of their weights, and of columns.
    """

    size: tuple[float, int]

    def lanes(self, shape: Shape) -> Lanes:
        """Return the lane of all rows and those of the training rows."""

    def error(self, split: int, path: LanePath) -> np.ndarray:
        """Return mean squared errors (m, n_lambdas) of the rows that a split tests on."""


class StatisticsFolds:
    """Folds by their statistics: all rows, then by split the training rows and the test rows."""

    def __init__(
        self,
        total: SufficientStatistics,
        training: Sequence[SufficientStatistics],
        tests: Sequence[SufficientStatistics],
        n_samples: float,
    ) -> None:
        self._statistics, self._tests = [total, *training], tests
        self.size = n_samples, len(total.x_mean)

    def lanes(self, shape: Shape) -> Lanes:
        return GramLanes(self._statistics, shape)

    def error(self, split: int, path: LanePath) -> np.ndarray:
        s, b, a = self._tests[split], path.coef, path.intercept
        fit = np.einsum("mkp,pm->mk", b, s.xy)
        square = s.yy[:, None] - 2 * fit + np.einsum("mkp,mkp->mk", b @ s.xx, b)
        shift = s.y_mean[:, None] - a - b @ s.x_mean
        return np.maximum(square, 0.0) / s.weight + shift * shift


class RowFolds:
    """Folds by the weights of the rows of one wide matrix."""

    def __init__(
        self, X: Matrix, y: np.ndarray, weight: np.ndarray | None, splits: list[Split]
    ) -> None:
        self._X, self._y, self._splits = X, y, splits
        self._weight = np.ones(len(y)) if weight is None else weight
        self.size = X.shape

    def lanes(self, shape: Shape) -> Lanes:
        rows = np.zeros((len(self._splits) + 1, len(self._y)))
        rows[0] = self._weight
        for lane, (train, _) in zip(rows[1:], self._splits, strict=True):
            lane[train] = self._weight[train]
        return DataLanes(self._X, self._y, rows, shape)

    def error(self, split: int, path: LanePath) -> np.ndarray:
        _, test = self._splits[split]
        rows, weight = self._X[test], self._weight[test]
        errors = np.empty(path.intercept.shape)
        for k, (b, a) in enumerate(zip(path.coef, path.intercept, strict=True)):
            active = np.flatnonzero(b.any(axis=0))
            fitted = b[:, active] @ dense(rows[:, active]).T
            residual = self._y[test, k] - fitted - a[:, None]
            errors[k] = np.average(residual * residual, axis=1, weights=weight)
        return errors


def fold_data(
    X: Any, y: Any, sample_weight: Any, folds: int | Iterable[Split]
) -> tuple[FoldData, bool]:
    """Return checked folds of rows or statistics, and whether there is a single response."""
    if y is None:
        if folds != 5 and not (isinstance(folds, int) and folds == len(X)):
            raise ValueError("The statistics are the folds: leave folds out.")
        if sample_weight is not None:
            raise ValueError("Statistics hold the weights: leave sample_weight out.")
        return _of_statistics(X)
    design = as_design(X)
    n, p = design.shape
    responses, single = as_responses(y, n)
    weight = as_sample_weight(sample_weight, n)
    if weight is not None and weight.ndim == 2:
        raise ValueError("Cross-validation takes one weighting: give sample_weight (n_samples,).")
    splits = as_splits(folds, n)
    for i, split in enumerate(splits):
        if weight is not None and not all(weight[rows].any() for rows in split):
            raise ValueError(f"All rows that split {i} trains or tests on have the weight 0.")
    if wants_gram(n, p):
        return _of_rows(design, responses, weight, splits), single
    return RowFolds(design, responses, weight, splits), single


def _of_statistics(parts: Any) -> tuple[FoldData, bool]:
    is_list = isinstance(parts, list | tuple) and not isinstance(parts, SufficientStatistics)
    if not is_list or not all(isinstance(part, SufficientStatistics) for part in parts):
        raise ValueError(
            "y is missing: without it X must be a list of SufficientStatistics, one for each fold."
        )
    if len(parts) < 2:
        raise ValueError(f"Cross-validation needs at least two folds, got {len(parts)}.")
    tests = [check_statistics(part) for part in parts]
    if len({part.xy.shape for part in tests}) > 1:
        raise ValueError("The statistics of the folds differ in their columns or responses.")
    total = _sum(tests)
    training = [
        _less(total, part) or _sum(tests[:i] + tests[i + 1 :]) for i, part in enumerate(tests)
    ]
    return StatisticsFolds(total, training, tests, float(total.weight)), len(total.yy) == 1


def _of_rows(
    X: Matrix, y: np.ndarray, weight: np.ndarray | None, splits: list[Split]
) -> StatisticsFolds:
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

    return StatisticsFolds(
        total, run_each(training, range(len(splits)), worthwhile=large), tests, len(y)
    )


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
