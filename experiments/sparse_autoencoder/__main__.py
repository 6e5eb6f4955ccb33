"""Command: `python -m experiments.sparse_autoencoder`."""

from experiments import sparse_autoencoder
from experiments.report import run_command

run_command(sparse_autoencoder)
