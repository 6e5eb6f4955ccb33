"""Which rows train and which test: folds, repeated, by group, or ordered in time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

# 80 GB of them.
_MOST_INDICES = 10**10

Split = tuple[np.ndarray, np.ndarray]
"""Indices of the rows that train and of those that test."""


def k_folds(
    n_samples: int, k: int = 5, *, repeats: int = 1, groups: Any = None, seed: int = 0
) -> list[Split]:
    """Return `k * repeats` splits of shuffled rows into k parts of nearly equal size.

    Args:
        repeats: how many times all rows are shuffled anew.
        groups: (n_samples,) labels; rows of one label are never torn apart. Groups go, from the
            largest on, to the fold that has the fewest rows.
        seed: of the shuffling.

    Raises:
        ValueError: if there are fewer rows, or groups, than folds.

    Example:
        >>> [test.tolist() for train, test in k_folds(5, 2)]
        [[2, 3, 4], [0, 1]]
    """
    if groups is None:
        labels = np.arange(n_samples)
    else:
        _, labels = np.unique(np.asarray(groups), return_inverse=True)
        if labels.shape != (n_samples,):
            raise ValueError(f"groups must have shape ({n_samples},), got {labels.shape}.")
    n_labels = int(labels.max(initial=-1)) + 1
    if not 2 <= k <= n_labels:
        what = "rows" if groups is None else "groups"
        raise ValueError(
            f"The number of folds must be between 2 and the number of {what}, {n_labels:,}; got "
            f"{k:,}."
        )
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}.")
    if k * repeats * n_samples > _MOST_INDICES:
        raise ValueError(
            f"{repeats:,} times {k:,} folds of {n_samples:,} rows do not fit into memory: take "
            "fewer."
        )
    rng = np.random.default_rng(seed)
    splits = []
    for _ in range(repeats):
        fold = np.empty(n_labels, dtype=int)
        order = rng.permutation(n_labels)
        if groups is None:
            for i, part in enumerate(np.array_split(order, k)):
                fold[part] = i
        else:
            counts, held = np.bincount(labels), np.zeros(k, dtype=int)
            for label in order[np.argsort(-counts[order], kind="stable")]:
                fold[label] = np.argmin(held)
                held[fold[label]] += counts[label]
        of_row = fold[labels]
        splits += [(np.flatnonzero(of_row != i), np.flatnonzero(of_row == i)) for i in range(k)]
    return splits


def time_ordered_folds(n_samples: int, k: int = 5) -> list[Split]:
    """Return k splits of rows in time order: each part is tested after training on all before.

    Example:
        >>> [(train.tolist(), test.tolist()) for train, test in time_ordered_folds(4, 1)]
        [([0, 1], [2, 3])]
    """
    if not 1 <= k < n_samples:
        raise ValueError(f"The number of folds must be between 1 and {n_samples - 1:,}, got {k:,}.")
    size = n_samples // (k + 1)
    first = n_samples - k * size
    every = np.arange(n_samples)
    starts = range(first, n_samples, size)
    return [(every[:start], every[start : start + size]) for start in starts]


def as_splits(folds: int | Iterable[Split] | None, n_samples: int) -> list[Split]:
    """Return the splits that `folds` stands for: so many shuffled ones, 5 for None, or pairs.

    Args:
        folds: pairs of indices or of boolean masks (n_samples,).

    Raises:
        ValueError: if a split is empty, torn, or points outside the rows.

    Example:
        >>> len(as_splits(5, 20))
        5
    """
    folds = 5 if folds is None else folds
    if isinstance(folds, int | np.integer):
        return k_folds(n_samples, int(folds))
    try:
        splits = [(_indices(train, n_samples), _indices(test, n_samples)) for train, test in folds]
    except (TypeError, ValueError) as error:
        raise ValueError(
            "folds must be a number of folds, or pairs of training and test indices: "
            "k_folds(n, 5, groups=labels), or splitter.split(X) of scikit-learn."
        ) from error
    if len(splits) < 2:
        raise ValueError(f"Cross-validation needs at least two splits, got {len(splits)}.")
    for train, test in splits:
        if (_times(train, n_samples, "train") & _times(test, n_samples, "test")).any():
            raise ValueError("A split trains and tests on the same rows.")
    return splits


def check_no_folds(statistics: Any, folds: Any) -> None:
    """Raise ValueError if `folds` asks for others than those that statistics are of."""
    same = isinstance(folds, int | np.integer) and folds == len(statistics)
    if folds is not None and not same:
        raise ValueError(
            f"The {len(statistics)} statistics are the folds: leave folds out, got {folds!r}."
        )


def _indices(rows: Any, n_samples: int) -> np.ndarray:
    """Return rows as an array, a mask (n_samples,) as indices."""
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool and rows.shape == (n_samples,) else rows


def _times(rows: np.ndarray, n_samples: int, what: str) -> np.ndarray:
    """Return how many times, 0 or 1, each of the samples is among `rows`, checked."""
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows):
        raise ValueError(f"A split's {what} rows must be a non-empty vector of indices.")
    inside = rows.min() >= 0 and rows.max() < n_samples
    times = np.bincount(rows, minlength=n_samples) if inside else np.full(1, 2)
    if times.max() > 1:
        raise ValueError(f"A split's {what} rows repeat or leave 0 to {n_samples - 1}.")
    return times
