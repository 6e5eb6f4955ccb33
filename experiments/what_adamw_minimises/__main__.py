"""Command: `python -m experiments.what_adamw_minimises`."""

from experiments import what_adamw_minimises
from experiments.report import run_command

run_command(what_adamw_minimises)
