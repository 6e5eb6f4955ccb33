"""Command: `python -m experiments.diabetes_path`."""

import pathlib

from experiments.diabetes_path import Config, draw, run
from experiments.report import run_command

run_command(pathlib.Path(__file__).parent, Config(), run, draw)
