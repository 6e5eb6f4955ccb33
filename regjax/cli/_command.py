"""The group of commands, and how faults of the input end: with one line and exit code 2."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

try:
    import click
    from rich.console import Console
except ModuleNotFoundError as error:
    raise SystemExit(
        f"regjax: the command needs {error.name}; install it with: pip install 'regjax[sweep]'"
    ) from error

console = Console()


@click.group()
@click.version_option(package_name="regjax")
def main() -> None:
    """Regularization for JAX: sweep lambda, choose, predict."""


class _UsageError(click.ClickException):
    exit_code = 2


def one_line(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn faults of the input into one line and exit code 2, and Ctrl-C into 130."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (ValueError, OSError, MemoryError) as error:
            raise _UsageError(" ".join(str(error).split())) from error
        except KeyboardInterrupt:
            click.echo("Interrupted: of the run at work nothing is written.", err=True)
            sys.stdout.flush()
            # A thread may still be inside a compiled program, and taking the interpreter down
            # around it crashes.
            os._exit(130)

    return wrapper


def say(text: str) -> None:
    """Print a line as it is, without markup."""
    console.print(text, highlight=False, markup=False)
