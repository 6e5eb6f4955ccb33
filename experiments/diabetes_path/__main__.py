"""Command: `python -m experiments.diabetes_path`."""

from experiments import diabetes_path
from experiments.report import run_command

run_command(diabetes_path)
