"""Where the time of this library goes: what is spent on data, on certificates, and in all."""

from __future__ import annotations

import collections
import pathlib
import statistics
import sys
import threading
import time
from types import FrameType
from typing import Any

from benchmarks.paths.problems import PROBLEMS, Problem
from regjax.paths import lasso_cv, lasso_path

_ROUNDS = 3
_PATHS = str(pathlib.Path(sys.modules["regjax.paths"].__path__[0]))
# Files whose functions check, centre and sum data.
_DATA = {
    "statistics.py",
    "inputs.py",
    "_inputs.py",
    "standard_form.py",
    "scales.py",
    "_lanes.py",
    "settings.py",
    "folds.py",
}


class Anatomy:
    """A process that runs the library plainly, and once more with every call seen."""

    def __init__(self, name: str) -> None:
        self._problem = Problem(PROBLEMS[name])

    def parts(self, what: str) -> dict[str, float]:
        """Return seconds of the whole, on data and on certificates, threads added up."""
        self._run(what)
        whole = []
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            self._run(what)
            whole.append(time.perf_counter() - started)
        watch, started = _Watch(), time.perf_counter()
        sys.setprofile(watch)
        threading.setprofile(watch)
        try:
            self._run(what)
            watched = time.perf_counter() - started
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
        return {
            "whole": statistics.median(whole),
            "watched": watched,
            "data": watch.seconds["data"],
            "certificates": watch.seconds["certificates"],
        }

    def _run(self, what: str) -> Any:
        problem = self._problem
        X, y, lambdas = problem.X, problem.y, problem.lambdas(1.0)
        if what == "path":
            return lasso_path(X, y, lambdas=lambdas)
        return lasso_cv(X, y, lambdas=lambdas, folds=problem.folds)


class _Watch:
    """Adds up the time within the outermost functions of a kind, in every thread."""

    def __init__(self) -> None:
        self.seconds: collections.Counter[str] = collections.Counter()
        self._open: dict[int, tuple[FrameType, str, float]] = {}

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event not in ("call", "return"):
            return
        thread = threading.get_ident()
        current = self._open.get(thread)
        if event == "call" and current is None:
            kind = _kind(frame)
            if kind is not None:
                self._open[thread] = frame, kind, time.perf_counter()
        elif event == "return" and current is not None and current[0] is frame:
            self.seconds[current[1]] += time.perf_counter() - current[2]
            del self._open[thread]


def _kind(frame: FrameType) -> str | None:
    file = pathlib.PurePath(frame.f_code.co_filename)
    if str(file.parent) != _PATHS:
        return None
    name = frame.f_code.co_name
    if name.endswith(("gap", "gaps")):
        return "certificates"
    return "data" if file.name in _DATA else None
