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
    regjax.fits          paths and cross-validation of a table (extra `sweep`)
    regjax.plots         figures (extra `plots`)
    regjax.sklearn       scikit-learn's estimators on these paths (extra `sklearn`)

A room is loaded when something of it is first used: `regjax.paths` runs without loading jax.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

__version__ = "0.1.0"

# Every room, and what of it is importable from here; for type checkers again in __init__.pyi.
_ROOMS = {
    "conventions": ["regularization_loss"],
    "datasets": [],
    "diagnostics": [],
    "fits": [],
    "losses": [],
    "masks": [],
    "objectives": ["activation_l1", "activation_l2", "penalized_loss"],
    "paths": [
        "elastic_net_cv",
        "elastic_net_path",
        "lasso_cv",
        "lasso_path",
        "multi_task_cv",
        "multi_task_path",
        "ridge_cv",
        "ridge_path",
    ],
    "penalties": [
        "L0",
        "L1",
        "L2",
        "Box",
        "ElasticNet",
        "GroupLasso",
        "MaxNorm",
        "NonNegative",
        "Penalty",
        "Sum",
        "UnitNorm",
        "box_penalty",
        "box_prox",
        "elastic_net_gradient",
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
        "mask_penalty",
        "max_norm_penalty",
        "max_norm_prox",
        "non_negative_penalty",
        "non_negative_prox",
        "unit_norm_penalty",
        "unit_norm_prox",
    ],
    "plots": [],
    "regression": ["ElasticNetRegression", "LassoRegression", "RidgeRegression"],
    # Its names are those of scikit-learn, and `ElasticNet` is a penalty here.
    "sklearn": [],
    "solvers": ["ridge_closed_form"],
    "sweeps": ["load", "sweep"],
    "tables": [],
    "transforms": ["sgd_with_weight_decay"],
}

# Rooms that need an extra: its name, and the packages of it that they load.
_EXTRAS = {
    "datasets": ("sweep", ["polars"]),
    "fits": ("sweep", ["polars"]),
    "plots": ("plots", ["matplotlib"]),
    "sklearn": ("sklearn", ["sklearn"]),
    "sweeps": ("sweep", ["equinox", "polars", "safetensors"]),
    "tables": ("sweep", ["polars"]),
}

_HOMES = {name: room for room, names in _ROOMS.items() for name in (room, *names)}


def _is_installed(package: str) -> bool:
    return sys.modules.get(package) is not None or importlib.util.find_spec(package) is not None


# What this installation can give: a name that cannot be loaded would break `import *` and `help`.
_MISSING = {room for room, (_, needs) in _EXTRAS.items() if not all(map(_is_installed, needs))}
__all__ = sorted(name for name, room in _HOMES.items() if room not in _MISSING)


def _missing_extra(module: str, error: ModuleNotFoundError) -> ModuleNotFoundError:
    """Return the error that says which extra brings what `module` cannot be imported without."""
    extra, _ = _EXTRAS[_HOMES[module.split(".")[1]]]
    return ModuleNotFoundError(
        f"{module} needs {error.name}; install it with: pip install 'regjax[{extra}]'",
        name=error.name,
    )


def __getattr__(name: str) -> Any:
    room = _HOMES.get(name)
    if room is None:
        raise AttributeError(f"module 'regjax' has no attribute {name!r}")
    try:
        module = importlib.import_module(f"regjax.{room}")
    except ModuleNotFoundError as error:
        if room not in _EXTRAS:
            raise
        raise _missing_extra(f"regjax.{name}", error) from error
    value = module if name == room else getattr(module, name)
    # The next access finds it without coming here.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    # What this file imports for itself is nothing of the library's.
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
