"""Command: `python -m experiments.rotational_equilibrium`."""

from experiments import rotational_equilibrium
from experiments.report import run_command

run_command(rotational_equilibrium)
