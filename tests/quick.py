"""Which parameters of a test run in `make test`; the others are slow, and run in `make slow`."""

import functools
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


def pairs(*axes):
    """Return cases that bring together any two values of different axes, as few as are found."""
    product = list(itertools.product(*(range(len(axis)) for axis in axes)))
    left = {pair for places in product for pair in _met(places)}
    chosen = set()
    while left:
        best = max(product, key=lambda places: len(left & _met(places)))
        left -= _met(best)
        chosen.add(best)
    return [
        tuple(list(axis)[place] for axis, place in zip(axes, places, strict=True))
        for places in sorted(chosen)
    ]


@functools.cache
def _met(places):
    return frozenset(itertools.combinations(enumerate(places), 2))


# For tests that compile much: float64 in make slow alone.
one_dtype = pytest.mark.parametrize(
    "dtype", quick([np.float32, np.float64], np.float32), ids=["float32", "float64"], indirect=True
)
