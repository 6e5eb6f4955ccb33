"""Which engine solves a path, and why."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Form = Literal["gram", "columns"]

# Measured: where the exact path of few columns or few rows beats iterations on all lambdas.
_FEW_COLUMNS = 200
_FEW_ROWS = 128
_MANY_COLUMNS = 2000
# So few solutions are left to the active set at once.
_FEW_SOLUTIONS = 8


class Engine(NamedTuple):
    """How a path is solved.

    Attributes:
        form: "gram" works from the second moments of all columns, "columns" from the data.
        method: "spectral" solves ridge at all lambdas by one eigendecomposition; "homotopy" follows
            the lasso exactly from kink to kink; "batched" solves all lambdas together by
            proximal-gradient and conjugate-gradient steps; "active set" solves one lambda after the
            other by Newton steps on the columns in play; "working set" does so on few of many
            columns; "block" on those of a joint path. What a method leaves above `tol` is solved by
            the active set, or the working set.
        reason: why it was chosen.

    Example:
        >>> select_engine(50, 30).method
        'homotopy'
    """

    form: Form
    method: str
    reason: str


def select_engine(
    n_samples: float,
    n_features: int,
    *,
    l1_ratio: float = 1.0,
    bounded: bool = False,
    joint: bool = False,
    n_solutions: int = 100,
    engine: Any = None,
) -> Engine:
    """Return the engine that a path of squared loss is solved by outside of traced code.

    Args:
        n_samples: number of rows, or of statistics the sum of their weights.
        n_features: number of columns.
        l1_ratio: share of the absolute penalty.
        bounded: whether a coefficient has a finite bound.
        joint: whether responses share their zeros.
        n_solutions: lambdas times responses times weightings.
        engine: "gram" or "columns", the form that the caller asks for, or None.

    Returns:
        The form, the method and the reason.

    Raises:
        ValueError: for a form that does not exist.

    Example:
        >>> select_engine(442, 10)[:2], select_engine(100, 20_000, l1_ratio=0.5)[:2]
        (('gram', 'homotopy'), ('columns', 'working set'))
        >>> print(select_engine(10_000, 1_000, l1_ratio=0.5).reason)
        at most 2,000 columns; all lambdas are solved together
    """
    form, why = _form(n_samples, n_features, engine)
    if joint and l1_ratio > 0:
        return Engine(form, "block", f"{why}; the responses share their zeros")
    if l1_ratio == 0 and not bounded:
        return Engine(form, "spectral", f"{why}; ridge without bounds")
    if form == "gram":
        if n_solutions <= _FEW_SOLUTIONS and n_features <= _FEW_COLUMNS:
            return Engine(form, "active set", f"{why}; at most {_FEW_SOLUTIONS} solutions")
        if l1_ratio == 1 and not bounded and n_features <= _FEW_COLUMNS:
            return Engine(form, "homotopy", f"{why}; a lasso of at most {_FEW_COLUMNS} columns")
        return Engine(form, "batched", f"{why}; all lambdas are solved together")
    if l1_ratio == 1 and not bounded and n_samples <= _FEW_ROWS:
        return Engine(form, "homotopy", f"{why}; a lasso of at most {_FEW_ROWS} rows")
    return Engine(form, "working set", f"{why}; few columns are in play at a time")


def _form(n_samples: float, n_features: int, engine: Any) -> tuple[Form, str]:
    if engine in ("gram", "columns"):
        return engine, "asked for"
    if engine is not None:
        raise ValueError(f"engine must be 'gram', 'columns' or None, got {engine!r}.")
    if n_features > _MANY_COLUMNS:
        return "columns", f"more than {_MANY_COLUMNS:,} columns"
    if n_samples <= _FEW_ROWS < n_features:
        return "columns", f"at most {_FEW_ROWS} rows and more columns"
    return "gram", f"at most {_MANY_COLUMNS:,} columns"
