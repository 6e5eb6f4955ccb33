"""Tables: from a file or a data frame to a matrix of features and a response.

Reading, encoding and refusing happen here, before any training. Numbers and booleans are
taken as they are; a text column with two values becomes one 0/1 column, one with more
becomes a 0/1 column per value, named `column=value`. Missing values, infinities, dates and
columns that look like identifiers are refused by name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl

Task = Literal["regression", "classification"]

_MISSING = ["", "NA", "N/A", "nan", "NaN", "null", "NULL", "?"]
_MOST_LEVELS = 1000


class TableError(ValueError):
    """A table that cannot be used as it is; the message says what to change."""


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
        return [name for column in self.columns for name in _feature_names(*column)]

    def encode(self, frame: pl.DataFrame) -> np.ndarray:
        """Return the features (n_rows, n_features), float64, of a table with these columns.

        Raises:
            TableError: for a missing column, a missing or infinite value, a type that
                changed, or a level that was not there when the encoding was learned.
        """
        absent = [name for name, _ in self.columns if name not in frame.columns]
        if absent:
            raise TableError(f"The table lacks the column(s) {_quoted(absent)}.")
        if frame.height == 0:
            raise TableError("The table has no rows.")
        _refuse_missing(frame.select([name for name, _ in self.columns]))
        parts = [_encode_column(frame[name], levels) for name, levels in self.columns]
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


def read_table(path: str | pathlib.Path) -> pl.DataFrame:
    """Return the CSV, TSV or Parquet file at `path` as a data frame.

    Raises:
        TableError: if it does not exist, is a folder, is empty or cannot be read as a table.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "houses.csv"
        ...     _ = path.write_text("area,price\\n50,100\\n80,150\\n")
        ...     read_table(path).shape
        (2, 2)
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise TableError(f"There is no file {str(path)!r}.")
    if path.is_dir():
        raise TableError(f"{str(path)!r} is a folder; give a CSV or Parquet file.")
    if path.stat().st_size == 0:
        raise TableError(f"{str(path)!r} is empty.")
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".txt", ".parquet"):
        raise TableError(
            f"{str(path)!r} has no known ending; tables are .csv, .tsv, .txt (tabs) or .parquet."
        )
    try:
        if suffix == ".parquet":
            frame = pl.read_parquet(path)
        else:
            _check_utf8(path)
            frame = pl.read_csv(
                path,
                separator="," if suffix == ".csv" else "\t",
                null_values=_MISSING,
                infer_schema_length=None,
            )
    except (pl.exceptions.PolarsError, UnicodeDecodeError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TableError(
            f"{str(path)!r} cannot be read as a table: {reason}. Has every row as many fields as "
            "the header?"
        ) from error
    if frame.width == 1 and suffix == ".csv" and any(c in frame.columns[0] for c in ";\t"):
        raise TableError(
            f"{str(path)!r} has no commas; it looks separated by semicolons or tabs. Write it with "
            "commas, or with tabs and the ending .tsv."
        )
    names = set(frame.columns)
    twice = [
        match[1]
        for name in frame.columns
        if (match := re.fullmatch(r"(.*)_duplicated_\d+", name)) and match[1] in names
    ]
    if twice:
        raise TableError(f"{str(path)!r} has several columns named {_quoted(twice)}; rename them.")
    if frame.height == 0:
        raise TableError(f"{str(path)!r} has a header but no rows.")
    return frame


def _check_utf8(path: pathlib.Path) -> None:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError as error:
        raise TableError(
            f"{str(path)!r} cannot be read: it is not UTF-8 (byte {error.start} of a block); save "
            "it as UTF-8."
        ) from error


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
            f"There is no column {_quoted(unknown)}; the table has {_quoted(frame.columns)}."
        )
    if target in drop:
        raise TableError(f"The target {target!r} cannot be dropped.")
    frame = frame.drop(list(drop))
    features = [name for name in frame.columns if name != target]
    if not features:
        raise TableError(f"{target!r} is the only column: there is nothing to predict it from.")
    if frame.height < 3:
        raise TableError(f"The table has {frame.height} row(s); a sweep needs at least 3.")
    _refuse_missing(frame)
    notes: list[str] = []
    columns = tuple((name, _levels(frame[name])) for name in features)
    response = frame[target]
    task = task or _guess_task(response, notes)
    classes: tuple[str, ...] = ()
    if response.n_unique() == 1:
        raise TableError(f"The target {target!r} is constant: there is nothing to learn.")
    if task == "classification":
        order = response.unique().sort()
        classes = tuple(_text(order).to_list())
        if len(classes) > max(2, frame.height // 2):
            raise TableError(
                f"The target {target!r} has {len(classes)} values in {frame.height} rows: too "
                "many classes. Is it a regression (--task regression)?"
            )
        position = {label: i for i, label in enumerate(classes)}
        y = np.array([position[label] for label in _text(response)])
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
        raise TableError(f"Several features are named {_quoted(twice)}: rename a column.")
    X = encoding.encode(frame)
    with np.errstate(over="ignore", invalid="ignore"):
        deviation, spread = X.std(axis=0), np.ptp(X, axis=0)
    lost = ~np.isfinite(deviation) | ((deviation == 0) & (spread > 0))
    if lost.any():
        named = [name for name, flag in zip(names, lost, strict=True) if flag]
        raise TableError(
            f"The values of {_quoted(named)} are too large or too small to be squared: rescale "
            "them."
        )
    notes += [
        f"Column {name!r} counts the rows; if it is an identifier, drop it (--drop NAME)."
        for name in features
        if _counts_rows(frame[name])
    ]
    constant = [name for name, width in zip(names, spread, strict=True) if width == 0]
    if constant:
        notes.append(f"Constant column(s) {_quoted(constant)} get the coefficient 0.")
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


def _quoted(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _is_text(dtype: pl.DataType) -> bool:
    return dtype in (pl.String, pl.Categorical, pl.Enum)


def _text(column: pl.Series) -> pl.Series:
    return column.cast(pl.String)


def _refuse_missing(frame: pl.DataFrame) -> None:
    missing, infinite = [], []
    for column in frame:
        nulls = column.null_count()
        if column.dtype.is_float():
            nulls += int(column.is_nan().sum())
            if column.is_infinite().any():
                infinite.append(column.name)
        if nulls:
            missing.append(f"{column.name!r} ({nulls})")
    if missing:
        raise TableError(
            f"Missing values in column(s) {', '.join(missing)}: drop those rows or columns "
            "(--drop NAME), or fill the values in first."
        )
    if infinite:
        raise TableError(f"Infinite values in column(s) {_quoted(infinite)}: remove those rows.")


def _counts_rows(column: pl.Series) -> bool:
    if not column.dtype.is_integer() or column.n_unique() < len(column):
        return False
    values = column.to_numpy()
    return int(values.max()) - int(values.min()) == len(values) - 1


def _levels(column: pl.Series) -> tuple[str, ...] | None:
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        return None
    if not _is_text(column.dtype):
        raise TableError(
            f"Column {column.name!r} holds {column.dtype}, which has no encoding: turn it into "
            "numbers or drop it (--drop NAME)."
        )
    levels = _text(column).unique().sort().to_list()
    if len(levels) > _MOST_LEVELS or len(levels) > max(10, len(column) // 2):
        raise TableError(
            f"Column {column.name!r} has {len(levels)} different texts in {len(column)} rows "
            "and looks like an identifier: drop it (--drop NAME)."
        )
    return tuple(levels)


def _feature_names(name: str, levels: tuple[str, ...] | None) -> list[str]:
    if levels is None:
        return [name]
    shown = levels[1:] if len(levels) == 2 else levels
    return [f"{name}={level}" for level in shown]


def _encode_column(column: pl.Series, levels: tuple[str, ...] | None) -> np.ndarray:
    if levels is None:
        if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
            raise TableError(f"Column {column.name!r} holds {column.dtype} instead of numbers.")
        return column.cast(pl.Float64).to_numpy().reshape(-1, 1)
    values = _text(column).to_numpy()
    unknown = sorted(set(values) - set(levels))
    if unknown:
        raise TableError(
            f"Column {column.name!r} holds {_quoted(unknown)}, which the model has never seen; "
            f"it knows {_quoted(levels)}."
        )
    shown = levels[1:] if len(levels) == 2 else levels
    return np.stack([values == level for level in shown], axis=1).astype(np.float64)


def _guess_task(response: pl.Series, notes: list[str]) -> Task:
    if _is_text(response.dtype) or response.dtype == pl.Boolean:
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
