"""Command: `python -m experiments.sparse_networks`."""

from experiments import sparse_networks
from experiments.report import run_command

run_command(sparse_networks)
