"""Command: `python -m experiments.where_optimizers_end`."""

import pathlib
import shutil

from experiments.report import run_command
from experiments.where_optimizers_end import Config, draw, run

folder = pathlib.Path(__file__).parent
run_command(folder, Config(), run, draw)
shutil.copy(folder / "figure.png", folder.parents[1] / "docs/figures/where_optimizers_end.png")
