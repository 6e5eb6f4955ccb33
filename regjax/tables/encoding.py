"""Data frames as a matrix of features and a response, and what was learned of their columns."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl

from regjax.tables._columns import (
    TableError,
    encode_column,
    feature_names,
    is_text,
    levels,
    quoted,
    refuse_missing,
    text,
)

Task = Literal["regression", "classification"]


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How the columns of a table become features, and what the response is.

    Made by `encode_table`.

    Attributes:
        columns: input columns in order, each with its levels; None for a numeric one.
        target: name of the response column.
        task: "regression" or "classification".
        classes: labels of a classification in order, as text; empty for a regression.
    """

    columns: tuple[tuple[str, tuple[str, ...] | None], ...]
    target: str
    task: Task
    classes: tuple[str, ...] = ()

    @property
    def feature_names(self) -> list[str]:
        return [name for column in self.columns for name in feature_names(*column)]

    def encode(self, frame: pl.DataFrame) -> np.ndarray:
        """Return the features (n_rows, n_features), float64, of a table with these columns.

        Raises:
            TableError: for a missing column, a missing or infinite value, a type that
                changed, or a level that was not there when the encoding was learned.
        """
        absent = [name for name, _ in self.columns if name not in frame.columns]
        if absent:
            raise TableError(f"The table lacks the column(s) {quoted(absent)}.")
        if frame.height == 0:
            raise TableError("The table has no rows.")
        refuse_missing(frame.select([name for name, _ in self.columns]))
        parts = [encode_column(frame[name], levels) for name, levels in self.columns]
        return np.concatenate(parts, axis=1)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> Encoding:
        columns = tuple(
            (name, None if levels is None else tuple(levels)) for name, levels in values["columns"]
        )
        return Encoding(columns, values["target"], values["task"], tuple(values["classes"]))


