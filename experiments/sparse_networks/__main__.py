"""Command: `python -m experiments.sparse_networks`."""

import pathlib

from experiments.report import run_command
from experiments.sparse_networks import Config, draw, run

run_command(pathlib.Path(__file__).parent, Config(), run, draw)
