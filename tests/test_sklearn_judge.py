"""The judge of `tests/outside`: it counts what fitted, and knows both kinds of surprise."""

from tests.outside.__main__ import judge, reason_of
from tests.outside.known import KNOWN


def outcome(test, outcome, fitted=("Lasso",)):
    return {"test": test, "outcome": outcome, "fitted": list(fitted)}


def as_known(n_passed=2000):
    """Return outcomes in which every known failure fails once, and nothing else."""
    failed = [outcome(pattern.replace("*", "x"), "failed") for pattern in KNOWN]
    return failed + [outcome(f"test_a.py::test_{i}", "passed") for i in range(n_passed)]


def test_brackets_in_patterns_are_brackets():
    assert reason_of("test_ridge.py::test_n_iter")
    assert reason_of("test_ridge.py::test_n_iter[1]") is None
    assert reason_of("test_ridge.py::test_ridge_regression[wide-svd]")
    assert reason_of("test_ridge.py::test_ridge_regression_of_more[wide-svd]") is None


def test_all_is_well_when_what_is_known_fails_and_no_more():
    lines, faults = judge(as_known())
    assert faults == []
    assert f"**2000 of {2000 + len(KNOWN)} tests" in "\n".join(lines)


def test_a_failure_that_is_not_listed_is_a_fault():
    _, faults = judge([*as_known(), outcome("test_a.py::test_new", "failed")])
    assert faults == ["not in known.py: test_a.py::test_new"]
    # Even where no drop-in was fitted.
    _, faults = judge([*as_known(), outcome("test_a.py::test_new", "failed", [])])
    assert len(faults) == 1


def test_a_listed_failure_that_passes_is_a_fault():
    outcomes = as_known()
    first, *rest = outcomes
    _, faults = judge([first | {"outcome": "passed"}, *rest])
    assert len(faults) == 1
    assert next(iter(KNOWN)) in faults[0]


def test_only_tests_that_fitted_a_drop_in_make_the_share():
    few = as_known(n_passed=len(KNOWN))
    beside = [outcome(f"test_a.py::test_beside_{i}", "passed", []) for i in range(5000)]
    _, faults = judge(few + beside)
    assert faults == ["the share is below 95 %"]
