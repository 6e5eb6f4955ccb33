"""Command: `python -m experiments.lasso_statistics`."""

from experiments import lasso_statistics
from experiments.report import run_command

run_command(lasso_statistics)
