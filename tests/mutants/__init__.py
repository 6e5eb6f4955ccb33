"""Single-line breaks of the package, and whether a test notices: `python -m tests.mutants`."""
