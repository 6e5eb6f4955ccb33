"""Command: `python -m experiments.l2_and_decay`."""

import pathlib

from experiments.l2_and_decay import Config, draw, run
from experiments.report import run_command

run_command(pathlib.Path(__file__).parent, Config(), run, draw)
