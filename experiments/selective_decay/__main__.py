"""Command: `python -m experiments.selective_decay`."""

from experiments import selective_decay
from experiments.report import run_command

run_command(selective_decay)
