"""Paths and cross-validation beside other libraries: `python -m benchmarks.paths`."""
