"""Experiments: one published claim each, run by `python -m experiments.<name>`."""
