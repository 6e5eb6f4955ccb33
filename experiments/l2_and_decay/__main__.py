"""Command: `python -m experiments.l2_and_decay`."""

from experiments import l2_and_decay
from experiments.report import run_command

run_command(l2_and_decay)
