"""Types of options: what is wanted is checked, and said, before any work begins."""

from __future__ import annotations

import errno
import math
import os
import pathlib
from typing import Any, NoReturn

import click

from regjax._inputs import is_address
from regjax._messages import quoted

_PATH_ERRORS = {
    errno.ELOOP: "must not be a loop of symbolic links",
    errno.ENAMETOOLONG: "must have a shorter name",
}


# Beside a folder of results stand others, of its name and a suffix; file systems take 255 bytes.
_LONGEST_NAME = 200


class _Checked(click.ParamType):
    """A type whose messages begin with the option: `--folds must be at least 2, got '1'.`"""

    def refuse(self, wanted: str, value: Any, param: click.Parameter | None) -> NoReturn:
        """Raise what says which option it is, what is wanted, and what was given."""
        if isinstance(param, click.Argument):
            name = param.human_readable_name
        else:
            name = "The value" if param is None else param.opts[0]
        raise click.UsageError(f"{name} {wanted}, got {quoted(str(value))}.")


class Whole(_Checked):
    """A whole number from `low` to `high`."""

    name = "integer"

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            self.refuse("must be a whole number", value, param)
        if number < self.low:
            self.refuse(f"must be at least {self.low}", value, param)
        if number > self.high:
            self.refuse(f"must be at most {self.high}", value, param)
        return number


class Share(_Checked):
    """A number between 0 and 1; `inside` leaves out both ends."""

    name = "float"

    def __init__(self, *, inside: bool = False) -> None:
        self.inside = inside

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = _number(value)
        lies = 0 < number < 1 if self.inside else 0 <= number <= 1
        if not lies:
            ends = ", both left out" if self.inside else ""
            self.refuse(f"must be a number between 0 and 1{ends}", value, param)
        return number


class Shares(Share):
    """Numbers between 0 and 1, as in 0.1,0.5,1."""

    name = "text"

    def convert(  # type: ignore[override]
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[float]:
        numbers = [_number(part) for part in str(value).split(",")]
        if any(math.isnan(number) for number in numbers):
            self.refuse("takes numbers as in 0.1,0.5,1", value, param)
        if not all(0 <= number <= 1 for number in numbers):
            self.refuse("takes numbers between 0 and 1", value, param)
        return numbers


class Strengths(_Checked):
    """A grid, as `regjax.sweeps.parse_grid` reads it."""

    name = "text"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        from regjax import sweeps

        try:
            return sweeps.parse_grid(value)
        except ValueError as error:
            name = "" if param is None else f"{param.opts[0]}: "
            raise click.UsageError(f"{name}{error}") from error


class Place(_Checked):
    """A path of a file or folder, which need not be there."""

    name = "path"

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value).strip():
            self.refuse("must name a file or folder", value, param)
        if is_address(str(value)):
            self.refuse("must be a path of this machine's file system", value, param)
        if os.path.realpath(value) == os.path.realpath(os.sep):
            self.refuse("must name a file or folder below the root", value, param)
        try:
            os.stat(value)
        except OSError as error:
            if error.errno in _PATH_ERRORS:
                self.refuse(_PATH_ERRORS[error.errno], value, param)
        return self.kind(value)


def folder_of_results(out: pathlib.Path | None, default: pathlib.Path) -> pathlib.Path:
    """Return the folder to write to, whose name leaves space for those of folders beside it."""
    folder = out or default
    if len(os.fsencode(folder.name)) > _LONGEST_NAME:
        raise click.UsageError(
            f"The name of the folder of results, {quoted(folder.name)}, must have at most "
            f"{_LONGEST_NAME} bytes: name another with --out."
        )
    return folder


DATA = Place(str)
OUT = Place(pathlib.Path)


def _number(text: Any) -> float:
    """Return a number, and NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
