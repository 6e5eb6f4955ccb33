"""Figures of a sweep, of a path, and the geometry of a penalty. Every function returns the Figure.

They need the extra `plots`. Colours are those of Okabe and Ito, which the colour blind can
tell apart; lines differ in dash or marker too.
"""

import regjax

try:
    from regjax.plots.geometry import geometry
    from regjax.plots.lanes import sweep_curves, sweep_heat_map
    from regjax.plots.path import plot_cross_validation, plot_path
    from regjax.plots.sweep import (
        coefficient_paths,
        loss_over_lambda,
        loss_over_rate_and_lambda,
        result_geometry,
        save_figures,
        sparsity_and_condition,
        weight_distributions,
    )
except ModuleNotFoundError as error:
    raise regjax._missing_extra(__name__, error) from error

__all__ = [
    "coefficient_paths",
    "geometry",
    "loss_over_lambda",
    "loss_over_rate_and_lambda",
    "plot_cross_validation",
    "plot_path",
    "result_geometry",
    "save_figures",
    "sparsity_and_condition",
    "sweep_curves",
    "sweep_heat_map",
    "weight_distributions",
]
