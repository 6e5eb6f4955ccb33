"""Data frames as a matrix of features and a response, and what was learned of their columns."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl

from regjax._messages import listed
from regjax.tables._columns import (
    TableError,
    as_weights,
    check_feature_names,
    check_roles,
    encode_column,
    feature_names,
    is_text,
    levels,
    no_numbers,
    refuse_missing,
    text,
    too_wide,
)
from regjax.tables.frames import as_frame

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

    def encode(self, data: Any) -> np.ndarray:
        """Return the features (n_rows, n_features), float64, of a table with these columns.

        They are found by name, in any order and among others, in a data frame of polars, pandas
        or Arrow.

        Raises:
            TableError: for a missing column, a missing or infinite value, a type that
                changed, or a level that was not there when the encoding was learned.
        """
        frame = as_frame(data)
        absent = [name for name, _ in self.columns if name not in frame.columns]
        if absent:
            raise TableError(
                f"The table lacks the column(s) {listed(absent)}; it has {listed(frame.columns)}."
            )
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
        sample_weight: (n_samples,) of a column of weights, or None.
        groups: (n_samples,) labels, as text, of rows that belong together, or None.
    """

    X: np.ndarray
    y: np.ndarray
    encoding: Encoding
    notes: tuple[str, ...] = ()
    source: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sample_weight: np.ndarray | None = None
    groups: np.ndarray | None = None

    @property
    def n_rows(self) -> int:
        return len(self.y)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of features, response and names, and of weights and groups, in hexadecimal."""
        digest = hashlib.sha256(repr(self.encoding).encode())
        digest.update(self.X.tobytes())
        digest.update(self.y.tobytes())
        if self.sample_weight is not None:
            digest.update(self.sample_weight.tobytes())
        if self.groups is not None:
            digest.update(repr(self.groups.tolist()).encode())
        return digest.hexdigest()


def encode_table(
    data: Any,
    target: str,
    *,
    task: Task | None = None,
    drop: Sequence[str] = (),
    weight: str | None = None,
    groups: str | None = None,
) -> Table:
    """Return features and response of a data frame of polars, pandas or Arrow.

    Args:
        data: one row per sample.
        target: name of the response column.
        task: by default classification for text, booleans, and integers with at most 10
            values, each on average in 10 rows or more; regression for other numbers.
        drop: columns to leave out.
        weight: name of a column of sample weights, at least 0, which is no feature.
        groups: name of a column that tells which rows belong together, which is no feature.

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
    frame = as_frame(data)
    roles = [name for name in (weight, groups) if name is not None]
    check_roles(frame.columns, target, roles, drop)
    frame = frame.drop(list(drop))
    features = [name for name in frame.columns if name not in (target, *roles)]
    if not features:
        raise TableError(f"There is nothing but {listed([target, *roles])} to predict from.")
    if frame.height < 3:
        raise TableError(f"The table has {frame.height} row(s); a fit needs at least 3.")
    refuse_missing(frame)
    notes: list[str] = []
    columns = tuple((name, levels(frame[name], frame.height)) for name in features)
    response = frame[target]
    if not (is_text(response.dtype) or response.dtype.is_numeric() or response.dtype == pl.Boolean):
        raise TableError(f"The target {target!r} holds {response.dtype}; use numbers or text.")
    task = task or _guess_task(response, notes)
    classes: tuple[str, ...] = ()
    if response.n_unique() == 1:
        raise TableError(f"The target {target!r} is constant: there is nothing to learn.")
    if task == "classification":
        order = response.unique().sort()
        classes = tuple(text(order).to_list())
        if len(classes) > max(2, frame.height // 2):
            raise _too_many_classes(response, len(classes))
        # By values, not by labels: -0.0 and 0.0 are one class.
        position = {value: i for i, value in enumerate(order.to_list())}
        y = np.array([position[value] for value in response.to_list()])
    else:
        if not (response.dtype.is_numeric() or response.dtype == pl.Boolean):
            raise TableError(
                f"The target {target!r} holds {response.dtype}, not numbers; use "
                "--task classification."
            )
        y = response.cast(pl.Float64).to_numpy()
        if too_wide(y[:, None]).any():
            raise TableError(
                f"The values of the target {target!r} are too large or too small to be squared: "
                "rescale them."
            )
    encoding = Encoding(columns, target, task, classes)
    names = encoding.feature_names
    check_feature_names(names)
    X = encoding.encode(frame)
    lost = too_wide(X)
    if lost.any():
        named = [name for name, flag in zip(names, lost, strict=True) if flag]
        raise TableError(
            f"The values of {listed(named)} are too large or too small to be squared: rescale them."
        )
    notes += [
        f"Column {name!r} counts the rows; if it is an identifier, drop it (--drop NAME)."
        for name in features
        if _counts_rows(frame[name])
    ]
    mixed = {name: no_numbers(frame[name]) for name, levels in columns if levels is not None}
    notes += [
        f"Column {name!r} holds numbers, but also {odd!r}, and is taken for text: one feature per "
        "value."
        for name, odd in mixed.items()
        if odd is not None
    ]
    constant = [name for name, width in zip(names, np.ptp(X, axis=0), strict=True) if width == 0]
    if constant:
        notes.append(f"Constant column(s) {listed(constant)} get the coefficient 0.")
    sample_weight = None if weight is None else as_weights(frame[weight])
    if sample_weight is not None and not sample_weight.any():
        raise TableError(f"The weights {weight!r} are all 0.")
    dtype = np.int32 if task == "classification" else np.float64
    return Table(
        X,
        y.astype(dtype),
        encoding,
        tuple(notes),
        sample_weight=sample_weight,
        groups=None if groups is None else text(frame[groups]).to_numpy(),
    )


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


def _too_many_classes(response: pl.Series, n_classes: int) -> TableError:
    name, odd = response.name, no_numbers(response)
    if odd is not None:
        return TableError(f"The target {name!r} holds numbers, but also {odd!r}: mend these rows.")
    hint = "it looks like an identifier; name another column."
    if response.dtype.is_numeric():
        hint = "is it a regression (--task regression)?"
    return TableError(
        f"The target {name!r} has {n_classes} values in {len(response)} rows, too many for "
        f"classes: {hint}"
    )


def _counts_rows(column: pl.Series) -> bool:
    if not column.dtype.is_integer() or column.n_unique() < len(column):
        return False
    values = column.sort()
    return int(values[-1]) - int(values[0]) == len(values) - 1


def _guess_task(response: pl.Series, notes: list[str]) -> Task:
    if is_text(response.dtype) or response.dtype == pl.Boolean:
        return "classification"
    if response.dtype.is_integer():
        values = response.n_unique()
        if values <= 10 and 10 * values <= len(response):
            notes.append(
                f"The target {response.name!r} holds {values} different integers and is taken "
                "for classes; --task regression says otherwise."
            )
            return "classification"
    return "regression"
