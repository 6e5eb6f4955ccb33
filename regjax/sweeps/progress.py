"""A display of a sweep at work: live in terminals and notebooks, lines everywhere else."""

from __future__ import annotations

import importlib.util
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from regjax.sweeps.lanes.conductor import Progress

if TYPE_CHECKING:
    from rich.console import Console

_LINE_SECONDS = 10.0


def show_progress(console: Console | None = None) -> ShowProgress:
    """Return a callback for `run_sweep(progress=...)` that shows how far the sweep is.

    Lanes done, steps of lanes per second, the best metric so far, and about how long the rest
    takes. In a terminal a bar moves, and in a notebook where ipywidgets is installed; elsewhere
    there is a line every ten seconds, and one at the end.

    Args:
        console: of rich, to print to; by default one of its own.

    Example:
        >>> from regjax.sweeps import Grid, run_sweep
        >>> train = lambda hyperparameters, key: {"loss": hyperparameters["x"]}
        >>> grid = Grid.product(x=[1.0, 2.0])
        >>> progress = show_progress()
        >>> run = run_sweep(train, grid, metric="loss", progress=progress)  # doctest: +ELLIPSIS
        2 of 2 lanes, ... lane-steps/s, best 1, in 0:00:00
    """
    if console is None:
        import rich.console

        console = rich.console.Console()
    return ShowProgress(console)


class ShowProgress:
    """Shows every `Progress` that it is called with; also a context, which ends the display."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # In notebooks rich moves nothing without them.
        has_widgets = importlib.util.find_spec("ipywidgets") is not None
        self._moves = console.is_terminal or (console.is_jupyter and has_widgets)
        self._bars: Any = None
        self._task: Any = None
        self._first: Progress | None = None
        self._last: Progress | None = None
        self._shown: Progress | None = None
        self._printed = 0.0

    def __call__(self, progress: Progress) -> None:
        self._first = self._first or progress
        self._last = progress
        ended = progress.done >= progress.lanes
        if self._moves:
            self._start()
            self._bars.update(
                self._task,
                description="lanes",
                completed=progress.done,
                total=progress.lanes,
                told=_told(progress, self._first),
            )
        elif ended or time.monotonic() - self._printed > _LINE_SECONDS:
            self._line(progress)
        if ended:
            self.close()

    def __enter__(self) -> ShowProgress:
        if self._moves:
            self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the display; a sweep that comes after begins another."""
        if self._bars is not None:
            self._bars.stop()
        elif not self._moves and self._last is not None and self._last is not self._shown:
            self._line(self._last)
        self._bars = self._first = self._last = None

    def _line(self, progress: Progress) -> None:
        self._printed, self._shown = time.monotonic(), progress
        assert self._first is not None
        text = f"{progress.done} of {progress.lanes} lanes, {_told(progress, self._first)}"
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _start(self) -> None:
        if self._bars is not None:
            return
        from rich import progress

        self._bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[told]}"),
            console=self._console,
        )
        self._task = self._bars.add_task("planning", total=None, told="")
        self._bars.start()


def _told(progress: Progress, first: Progress) -> str:
    """Return speed, best metric and time left in words."""
    parts = [f"{_short(progress.steps / max(progress.seconds, 1e-9))} lane-steps/s"]
    if progress.best is not None:
        parts.append(f"best {progress.best:.4g}")
    if progress.done >= progress.lanes:
        parts.append(f"in {_clock(progress.seconds)}")
    # A sweep that is resumed begins with lanes that took no time here.
    elif progress.done > first.done:
        pace = (progress.seconds - first.seconds) / (progress.done - first.done)
        parts.append(f"about {_clock(pace * (progress.lanes - progress.done))} left")
    return ", ".join(parts)


def _short(number: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
