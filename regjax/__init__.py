"""Regularization for JAX: objective = loss + lambda * penalty, from the formula to production.

Penalties and the functions used with them are importable from here. Further rooms:

    regjax.conventions   one lambda, and every other library's
    regjax.masks         which leaves of a parameter tree are penalised
    regjax.transforms    optax GradientTransformations
    regjax.solvers       from arrays to a solution
    regjax.paths         ridge, lasso and elastic net at every lambda, certified
    regjax.regression    ridge, lasso and elastic net by descent
    regjax.diagnostics   weight statistics, sparsity, pruning, condition number
    regjax.sweeps        vmapped lambda sweeps (extra `sweep`)
    regjax.plots         figures (extra `plots`)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from regjax import (
    conventions,
    diagnostics,
    losses,
    masks,
    paths,
    penalties,
    regression,
    solvers,
    transforms,
)
from regjax.conventions import regularization_loss
from regjax.objectives import activation_l1, activation_l2, penalized_loss
from regjax.paths import elastic_net_path, lasso_path, ridge_path
from regjax.penalties import (
    L0,
    L1,
    L2,
    Box,
    ElasticNet,
    GroupLasso,
    MaxNorm,
    NonNegative,
    Penalty,
    Sum,
    UnitNorm,
    box_penalty,
    box_prox,
    elastic_net_gradient,
    elastic_net_penalty,
    elastic_net_prox,
    gaussian_log_prior,
    group_lasso_gradient,
    group_lasso_penalty,
    group_lasso_prox,
    l0_penalty,
    l0_prox,
    l1_gradient,
    l1_penalty,
    l1_prox,
    l2_gradient,
    l2_penalty,
    l2_prox,
    laplace_log_prior,
    mask_penalty,
    max_norm_penalty,
    max_norm_prox,
    non_negative_penalty,
    non_negative_prox,
    unit_norm_penalty,
    unit_norm_prox,
)
from regjax.regression import ElasticNetRegression, LassoRegression, RidgeRegression
from regjax.solvers import ridge_closed_form
from regjax.transforms import sgd_with_weight_decay

if TYPE_CHECKING:
    from regjax import plots, sweeps
    from regjax.sweeps import load, sweep

__version__ = "0.1.0"

# Rooms that need an extra, and what of them is importable from here: loaded on first use.
_LAZY = {"load": "regjax.sweeps", "sweep": "regjax.sweeps", "plots": None, "sweeps": None}

__all__ = [
    "L0",
    "L1",
    "L2",
    "Box",
    "ElasticNet",
    "ElasticNetRegression",
    "GroupLasso",
    "LassoRegression",
    "MaxNorm",
    "NonNegative",
    "Penalty",
    "RidgeRegression",
    "Sum",
    "UnitNorm",
    "activation_l1",
    "activation_l2",
    "box_penalty",
    "box_prox",
    "conventions",
    "diagnostics",
    "elastic_net_gradient",
    "elastic_net_path",
    "elastic_net_penalty",
    "elastic_net_prox",
    "gaussian_log_prior",
    "group_lasso_gradient",
    "group_lasso_penalty",
    "group_lasso_prox",
    "l0_penalty",
    "l0_prox",
    "l1_gradient",
    "l1_penalty",
    "l1_prox",
    "l2_gradient",
    "l2_penalty",
    "l2_prox",
    "laplace_log_prior",
    "lasso_path",
    "load",
    "losses",
    "mask_penalty",
    "masks",
    "max_norm_penalty",
    "max_norm_prox",
    "non_negative_penalty",
    "non_negative_prox",
    "paths",
    "penalized_loss",
    "penalties",
    "plots",
    "regression",
    "regularization_loss",
    "ridge_closed_form",
    "ridge_path",
    "sgd_with_weight_decay",
    "solvers",
    "sweep",
    "sweeps",
    "transforms",
    "unit_norm_penalty",
    "unit_norm_prox",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'regjax' has no attribute {name!r}")
    home = _LAZY[name]
    try:
        module = importlib.import_module(home or f"regjax.{name}")
    except ModuleNotFoundError as error:
        extra = "plots" if name == "plots" else "sweep"
        raise ModuleNotFoundError(
            f"regjax.{name} needs {error.name}; install it with: pip install 'regjax[{extra}]'",
            name=error.name,
        ) from error
    return module if home is None else getattr(module, name)
