"""Grids: which lanes there are, who they are, and what is refused."""

import itertools
import json
import math

import numpy as np
import pytest

from regjax.sweeps import Grid, Static, Uniform


def test_a_product_has_every_combination_with_the_last_axis_fastest():
    axes = {"lambda_": [0.1, 0.2, 0.3], "optimizer": ["adam", "sgd"], "seed": range(2)}
    grid = Grid.product(**axes)
    assert [tuple(row.values()) for row in grid] == list(itertools.product(*axes.values()))
    assert len(grid) == 12
    assert grid.seeds == (0, 1) * 6


def test_zips_products_and_sums():
    pairs = Grid.zipped(lambda_=[0.1, 0.2], learning_rate=[1.0, 2.0])
    both = pairs * Grid.product(optimizer=["a", "b"], seed=[3])
    assert [tuple(row.values()) for row in both] == [
        (0.1, 1.0, "a", 3),
        (0.1, 1.0, "b", 3),
        (0.2, 2.0, "a", 3),
        (0.2, 2.0, "b", 3),
    ]
    joined = pairs + Grid.product(lambda_=[0.2], momentum=[0.9])
    assert [row["momentum"] for row in joined] == [None, None, 0.9]
    assert [row["learning_rate"] for row in joined] == [1.0, 2.0, None]
    assert both.static == {"optimizer"}


def test_groups_are_lanes_with_equal_choices_in_order_of_appearance():
    grid = Grid.product(
        lambda_=[1, 2], width=Static([32, 64]), flag=[False, True], seed=[0]
    ) * Grid.product(kind=["x"])
    groups = grid.groups()
    assert [group.choices for group in groups] == [
        {"width": width, "flag": flag, "kind": "x"} for width in (32, 64) for flag in (False, True)
    ]
    assert [group.lanes for group in groups] == [(0, 4), (1, 5), (2, 6), (3, 7)]
    assert all(isinstance(group.choices["width"], int) for group in groups)


def test_equal_numbers_of_other_kinds_are_other_choices():
    grid = Grid.product(x=[1.0], flag=Static([1, True, 1.5, None, "1"]))
    assert len(grid.groups()) == len(set(grid.ids)) == 5


def test_what_is_traced_leaves_out_the_seed_choices_and_empty_columns():
    grid = Grid.product(lambda_=[0.5], width=Static([3]), seed=[1]) + Grid.product(
        lambda_=[0.25], momentum=[0.5], width=Static([4]), seed=[1]
    )
    assert set(grid.arrays([0])) == {"lambda_"}
    arrays = grid.arrays([1], "float64")
    assert set(arrays) == {"lambda_", "momentum"}
    assert arrays["momentum"].dtype == np.float64
    with pytest.raises(ValueError, match="momentum is missing in some lanes"):
        grid.arrays([0, 1])


def test_identities_do_not_depend_on_order_or_on_other_lanes():
    grid = Grid.product(lambda_=[0.1, 0.2], seed=[0, 1])
    turned = Grid.product(seed=[1, 0], lambda_=[0.2, 0.1])
    assert set(grid.ids) == set(turned.ids)
    of = {
        json.dumps(row, sort_keys=True): name for row, name in zip(turned, turned.ids, strict=True)
    }
    assert [of[json.dumps(row, sort_keys=True)] for row in grid] == list(grid.ids)


def test_identities_stay_when_others_bring_new_columns():
    grid = Grid.product(lambda_=[0.1, 0.2], seed=[0, 1])
    wider = grid + Grid.product(lambda_=[0.1], seed=[0], momentum=[0.9])
    assert wider.ids[:4] == grid.ids
    assert len(set(wider.ids)) == 5


def test_an_identity_is_the_same_in_every_version():
    # Runs that are stored bear it.
    assert Grid.product(lambda_=[0.1], seed=[3], kind=["a"]).ids == ("a8274ef27378b753",)


@pytest.mark.parametrize("sequence", [Grid.random, Grid.sobol])
def test_drawn_lanes_lie_in_their_ranges(sequence):
    grid = sequence(
        256,
        random_state=3,
        lambda_=Uniform(1e-4, 1.0, log=True),
        momentum=Uniform(0.123456789, 0.2),
        depth=Uniform(5, 9, whole=True),
        units=Uniform(3, 11, log=True, whole=True),
    )
    assert len(grid) == 256
    columns = {name: np.array(values) for name, values in grid.columns.items()}
    assert columns["lambda_"].min() >= 1e-4
    assert columns["lambda_"].max() <= 1
    # A quarter in every decade.
    counts, _ = np.histogram(np.log10(columns["lambda_"]), bins=[-4, -3, -2, -1, 0])
    assert counts.min() > 45
    assert columns["momentum"].min() >= 0.123456789
    assert set(columns["depth"]) == {5, 6, 7, 8, 9}
    assert set(columns["units"]) == set(range(3, 12))


