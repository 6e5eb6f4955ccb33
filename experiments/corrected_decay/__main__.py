"""Command: `python -m experiments.corrected_decay`."""

from experiments import corrected_decay
from experiments.report import run_command

run_command(corrected_decay)
