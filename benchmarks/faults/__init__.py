"""What disturbs a sweep, done for real, and what comes of it: `python -m benchmarks.faults`."""
