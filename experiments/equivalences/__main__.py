"""Command: `python -m experiments.equivalences`."""

from experiments import equivalences
from experiments.report import run_command

run_command(equivalences)
