"""Command: `python -m experiments.where_optimizers_end`."""

from experiments import where_optimizers_end
from experiments.report import run_command

run_command(where_optimizers_end)
