"""Command: `python -m experiments.bias_variance_over_lambda`."""

from experiments import bias_variance_over_lambda
from experiments.report import run_command

run_command(bias_variance_over_lambda)
