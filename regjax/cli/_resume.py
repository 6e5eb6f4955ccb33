"""What Ctrl-C leaves of sweeps: what is saved, and the command line that resumes them."""

from __future__ import annotations

import contextlib
import pathlib
import shlex
from collections.abc import Iterator

import click

from regjax.cli._command import saved_places


@contextlib.contextmanager
def resumable(*folders: pathlib.Path) -> Iterator[None]:
    """Have an interrupt within say what of the sweeps into these folders is saved."""
    from regjax.sweeps.lanes.places import has_begun, unfinished

    try:
        yield
    except KeyboardInterrupt as error:
        finished = saved_places()
        begun = [str(unfinished(folder)) for folder in folders if has_begun(folder)]
        begun = [place for place in begun if place not in finished]
        parts = [f"results are in {place}" for place in finished]
        parts += [f"all that was finished is saved in {place}" for place in begun]
        if not parts:
            raise
        more = begun or len(finished) < len(folders)
        error.add_note(f"{'; '.join(parts)}.{' Resume with:' if more else ''}")
        if more:
            error.add_note(_command())
        raise


def _command() -> str:
    typed = click.get_current_context().meta["typed"]
    words = [word for word in typed if word not in ("--overwrite", "--resume")]
    return shlex.join(["regjax", "sweep", *words, "--resume"])
