"""Which parameters a test runs with in `make test`, and which in `make slow` alone."""

import functools
import itertools

import pytest


def quick(values, *chosen):
    """Return the values; those that are not among the chosen are slow."""
    assert set(chosen) <= set(values), chosen
    return [v if v in chosen else pytest.param(v, marks=pytest.mark.slow) for v in values]


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
