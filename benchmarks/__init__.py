"""Benchmarks, one command each: `python -m benchmarks.<name>` rewrites `benchmarks/<name>.md`."""
