"""How many lanes at a time: the choice follows what steps and looks cost, on a clock of our own."""

from types import SimpleNamespace

import numpy as np
import pytest

from regjax.sweeps.lanes import width as module
from regjax.sweeps.lanes.programs import Block
from regjax.sweeps.lanes.width import choose_width

N_STEPS, SEEDS, CPU = 1000, [0] * 500, (SimpleNamespace(platform="cpu"),)


@pytest.fixture
def choose(monkeypatch):
    """Return a function that chooses among programs whose steps and looks take given seconds."""
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])

    class Begun:
        """What is being computed when it is returned."""

        def __init__(self, seconds):
            self.seconds = seconds

        def block_until_ready(self):
            now[0] += self.seconds
            self.seconds = 0.0
            return self

    class Program:
        def __init__(self, shape, step, look, looks, size, start):
            self.step, self.look, self.looks = step(shape.size), look(shape.size), looks
            self.bytes, self.waiting_bytes = size * shape.size, size * shape.size // 2
            self.start = start

        def stops(self, first, rungs):
            return [look for look in self.looks if look > first]

        def begin(self, block):
            return Begun(self.start)

        def leg(self, carry, block, active, first, last):
            carry.block_until_ready()
            now[0] += self.step * (last - first) + self.look
            return carry, {}

    def chosen(
        step,
        look=lambda lanes: 0.0,
        *,
        n_looks=1,
        n_steps=N_STEPS,
        start=0.0,
        size=1,
        memory=10**6,
        seeds=SEEDS,
    ):
        made = {}

        def program_at(shape):
            looks = range(n_steps // n_looks, n_steps + 1, n_steps // n_looks)
            return made.setdefault(shape, Program(shape, step, look, looks, size, start))

        found = choose_width(
            program_at,
            lambda shape: Block({"x": np.zeros(shape)}, (0,) * shape.seeds),
            seeds,
            n_steps,
            CPU,
            memory=memory,
            workers=1,
            measure=True,
        )
        return found, {shape.lanes for shape in made}

    return chosen


@pytest.mark.parametrize(
    ("step", "lanes"),
    [
        # All lanes cost the same: nothing is gained.
        (lambda lanes: 1e-3 * lanes, 8),
        # A step costs the same for however many lanes.
        (lambda lanes: 1e-2, 500),
        # Wide blocks leave the caches.
        (lambda lanes: 1e-3 * lanes**1.5, 1),
        (lambda lanes: 1e-3 * lanes + 1e-4 * max(0, lanes - 32) ** 2 + 2e-2, 32),
        # A gain that is not worth another program.
        (lambda lanes: 1e-3 * lanes + 5e-4, 8),
    ],
)
def test_the_width_of_the_least_time_per_lane(choose, step, lanes):
    found, _ = choose(step)
    # Blocks are about equally full.
    n_blocks = -(-len(SEEDS) // lanes)
    assert found.shape.lanes == -(-len(SEEDS) // n_blocks)
    for name, pace in found.measured.items():
        size = int(name.split("x")[1])
        np.testing.assert_allclose(pace, step(size) / size, rtol=1e-6)


@pytest.mark.parametrize(("n_looks", "lanes"), [(1, 500), (500, 8), (N_STEPS, 8)])
def test_looks_count_as_often_as_they_come(choose, n_looks, lanes):
    # What a look costs a lane grows with the width, what a step costs it shrinks.
    # The start comes once in a training.
    step, look = lambda n: 1e-2 + 4e-4 * n, lambda n: 4e-3 * n * (n > 8)
    found, _ = choose(step, look, n_looks=n_looks, start=0.1)
    assert found.shape.lanes == lanes
    for name, pace in found.measured.items():
        size = int(name.split("x")[1])
        expected = step(size) + look(size) * n_looks / N_STEPS
        np.testing.assert_allclose(pace, expected / size, rtol=1e-6)


@pytest.mark.parametrize("look", [0.0, 5.0])
def test_a_short_sweep_is_not_worth_another_program(choose, look):
    # A look takes as long as all steps, and comes once.
    found, tried = choose(lambda n: 1e-3 * n, lambda n: look, seeds=[0] * 16)
    assert tried == {8}
    assert found.shape.lanes == 8


def test_no_width_is_tried_that_does_not_fit_the_memory(choose):
    # With the chunk that waits, whose half of a block's memory comes on top.
    found, _ = choose(lambda n: 1e-2, size=10, memory=250)
    assert found.shape.lanes == 16
    assert all(int(name.split("x")[1]) * 15 <= 250 for name in found.measured)


@pytest.mark.parametrize("n_steps", [2, 3, 10])
def test_what_measures_long_is_not_measured(choose, n_steps):
    # One step of the first block takes a good part of the sweep: wider ones are not tried.
    found, tried = choose(lambda n: 10.0 * n, n_steps=n_steps, seeds=[0] * 40)
    assert found.shape.lanes == 8
    assert tried == {8}
    # In a longer sweep they are.
    found, _ = choose(lambda n: 10.0, n_steps=n_steps, seeds=[0] * 40_000)
    assert found.shape.lanes > 1000
