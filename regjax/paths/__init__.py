"""Whole paths of ridge, lasso and elastic net, every solution with its duality gap."""

from regjax.paths.path import (
    ConvergenceWarning,
    Path,
    elastic_net_path,
    lasso_path,
    ridge_path,
)
from regjax.paths.statistics import SufficientStatistics, sufficient_statistics

__all__ = [
    "ConvergenceWarning",
    "Path",
    "SufficientStatistics",
    "elastic_net_path",
    "lasso_path",
    "ridge_path",
    "sufficient_statistics",
]
