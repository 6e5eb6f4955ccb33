"""Command: `python -m experiments.routes_to_l1`."""

from experiments import routes_to_l1
from experiments.report import run_command

run_command(routes_to_l1)
