"""Write the first test that fails, by its node id, into a file named by the environment."""

import os
import pathlib

FAILED = "REGJAX_FIRST_FAILURE"


def _note(report):
    file = pathlib.Path(os.environ[FAILED])
    if report.failed and not file.exists():
        file.write_text(report.nodeid)


def pytest_runtest_logreport(report):
    _note(report)


def pytest_collectreport(report):
    _note(report)
