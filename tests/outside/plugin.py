"""A pytest plugin that puts the drop-ins in the place of scikit-learn's classes.

Loaded before any test module is imported (`-p tests.outside.plugin`). It notes for every test which
drop-ins it fitted, and hands the outcomes to `python -m tests.outside` as one line of JSON each.
"""

import functools
import json
import os

import pytest
from sklearn import linear_model
from sklearn.linear_model import _coordinate_descent, _ridge

import regjax.sklearn

OUTCOMES = "REGJAX_OUTSIDE_OUTCOMES"

_fitted = set()


def _noting(fit):
    @functools.wraps(fit)
    def noted(self, *args, **kwargs):
        _fitted.add(type(self).__name__)
        return fit(self, *args, **kwargs)

    return noted


def _replace():
    for name in regjax.sklearn.__all__:
        drop_in = getattr(regjax.sklearn, name)
        drop_in.fit = _noting(drop_in.fit)
        for module in (linear_model, _coordinate_descent, _ridge):
            if hasattr(module, name):
                setattr(module, name, drop_in)


def pytest_configure():
    _replace()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    _fitted.clear()
    yield
    item.user_properties.append(("fitted", sorted(_fitted)))


def pytest_runtest_logreport(report):
    """Write down what became of a test; with several workers the first process alone does."""
    if "PYTEST_XDIST_WORKER" in os.environ or OUTCOMES not in os.environ:
        return
    if report.when != "call" and report.outcome == "passed":
        return
    outcome = "xfailed" if hasattr(report, "wasxfail") else report.outcome
    _, _, name = report.nodeid.rpartition("/")
    line = {
        "test": name,
        "outcome": outcome,
        "fitted": dict(report.user_properties).get("fitted", []),
        "message": str(report.longrepr)[-300:] if outcome == "failed" else "",
    }
    with open(os.environ[OUTCOMES], "a") as file:
        file.write(json.dumps(line) + "\n")
