"""Write the test at work, and the first that fails, by node id into files that are named so."""

import os
import pathlib

FOLDER = "REGJAX_MUTANTS_NOTES"
FAILED, RUNNING = "failed", "running"


def _write(name, nodeid):
    (pathlib.Path(os.environ[FOLDER]) / name).write_text(nodeid)


def pytest_runtest_logstart(nodeid):
    _write(RUNNING, nodeid)


def pytest_runtest_logreport(report):
    # Tests stop at the first failure; what fails after it is its teardown.
    if report.failed and not (pathlib.Path(os.environ[FOLDER]) / FAILED).exists():
        _write(FAILED, report.nodeid)


pytest_collectreport = pytest_runtest_logreport
