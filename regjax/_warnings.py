"""Warnings that point to the line of the user."""

from __future__ import annotations

import sys
import warnings


def warn(message: str, category: type[Warning], *through: str) -> None:
    """Warn at the nearest line outside of this package, and of the packages `through`."""
    level, frame = 1, sys._getframe()
    inside = {__package__, *through}
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in inside:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
