"""The live display: what it tells, in a terminal and elsewhere, and that it always ends."""

import io
import re

import pytest
import rich.console
import rich.live

from regjax.sweeps import Grid, Progress, SweepInterrupted, run_sweep, show_progress
from regjax.sweeps import progress as display


def train(hp, key, kind="good"):
    if kind == "bad":
        raise RuntimeError("no")
    return {"loss": hp["x"]}


GRID = Grid.product(x=[1.0, 2.0, 3.0], kind=["good", "bad"])


def console(*, is_terminal):
    file = io.StringIO()
    return rich.console.Console(file=file, force_terminal=is_terminal, width=100), file


def test_lines_where_there_is_no_terminal(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: 100.0 + now[0])
    shown, file = console(is_terminal=False)
    with show_progress(shown) as told:
        for done, seconds in ((0, 1.0), (10, 2.0), (40, 30.0), (50, 31.0)):
            now[0] = seconds
            told(Progress(done, 100, 10_000 * done, seconds, 0.25 if done else None))
    assert file.getvalue().splitlines() == [
        "0 of 100 lanes, 0 lane-steps/s",
        "40 of 100 lanes, 13.3k lane-steps/s, best 0.25, about 0:00:44 left",
        # The last, whatever the time.
        "50 of 100 lanes, 16.1k lane-steps/s, best 0.25, about 0:00:30 left",
    ]


def test_the_end_is_told_once():
    shown, file = console(is_terminal=False)
    with show_progress(shown) as told:
        told(Progress(3, 3, 3 * 10**7, 3700.0, -1.5))
    assert file.getvalue() == "3 of 3 lanes, 8.11k lane-steps/s, best -1.5, in 1:01:40\n"


def test_lanes_that_were_done_before_took_no_time():
    first = Progress(90, 100, 0, 10.0, None)
    assert "about 0:00:40 left" in display._told(Progress(92, 100, 9, 20.0, None), first)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_display_ends_when_groups_fail(is_terminal):
    shown, file = console(is_terminal=is_terminal)
    run_sweep(train, GRID, metric="loss", progress=show_progress(shown), width=1, workers=1)
    assert re.search(r"lanes.*best 1", file.getvalue())
    # Another display can begin on the console.
    with rich.live.Live("", console=shown):
        pass
    assert ("\x1b[?25h" in file.getvalue()) == is_terminal


def test_a_display_ends_with_an_interrupt():
    shown, file = console(is_terminal=True)
    inner = show_progress(shown)

    class Interrupted:
        pressed = False

        def __call__(self, progress):
            inner(progress)
            if not self.pressed:
                self.pressed = True
                raise KeyboardInterrupt

        def close(self):
            inner.close()

    grid = Grid.product(x=[1.0, 2.0, 3.0])
    with pytest.raises(SweepInterrupted):
        run_sweep(train, grid, metric="loss", progress=Interrupted(), width=1, workers=1)
    assert file.getvalue().rstrip().endswith("\x1b[?25h")


def test_a_display_serves_several_sweeps():
    shown, file = console(is_terminal=False)
    with show_progress(shown) as told:
        for n in (2, 3):
            run_sweep(train, Grid.product(x=range(n)), metric="loss", progress=told, width=9)
    lines = file.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == ["2 of 2 lanes", "3 of 3 lanes"]
