"""Solvers: from arrays to a `Solution` with its optimality residual."""

from regjax.solvers._solution import CONVERGED, DIVERGED, MAX_STEPS, STATUS_TEXT, Solution
from regjax.solvers.direct import ridge_closed_form
from regjax.solvers.least_squares import LeastSquares, least_squares
from regjax.solvers.proximal_gradient import proximal_gradient

__all__ = [
    "CONVERGED",
    "DIVERGED",
    "MAX_STEPS",
    "STATUS_TEXT",
    "LeastSquares",
    "Solution",
    "least_squares",
    "proximal_gradient",
    "ridge_closed_form",
]
