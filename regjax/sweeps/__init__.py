"""Lambda sweeps: a grid of strengths as one path, or as lanes of one compiled program.

`sweep` is the main job on a table. Linear regressions run on `regjax.paths`; `run_lanes` is the
engine under all other models, and takes any pure training function of `(hyperparameters, key)`.
"""

from regjax.sweeps.catalog import MODELS, MLPOptions
from regjax.sweeps.fitted import FittedModel
from regjax.sweeps.folder import check_folder
from regjax.sweeps.grid import CLASSIC_GRID, log_range, parse_grid
from regjax.sweeps.job import load_table, sweep
from regjax.sweeps.lanes import LaneRun, run_lanes
from regjax.sweeps.result import Choice, SweepResult
from regjax.sweeps.store import load, save_run

__all__ = [
    "CLASSIC_GRID",
    "MODELS",
    "Choice",
    "FittedModel",
    "LaneRun",
    "MLPOptions",
    "SweepResult",
    "check_folder",
    "load",
    "load_table",
    "log_range",
    "parse_grid",
    "run_lanes",
    "save_run",
    "sweep",
]
