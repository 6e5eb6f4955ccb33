"""Data frames as a matrix of features and a response."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from regjax._messages import listed, quoted
from regjax.tables._columns import (
    Rows,
    TableError,
    as_weights,
    by_name,
    check_feature_names,
    check_known,
    check_roles,
    frame_of,
    incomplete,
    is_number,
    is_text,
    place,
    refuse_missing,
    text,
    too_wide,
)
from regjax.tables._levels import Column, learn_column, odd_text, refuse_formatted
from regjax.tables.encoding import Encoding, Task
from regjax.tables.frames import as_frame
from regjax.tables.options import ReadOptions


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
    read_options: ReadOptions | None = None,
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
        read_options: which columns are categorical, and whether rows with missing values are
            left out; what else it says of a text file goes with the encoding.

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
    options = read_options or ReadOptions()
    roles = [name for name in (weight, groups) if name is not None]
    check_roles(frame.columns, target, roles, drop)
    check_known(frame.columns, options.categorical)
    others, dropped = {target, *roles}, set(drop)
    held = {name: column for name, column in by_name(frame).items() if name not in dropped}
    features = [name for name in held if name not in others]
    if not features:
        raise TableError(f"There is nothing but {listed([target, *roles])} to predict from.")
    texts = {*options.categorical, groups}
    for name, column in held.items():
        if is_text(column.dtype) or name in texts:
            held[name] = text(column)
    notes: list[str] = []
    rows: Rows = range(1, frame.height + 1)
    if options.drop_missing:
        held, rows = _complete_rows(held, frame.height, notes)
    if len(rows) < 3:
        raise TableError(f"The table has {len(rows)} row(s); a fit needs at least 3.")
    refuse_missing(held, rows)
    columns = tuple(learn_column(held[name], len(rows), options, rows) for name in features)
    y, task, classes = _response(held[target], task, options, rows, notes)
    encoding = Encoding(columns, target, task, classes, options)
    names = encoding.feature_names
    check_feature_names(names)
    X = encoding.encode(frame_of(held[name] for name in features), rows)
    lost = too_wide(X)
    if lost.any():
        named = [name for name, flag in zip(names, lost, strict=True) if flag]
        raise TableError(
            f"The values of {listed(named)} are too large or too small to be squared: rescale them."
        )
    notes += [
        f"Column {quoted(name)} counts the rows; if it is an identifier, drop it (--drop NAME)."
        for name in features
        if _counts_rows(held[name])
    ]
    notes += _notes_on_texts(columns, options)
    constant = [name for name, width in zip(names, np.ptp(X, axis=0), strict=True) if width == 0]
    if constant:
        notes.append(f"Constant column(s) {listed(constant)} get the coefficient 0.")
    sample_weight = None if weight is None else as_weights(held[weight])
    if sample_weight is not None and not sample_weight.any():
        raise TableError(f"The weights {quoted(weight)} are all 0.")
    return Table(
        X,
        y,
        encoding,
        tuple(notes),
        sample_weight=sample_weight,
        groups=None if groups is None else held[groups].to_numpy(),
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


def _complete_rows(
    columns: dict[str, pl.Series], n_rows: int, notes: list[str]
) -> tuple[dict[str, pl.Series], Rows]:
    """Return the rows that miss no value, and their numbers."""
    lost = incomplete(columns, n_rows)
    if lost.any():
        notes.append(f"{lost.sum():,} of {n_rows:,} rows miss values and are left out.")
        keep = pl.Series(~lost)
        columns = {name: column.filter(keep) for name, column in columns.items()}
    return columns, np.flatnonzero(~lost) + 1


def _response(
    response: pl.Series, task: Task | None, options: ReadOptions, rows: Rows, notes: list[str]
) -> tuple[np.ndarray, Task, tuple[str, ...]]:
    """Return the response (n_samples,), the task and the classes."""
    name, dtype = response.name, response.dtype
    if not (is_text(dtype) or is_number(dtype)):
        raise TableError(f"The target {quoted(name)} holds {dtype}; use numbers or text.")
    if is_text(dtype) and task != "classification" and name not in options.categorical:
        refuse_formatted(
            f"The target {quoted(name)}",
            response,
            response.unique().sort(),
            options,
            rows,
            "or take it for classes with --task classification",
        )
    task = task or _guess_task(response, notes)
    if response.n_unique() == 1:
        raise TableError(f"The target {quoted(name)} is constant: there is nothing to learn.")
    if task == "classification":
        order = response.unique().sort()
        classes = tuple(order.cast(pl.String).to_list())
        if len(classes) > max(2, len(response) // 2):
            raise _too_many_classes(response, len(classes), options, rows)
        # By values, not by labels: -0.0 and 0.0 are one class.
        position = {value: i for i, value in enumerate(order.to_list())}
        labels = [position[value] for value in response.to_list()]
        return np.array(labels, dtype=np.int32), task, classes
    if not is_number(dtype):
        raise TableError(
            f"The target {quoted(name)} holds {dtype}, not numbers; use --task classification."
        )
    y = response.cast(pl.Float64).to_numpy()
    if too_wide(y[:, None]).any():
        raise TableError(
            f"The values of the target {quoted(name)} are too large or too small to be squared: "
            "rescale them."
        )
    return y, task, ()


def _notes_on_texts(columns: Sequence[Column], options: ReadOptions) -> list[str]:
    """Return a note on each text that holds numbers and was not said to be categorical."""
    notes = []
    for column in columns:
        if column.kind != "text" or column.name in options.categorical:
            continue
        odd = odd_text(pl.Series(column.levels), options)
        if odd is not None:
            notes.append(
                f"Column {quoted(column.name)} holds numbers, but also {quoted(odd)}, and is taken "
                "for text: one feature per value."
            )
    return notes


def _too_many_classes(
    response: pl.Series, n_classes: int, options: ReadOptions, rows: Rows
) -> TableError:
    name = quoted(response.name)
    odd = None
    if is_text(response.dtype):
        odd = odd_text(response.unique().sort(), options)
    if odd is not None:
        return TableError(
            f"The target {name} holds numbers, but also {quoted(odd)}{place(response, odd, rows)}: "
            "mend these rows."
        )
    hint = "it looks like an identifier; name another column."
    if response.dtype.is_numeric():
        hint = "is it a regression (--task regression)?"
    return TableError(
        f"The target {name} has {n_classes} values in {len(response)} rows, too many for "
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
                f"The target {quoted(response.name)} holds {values} different integers and is "
                "taken for classes; --task regression says otherwise."
            )
            return "classification"
    return "regression"
