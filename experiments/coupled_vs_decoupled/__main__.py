"""Command: `python -m experiments.coupled_vs_decoupled`."""

from experiments import coupled_vs_decoupled
from experiments.report import run_command

run_command(coupled_vs_decoupled)
