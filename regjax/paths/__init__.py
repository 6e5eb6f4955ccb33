"""Whole paths of ridge, lasso and elastic net, every solution with its duality gap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regjax.paths.cross_validation import elastic_net_cv, lasso_cv, multi_task_cv
from regjax.paths.folds import k_folds, time_ordered_folds
from regjax.paths.leave_one_out import ridge_cv
from regjax.paths.path import elastic_net_path, lasso_path, multi_task_path, ridge_path
from regjax.paths.results import ConvergenceWarning, CrossValidation, Path
from regjax.paths.select import Engine, select_engine
from regjax.paths.settings import JointSettings, PathSettings
from regjax.paths.statistics import (
    SufficientStatistics,
    fold_statistics,
    statistics_of_batches,
    sufficient_statistics,
)

if TYPE_CHECKING:
    from regjax.paths.sharded import sharded_statistics

__all__ = [
    "ConvergenceWarning",
    "CrossValidation",
    "Engine",
    "JointSettings",
    "Path",
    "PathSettings",
    "SufficientStatistics",
    "elastic_net_cv",
    "elastic_net_path",
    "fold_statistics",
    "k_folds",
    "lasso_cv",
    "lasso_path",
    "multi_task_cv",
    "multi_task_path",
    "ridge_cv",
    "ridge_path",
    "select_engine",
    "sharded_statistics",
    "statistics_of_batches",
    "sufficient_statistics",
    "time_ordered_folds",
]


def __getattr__(name: str) -> Any:
    # The one function that needs jax to be imported.
    if name == "sharded_statistics":
        from regjax.paths.sharded import sharded_statistics

        return sharded_statistics
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
