"""Figures that commands draw: what fails in them costs the figures alone."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Callable
from typing import Any

from regjax.cli._output import say

Draw = Callable[[Any, pathlib.Path], object]
"""Writes the figures of a result into the folder it is given."""


def drawing(draw: Draw) -> Draw:
    """Return `draw` with a note in the place of an error, so that the tables are still written."""

    def guarded(result: Any, folder: pathlib.Path) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                draw(result, folder)
            except Exception as error:
                say(f"Note: the figures cannot be drawn: {type(error).__name__}: {error}")
        if any("missing from font" in str(each.message) for each in caught):
            say("Note: the font of the figures lacks some letters of the names.")

    return guarded
