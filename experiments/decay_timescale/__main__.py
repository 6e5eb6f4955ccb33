"""Command: `python -m experiments.decay_timescale`."""

from experiments import decay_timescale
from experiments.report import run_command

run_command(decay_timescale)
