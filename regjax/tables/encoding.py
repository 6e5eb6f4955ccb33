"""What was learned of the columns of a table, and how they become features."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import polars as pl

from regjax._messages import listed, quoted
from regjax.tables._columns import Rows, TableError, by_name, incomplete, place, refuse_missing
from regjax.tables._levels import Column
from regjax.tables._values import values_of
from regjax.tables.frames import as_frame
from regjax.tables.options import ReadOptions

Task = Literal["regression", "classification"]


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How the columns of a table become features, and what the response is.

    Made by `encode_table`. A row is encoded by itself: its features do not depend on the rows or
    the columns beside it, nor on whether they come from a file or a data frame.

    Attributes:
        columns: input columns in order, each with its name, its kind ("number", "boolean" or
            "text") and the levels of a text.
        target: name of the response column.
        task: "regression" or "classification".
        classes: labels of a classification in order, as text; empty for a regression.
        read_options: how the table was read, and new ones are, unless said otherwise.
    """

    columns: tuple[Column, ...]
    target: str
    task: Task
    classes: tuple[str, ...] = ()
    # The same rows are the same table, whatever file they come from.
    read_options: ReadOptions = dataclasses.field(default=ReadOptions(), compare=False, repr=False)

    @property
    def feature_names(self) -> list[str]:
        return [name for column in self.columns for name in column.feature_names]

    def encode(self, data: Any, rows: Rows | None = None) -> np.ndarray:
        """Return the features (n_rows, n_features), float64, of a table with these columns.

        They are found by name, in any order and among others, in a data frame of polars, pandas
        or Arrow. Text where the model takes numbers or booleans is read as `read_options` say.

        Args:
            data: the data frame.
            rows: numbers of its rows in messages; by default from 1.

        Raises:
            TableError: for a missing column, a missing or infinite value, a value of another
                type, or a level that was not there when the encoding was learned.
        """
        frame = as_frame(data)
        rows = range(1, frame.height + 1) if rows is None else rows
        values = self._values(frame, rows)
        refuse_missing(values, rows, of_model=True)
        X = np.empty((frame.height, len(self.feature_names)))
        start = 0
        for column in self.columns:
            stop = start + len(column.feature_names)
            _fill(X[:, start:stop], values[column.name], column, rows)
            start = stop
        return X

    def complete(self, data: Any) -> np.ndarray:
        """Return which rows (n_rows,) of a table miss no value in the columns of the encoding.

        Raises:
            TableError: for a missing column, or a value of another type.
        """
        frame = as_frame(data)
        rows = range(1, frame.height + 1)
        return ~incomplete(self._values(frame, rows), frame.height)

    def with_options(self, given: ReadOptions) -> Encoding:
        """Return the encoding with these options over those of the training.

        Raises:
            TableError: if a column named categorical is not text for the model.
        """
        texts = {column.name for column in self.columns if column.kind == "text"}
        wrong = [name for name in given.categorical if name not in texts]
        if wrong:
            raise TableError(
                f"The model does not take {listed(wrong)} for text (--categorical): types are "
                "those of the training."
            )
        return dataclasses.replace(self, read_options=given.over(self.read_options))

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": [list(column) for column in self.columns],
            "target": self.target,
            "task": self.task,
            "classes": self.classes,
            "read_options": self.read_options.to_json(),
        }

    @staticmethod
    def from_json(values: dict[str, Any]) -> Encoding:
        columns = tuple(
            Column(name, kind, tuple(levels)) for name, kind, levels in values["columns"]
        )
        options = ReadOptions(**values["read_options"])
        return Encoding(
            columns, values["target"], values["task"], tuple(values["classes"]), options
        )

    def _values(self, frame: pl.DataFrame, rows: Rows) -> Mapping[str, pl.Series]:
        held = by_name(frame)
        absent = [column.name for column in self.columns if column.name not in held]
        if absent:
            raise TableError(
                f"The table lacks the column(s) {listed(absent)}; it has {listed(frame.columns)}."
            )
        if frame.height == 0:
            raise TableError("The table has no rows.")
        return {
            column.name: values_of(held[column.name], column, self.read_options, rows)
            for column in self.columns
        }


def _fill(X: np.ndarray, values: pl.Series, column: Column, rows: Rows) -> None:
    """Write the features of a column without gaps into X (n_rows, n_features)."""
    if column.kind != "text":
        X[:, 0] = values.to_numpy()
        return
    levels = pl.Enum(list(column.levels))
    codes = values.cast(levels, strict=False)
    if codes.null_count():
        unknown = values.filter(codes.is_null()).unique(maintain_order=True)
        raise TableError(
            f"Column {quoted(column.name)} holds {listed(unknown.sort())}, which the model has "
            f"never seen (first {quoted(unknown[0])}{place(values, unknown[0], rows)}); it knows "
            f"{listed(column.levels)}."
        )
    hot = codes.to_physical().to_numpy()[:, None]
    X[:] = hot == np.arange(len(column.levels) - len(column.shown), len(column.levels))
