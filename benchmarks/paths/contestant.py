"""One who solves one problem: runs on request, and shows the gap that the data give."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.paths.accuracy import largest_gap
from benchmarks.paths.peers import make_peer
from benchmarks.paths.problems import PROBLEMS, Problem, Spec, gaussian


class Contestant:
    """A peer and its data, both made where they are used."""

    def __init__(self, who: str, name: str) -> None:
        self._peer = make_peer(who)
        self._problem = Problem(PROBLEMS[name])
        self._warm()

    def tolerances(self) -> tuple[float, ...]:
        return self._peer.tolerances

    def path(self, l1_ratio: float, tol: float, verify: bool) -> dict[str, Any]:
        """Return the seconds of a path, and its largest gap where it shall be verified."""
        problem = self._problem
        lambdas = problem.lambdas(l1_ratio)
        seconds, coef = self._peer.path(problem, lambdas, l1_ratio, tol)
        if not verify:
            return {"seconds": seconds}
        gap = largest_gap(problem.X, problem.y, coef, lambdas, l1_ratio)
        return {"seconds": seconds, "gap": gap}

    def cv(self, tol: float) -> dict[str, Any]:
        """Return the seconds of a cross-validation, and the place in the grid that it chose."""
        lambdas = self._problem.lambdas(1.0)
        seconds, chosen = self._peer.cv(self._problem, lambdas, tol)
        return {"seconds": seconds, "chosen": int(np.abs(lambdas / chosen - 1).argmin())}

    def _warm(self) -> None:
        """Compile and import what a first call would, on a little problem of the same kind."""
        little = Problem(Spec("", lambda: gaussian(40, 8, 1.0), 1e-2))
        lambdas = little.lambdas(1.0)
        if self._problem.is_sparse:
            little.X, little.is_sparse = type(self._problem.X)(little.X), True
        self._peer.path(little, lambdas, 1.0, self._peer.tolerances[0])
