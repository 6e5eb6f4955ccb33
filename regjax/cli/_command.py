"""The group of commands, and how faults of the input end: with one line and exit code 2."""

from __future__ import annotations

import os
import pathlib
import sys
from typing import Any

try:
    import click
    import rich  # noqa: F401
except ModuleNotFoundError as error:
    raise SystemExit(
        f"regjax: the command needs {error.name}; install it with: pip install 'regjax[sweep]'"
    ) from error

from regjax._messages import quoted
from regjax.cli._output import complain, finish, warn

_SAVED = "regjax.saved"
_TRACEBACK = "REGJAX_TRACEBACK"
# Kinds of error that say what is wrong with the input, the files or the installation.
_FAULTS = (ValueError, OSError, ImportError, MemoryError)


class _Fault(click.ClickException):
    exit_code = 2


class _Unexpected(click.ClickException):
    exit_code = 1


class FailedRuns(click.ClickException):
    """Runs that failed, or all diverged, where the command itself did what it should."""

    exit_code = 1


class _Regjax(click.Group):
    """Ends in one way whatever happens: messages to standard error, no traceback.

    Exit codes: 0; 1 for runs that failed and for what should not happen; 2 for faults of the input;
    130 after Ctrl-C; 141 if whoever read the output left early, which costs nothing but the output.
    """

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            code = super().main(*args, **extra | {"standalone_mode": False})
        except click.ClickException as error:
            _show(error)
            code = error.exit_code
        sys.exit(finish() or code or 0)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for before, text in zip(["", *args], args, strict=False):
            _check_text(text, f"{before} " if before.startswith("--") else "")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt as error:
            what, *more = getattr(error, "__notes__", None) or [_what_is_saved()]
            warn(f"Interrupted: {what}")
            for line in more:
                warn(f"  {line}")
            interrupt()
        except Exception as error:
            if os.environ.get(_TRACEBACK):
                raise
            raise _as_one_line(error) from error


@click.group(cls=_Regjax)
@click.version_option(package_name="regjax")
def main() -> None:
    """Regularization for JAX: sweep lambda, choose, predict."""


def interrupt() -> None:
    """End the process at once, as after Ctrl-C."""
    finish()
    # A thread may still be inside a compiled program, and taking the interpreter down around it
    # crashes.
    os._exit(130)


def saved(place: pathlib.Path) -> None:
    """Note that results are on disk, for what an interrupt says."""
    click.get_current_context().meta.setdefault(_SAVED, []).append(str(place))


def saved_places() -> list[str]:
    """Return where this command has saved results."""
    places: list[str] = click.get_current_context().meta.get(_SAVED, [])
    return places


def _what_is_saved() -> str:
    places = saved_places()
    return f"results are in {', '.join(places)}." if places else "nothing was saved."


def _check_text(text: str, option: str) -> None:
    """Raise unless an argument can be a name of a file or a column."""
    if "\0" in text:
        wanted = "text without NUL characters"
    elif any("\ud800" <= c <= "\udfff" for c in text):
        wanted = "UTF-8, as names in files are"
    else:
        return
    raise click.UsageError(f"{option}{quoted(text)} is not {wanted}.")


def _as_one_line(error: Exception) -> click.ClickException:
    name = type(error).__name__
    if isinstance(error, _FAULTS):
        return _Fault(str(error).strip() or name)
    return _Unexpected(f"{name}: {error} (unexpected: {_TRACEBACK}=1 shows where)")


def _show(error: click.ClickException) -> None:
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        error.show()
        return
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    complain(error.format_message(), f"Try '{ctx.command_path} --help' for help." if ctx else "")