@dataclasses.dataclass(frozen=True)
class Table:
    """Features and response ready for a fit.

    Attributes:
        X: (n_samples, n_features), float64.
        y: (n_samples,), float64 for a regression, int32 labels for a classification.
        encoding: how both came out of their columns.
        notes: what a user should know of the encoding, one sentence each.
        source: where it came from, for the record: a name, a file's SHA-256, dropped columns.
    """

    X: np.ndarray
    y: np.ndarray
    encoding: Encoding
    notes: tuple[str, ...] = ()
    source: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of features, response and names, in hexadecimal."""
        digest = hashlib.sha256(repr(self.encoding).encode())
        digest.update(self.X.tobytes())
        digest.update(self.y.tobytes())
        return digest.hexdigest()


def encode_table(
    frame: pl.DataFrame, target: str, *, task: Task | None = None, drop: Sequence[str] = ()
) -> Table:
    """Return features and response of a data frame.

    Args:
        frame: one row per sample.
        target: name of the response column.
        task: by default classification for text, booleans, and integers with at most 10
            values, each on average in 10 rows or more; regression for other numbers.
        drop: columns to leave out.

    Raises:
        TableError: for whatever cannot be used; every offending column is named.

    Example:
        >>> import polars as pl
        >>> frame = pl.DataFrame(
        ...     {"area": [50, 80, 65], "heat": ["gas", "oil", "pump"], "price": [1.0, 2.0, 1.5]}
        ... )
        >>> encode_table(frame, "price").encoding.feature_names
        ['area', 'heat=gas', 'heat=oil', 'heat=pump']
    """
    unknown = [name for name in (target, *drop) if name not in frame.columns]
    if unknown:
        raise TableError(
            f"There is no column {quoted(unknown)}; the table has {quoted(frame.columns)}."
        )
    if target in drop:
        raise TableError(f"The target {target!r} cannot be dropped.")
    frame = frame.drop(list(drop))
    features = [name for name in frame.columns if name != target]
    if not features:
        raise TableError(f"{target!r} is the only column: there is nothing to predict it from.")
    if frame.height < 3:
        raise TableError(f"The table has {frame.height} row(s); a sweep needs at least 3.")
    refuse_missing(frame)
    notes: list[str] = []
    columns = tuple((name, levels(frame[name], frame.height)) for name in features)
    response = frame[target]
    task = task or _guess_task(response, notes)
    classes: tuple[str, ...] = ()
    if response.n_unique() == 1:
        raise TableError(f"The target {target!r} is constant: there is nothing to learn.")
    if task == "classification":
        order = response.unique().sort()
        classes = tuple(text(order).to_list())
        if len(classes) > max(2, frame.height // 2):
            raise TableError(
                f"The target {target!r} has {len(classes)} values in {frame.height} rows: too "
                "many classes. Is it a regression (--task regression)?"
            )
        position = {label: i for i, label in enumerate(classes)}
        y = np.array([position[label] for label in text(response)])
    else:
        if not (response.dtype.is_numeric() or response.dtype == pl.Boolean):
            raise TableError(
                f"The target {target!r} holds {response.dtype}, not numbers; use "
                "--task classification."
            )
        y = response.cast(pl.Float64).to_numpy()
    encoding = Encoding(columns, target, task, classes)
    names = encoding.feature_names
    taken = [*names, "(intercept)"]
    if len(set(taken)) < len(taken):
        twice = sorted({name for name in taken if taken.count(name) > 1})
        raise TableError(f"Several features are named {quoted(twice)}: rename a column.")
    X = encoding.encode(frame)
    with np.errstate(over="ignore", invalid="ignore"):
        deviation, spread = X.std(axis=0), np.ptp(X, axis=0)
    lost = ~np.isfinite(deviation) | ((deviation == 0) & (spread > 0))
    if lost.any():
        named = [name for name, flag in zip(names, lost, strict=True) if flag]
        raise TableError(
            f"The values of {quoted(named)} are too large or too small to be squared: rescale them."
        )
    notes += [
        f"Column {name!r} counts the rows; if it is an identifier, drop it (--drop NAME)."
        for name in features
        if _counts_rows(frame[name])
    ]
    constant = [name for name, width in zip(names, spread, strict=True) if width == 0]
    if constant:
        notes.append(f"Constant column(s) {quoted(constant)} get the coefficient 0.")
    dtype = np.int32 if task == "classification" else np.float64
    return Table(X, y.astype(dtype), encoding, tuple(notes))


def table_from_arrays(X: np.ndarray, y: np.ndarray, *, task: Task | None = None) -> Table:
    """Return the table of a feature matrix (n, p) and a response (n,), columns `x0, x1, ...`.

    Raises:
        TableError: as in `encode_table`, and for mismatched lengths.

    Example:
        >>> import numpy as np
        >>> table = table_from_arrays(np.eye(3), np.array([1.0, 2.0, 3.0]))
        >>> table.encoding.feature_names, table.encoding.task
        (['x0', 'x1', 'x2'], 'regression')
    """
    X, y = np.asarray(X), np.asarray(y)
    if X.ndim != 2 or 0 in X.shape:
        raise TableError(f"X must have shape (n_samples, n_features), got {X.shape}.")
    if y.ndim != 1 or len(y) != len(X):
        raise TableError(f"y must have shape ({len(X)},) like the rows of X, got {y.shape}.")
    frame = pl.DataFrame({f"x{i}": column for i, column in enumerate(X.T)})
    return encode_table(frame.with_columns(pl.Series("y", y)), "y", task=task)


def _counts_rows(column: pl.Series) -> bool:
    if not column.dtype.is_integer() or column.n_unique() < len(column):
        return False
    values = column.to_numpy()
    return int(values.max()) - int(values.min()) == len(values) - 1


def _guess_task(response: pl.Series, notes: list[str]) -> Task:
    if is_text(response.dtype) or response.dtype == pl.Boolean:
        return "classification"
    if not response.dtype.is_numeric():
        raise TableError(
            f"The target {response.name!r} holds {response.dtype}; use numbers or text."
        )
    if response.dtype.is_integer():
        values = response.n_unique()
        if values <= 10 and 10 * values <= len(response):
            notes.append(
                f"The target {response.name!r} holds {values} different integers and is taken "
                "for classes; --task regression says otherwise."
            )
            return "classification"
    return "regression"
