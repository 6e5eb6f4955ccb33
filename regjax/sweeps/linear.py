"""The linear models by their task: least squares, or softmax regression."""

from __future__ import annotations

from regjax.sweeps.least_squares import LeastSquaresModel
from regjax.sweeps.softmax import SoftmaxModel
from regjax.tables import Task

LinearModel = LeastSquaresModel | SoftmaxModel


def linear_model(task: Task, n_outputs: int) -> LinearModel:
    """Return the linear model for `task`, with one output or one per class."""
    if task == "regression":
        return LeastSquaresModel(task, n_outputs)
    return SoftmaxModel(task, n_outputs)
