"""Which parameters of a test run in `make test`; the others are slow, and run in `make slow`."""

import itertools

import numpy as np
import pytest


def quick(values, *chosen):
    """Return the values; those that are not among the chosen are slow."""
    assert set(chosen) <= set(values), chosen
    return [v if v in chosen else pytest.param(v, marks=pytest.mark.slow) for v in values]


def every_second(values):
    """Return the values; the first is quick, the second slow, and so on."""
    names = list(values)
    return quick(names, *names[::2])


def half(*axes):
    """Return the product of the axes; every second case is slow, and no pair of values is.

    Any two values are met with one that makes the case quick, where every axis has two or more.
    """
    assert len(axes) > 2
    assert all(len(axis) > 1 for axis in axes)
    cases = []
    for places in itertools.product(*(range(len(axis)) for axis in axes)):
        marks = [pytest.mark.slow] if sum(places) % 2 else []
        values = [list(axis)[place] for axis, place in zip(axes, places, strict=True)]
        cases.append(pytest.param(*values, marks=marks))
    return cases


# For tests that compile much: float64 in make slow alone.
one_dtype = pytest.mark.parametrize(
    "dtype", quick([np.float32, np.float64], np.float32), ids=["float32", "float64"], indirect=True
)
