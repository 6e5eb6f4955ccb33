"""Lambda sweeps: a grid of strengths as one path, or as lanes of one compiled program.

`sweep` is the main job on a table. Linear regressions run on `regjax.paths`; `run_lanes` is the
engine under all other models, and takes any pure training function of `(hyperparameters, key)`.
"""

import regjax

try:
    from regjax._folders import check_folder
    from regjax.sweeps.catalog import MODELS, MLPOptions
    from regjax.sweeps.fitted import FittedModel
    from regjax.sweeps.job import load_table, sweep
    from regjax.sweeps.lanes.conductor import Progress, SweepInterrupted
    from regjax.sweeps.lanes.grid import Grid, Static, Uniform
    from regjax.sweeps.lanes.legs import EngineError
    from regjax.sweeps.lanes.locks import StoreError
    from regjax.sweeps.lanes.outcome import BestLane, SweepRun
    from regjax.sweeps.lanes.ray_engine import Ray
    from regjax.sweeps.lanes.run import run_sweep
    from regjax.sweeps.lanes.run_lanes import LaneRun, run_lanes
    from regjax.sweeps.lanes.shards import merge_shards
    from regjax.sweeps.lanes.stopping import EarlyStopping, SuccessiveHalving
    from regjax.sweeps.lanes.training import Fit, Training
    from regjax.sweeps.progress import show_progress
    from regjax.sweeps.result import Choice, SweepResult
    from regjax.sweeps.store import load, save_run
    from regjax.sweeps.strengths import CLASSIC_GRID, log_range, parse_grid
except ModuleNotFoundError as error:
    raise regjax._missing_extra(__name__, error) from error

__all__ = [
    "CLASSIC_GRID",
    "MODELS",
    "BestLane",
    "Choice",
    "EarlyStopping",
    "EngineError",
    "Fit",
    "FittedModel",
    "Grid",
    "LaneRun",
    "MLPOptions",
    "Progress",
    "Ray",
    "Static",
    "StoreError",
    "SuccessiveHalving",
    "SweepInterrupted",
    "SweepResult",
    "SweepRun",
    "Training",
    "Uniform",
    "check_folder",
    "load",
    "load_table",
    "log_range",
    "merge_shards",
    "parse_grid",
    "run_lanes",
    "run_sweep",
    "save_run",
    "show_progress",
    "sweep",
]
