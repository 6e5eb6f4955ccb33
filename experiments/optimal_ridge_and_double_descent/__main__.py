"""Command: `python -m experiments.optimal_ridge_and_double_descent`."""

from experiments import optimal_ridge_and_double_descent
from experiments.report import run_command

run_command(optimal_ridge_and_double_descent)
