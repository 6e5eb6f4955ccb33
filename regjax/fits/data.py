"""Data of a path: a table in memory, or a folder of Parquet files that is read in batches."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from regjax._messages import listed
from regjax.datasets import DATASETS
from regjax.paths import SufficientStatistics
from regjax.sweeps import load_table
from regjax.sweeps.model import Scaler, as_scaler
from regjax.tables import ParquetStream, ReadOptions, Table, TableError, open_parquet

Data = Table | ParquetStream

_BATCH = 8192


class Moments(NamedTuple):
    """Weighted moments of the rows: the scaler of the features, the variance of the target."""

    scaler: Scaler
    y_variance: float


def open_data(
    data: Any,
    target: str | None = None,
    *,
    task: Literal["regression"] | None = None,
    drop: Sequence[str] = (),
    weight: str | None = None,
    groups: str | None = None,
    read_options: ReadOptions | None = None,
) -> Data:
    """Return a table in memory, or of a folder of Parquet files a stream.

    Args:
        data: path of a CSV or Parquet file, or of a folder of Parquet files; name of an embedded
            data set; a data frame of polars, pandas or Arrow; or a pair of arrays (X, y).
        target: name of the response column; embedded data and arrays have their own.
        task: "regression" says that integers are quantities where they look like classes.
        drop: columns to leave out.
        weight: column of sample weights.
        groups: column that tells which rows belong together; of tables in memory.
        read_options: how a text file is written, which columns are categorical, and whether rows
            with missing values are left out; see `regjax.tables.ReadOptions`.

    Raises:
        TableError: for whatever cannot be used, and for a target of classes.

    Example:
        >>> open_data("diabetes", drop=["sex"]).encoding.feature_names[:2]
        ['age', 'bmi']
    """
    is_path = isinstance(data, str | pathlib.Path) and data not in DATASETS
    if is_path and pathlib.Path(data).is_dir():
        if target is None:
            raise TableError("Name the column to predict with target (--target).")
        if groups is not None:
            raise TableError("Groups need the rows in memory: give one file instead of a folder.")
        return open_parquet(data, target, weight=weight, drop=drop, read_options=read_options)
    table = load_table(
        data,
        target,
        task=task,
        drop=drop,
        weight=weight,
        groups=groups,
        read_options=read_options,
    )
    if table.encoding.task == "classification":
        shown = listed(table.encoding.classes, 5)
        text = not all(label.lstrip("-").isdigit() for label in table.encoding.classes)
        hint = "" if text else ", or --task regression if these are quantities"
        raise TableError(
            f"The target {table.encoding.target!r} holds classes ({shown}), and paths are "
            f"for numbers: use regjax sweep{hint}."
        )
    return table


def batches(data: Data) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield `(X, y)`, or `(X, y, sample_weight)`, a batch of rows at a time."""
    if isinstance(data, ParquetStream):
        yield from data.batches()
        return
    for start in range(0, data.n_rows, _BATCH):
        rows = slice(start, start + _BATCH)
        weight = () if data.sample_weight is None else (data.sample_weight[rows],)
        yield data.X[rows], data.y[rows], *weight


def moments_of_table(table: Table) -> Moments:
    """Return the moments of rows in memory."""
    weight = table.sample_weight
    mean = np.average(table.X, axis=0, weights=weight)
    variance = np.average(np.square(table.X - mean), axis=0, weights=weight)
    y_mean = np.average(table.y, weights=weight)
    y_variance = np.average(np.square(table.y - y_mean), weights=weight)
    return _checked(mean, variance, y_mean, y_variance, table.encoding.target)


def moments_of_statistics(statistics: SufficientStatistics, target: str) -> Moments:
    """Return the moments that statistics hold."""
    variance = np.diag(statistics.xx) / statistics.weight
    y_variance = statistics.yy[0] / statistics.weight
    return _checked(statistics.x_mean, variance, statistics.y_mean[0], y_variance, target)


def _checked(
    mean: np.ndarray, variance: np.ndarray, y_mean: Any, y_variance: Any, target: str
) -> Moments:
    if not (np.isfinite(variance).all() and np.isfinite(y_variance)):
        raise TableError("Some columns hold values too large to be squared: rescale them.")
    of_y = as_scaler(np.atleast_1d(y_mean), np.sqrt(np.atleast_1d(y_variance)))
    if np.isinf(of_y.scale).any():
        raise TableError(
            f"The target {target!r} is constant where rows have weight: there is nothing to learn."
        )
    return Moments(as_scaler(mean, np.sqrt(variance)), float(y_variance))
