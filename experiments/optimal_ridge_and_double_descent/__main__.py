"""Command: `python -m experiments.optimal_ridge_and_double_descent`."""

import pathlib

from experiments.optimal_ridge_and_double_descent import Config, draw, run
from experiments.report import run_command

run_command(pathlib.Path(__file__).parent, Config(), run, draw)