def test_draws_are_reproducible_and_their_seed_matters():
    def lanes(state):
        return Grid.random(20, random_state=state, lambda_=Uniform(0, 1)).ids

    assert lanes(0) == lanes(0)
    assert set(lanes(0)).isdisjoint(lanes(1))


def test_a_sobol_sequence_is_more_even_than_chance():
    def gap(grid):
        points = np.sort(grid.columns["x"])
        return np.diff(points, prepend=0, append=1).max()

    ranges = {"x": Uniform(0, 1), "y": Uniform(0, 1)}
    assert gap(Grid.sobol(128, **ranges)) <= 2 / 128 + 1e-9
    assert gap(Grid.random(128, **ranges)) > 3 / 128
    assert len(Grid.sobol(100, **ranges)) == 100
    assert len(Grid.sobol(1, **ranges)) == 1


def test_many_draws_of_one_range_hold_no_lane_twice():
    assert len(Grid.random(20_000, lambda_=Uniform(1e-4, 1e-3, log=True))) == 20_000


@pytest.mark.parametrize("low", [3.0, 5.0, 7.0, 49.0])
def test_whole_numbers_of_a_logarithmic_range_do_not_fall_below_its_end(low):
    # exp(log(5)) is a little less than 5.
    ends = Uniform(low, 2 * low, log=True, whole=True).at(np.array([0.0, np.nextafter(1, 0)]))
    assert ends.tolist() == [low, 2 * low]


def test_numpy_values_become_plain_ones():
    grid = Grid.product(
        lambda_=np.float32([0.5]), seed=np.arange(1), on=[np.True_], width=Static(np.arange(4, 5))
    )
    assert grid.row(0) == {"lambda_": 0.5, "seed": 0, "on": True, "width": 4}
    assert [type(value) for value in grid.row(0).values()] == [float, int, bool, int]
    json.dumps(grid.row(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid.product(), "empty"),
        (lambda: Grid.product(lambda_=[]), "empty"),
        (lambda: Grid.zipped(lambda_=[], seed=[]), "empty"),
        (lambda: Grid.random(0, lambda_=Uniform(0, 1)), "empty"),
        (lambda: Grid.sobol(0, lambda_=Uniform(0, 1)), "empty"),
        (lambda: Grid.product(lambda_=[0.1, 0.1]), "holds a lane twice.*0.1"),
        (lambda: Grid.product(lambda_=[0.0, -0.0]), "holds a lane twice"),
        (lambda: Grid.product(seed=[1, 2, 1]), "holds a lane twice.*1"),
        (lambda: Grid.product(a=[1], b=[2]) + Grid.product(b=[2], a=[1]), "holds a lane twice"),
        (lambda: Grid.product(a=[1]) * Grid.product(a=[2]), "Both grids have a column 'a'"),
        (lambda: Grid.product(lambda_=[math.nan]), "lambda_ holds nan"),
        (lambda: Grid.product(lambda_=[math.inf]), "lambda_ holds inf"),
        (lambda: Grid.product(width=Static([math.nan])), "width holds nan"),
        (lambda: Grid.product(optimizer="adam"), "must be a list of values, got the text 'adam'"),
        (lambda: Grid.product(lambda_=[[1, 2]]), r"lambda_ holds \[1, 2\]"),
        (lambda: Grid.product(lambda_=[1j]), "lambda_ holds 1j"),
        (lambda: Grid.zipped(a=[1, 2], b=[1]), "one length, got {'a': 2, 'b': 1}"),
        (lambda: Grid.product(seed=[-1]), "whole numbers from 0.*-1"),
        (lambda: Grid.product(seed=[0.5]), "whole numbers from 0.*0.5"),
        (lambda: Grid.product(seed=[2**63]), "whole numbers from 0"),
        (lambda: Grid.product(seed=["0"]), "seed is no choice"),
        (lambda: Grid.product(seed=[True]), "seed is no choice"),
        (lambda: Grid.product(seed=Static([1])), "seed is no choice"),
        (lambda: Grid.product(a=[1], seed=[1]) + Grid.product(a=[2]), "whole numbers from 0.*None"),
        (lambda: Grid.product(status=[1]), "status is a column of every table"),
        (lambda: Grid.random(3, lambda_=[0.1]), "lambda_ must be a range"),
        (lambda: Grid.random(3, lambda_=Uniform(1, 1)), "low < high"),
        (lambda: Grid.random(3, lambda_=Uniform(0, 1, log=True)), "low > 0"),
        (lambda: Grid.random(3, lambda_=Uniform(0, math.inf)), "low < high"),
        (lambda: Grid.random(3, depth=Uniform(0.5, 2.5, whole=True)), "whole ends"),
    ],
)
def test_what_is_no_grid_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
