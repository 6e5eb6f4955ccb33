"""Command: `python -m experiments.sparse_autoencoder`."""

import pathlib

from experiments.report import run_command
from experiments.sparse_autoencoder import Config, draw, run

run_command(pathlib.Path(__file__).parent, Config(), run, draw)
