"""Figures of a sweep, and the geometry of a penalty. Every function returns the Figure.

They need the extra `plots`. Colours are those of Okabe and Ito, which the colour blind can
tell apart; lines differ in dash or marker too.
"""

from regjax.plots.geometry import geometry
from regjax.plots.sweep import (
    coefficient_paths,
    loss_over_lambda,
    result_geometry,
    save_figures,
    sparsity_and_condition,
    weight_distributions,
)

__all__ = [
    "coefficient_paths",
    "geometry",
    "loss_over_lambda",
    "result_geometry",
    "save_figures",
    "sparsity_and_condition",
    "weight_distributions",
]
