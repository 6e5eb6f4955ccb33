"""The folder of a run, which is published whole or not at all, and replaces nothing foreign.

A run is written to a folder OUT.new-XXXXXXXX beside OUT and renamed when it is whole. A run that it
replaces is renamed to OUT.replaced first and removed last: whatever ends the process, one of the
two is whole, under one of these names. Removed are only regular files that the manifest of the
replaced run lists with the SHA-256 that they have. What else is in the folder moves to the new one.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from regjax._inputs import local_path
from regjax._manifests import MANIFEST, is_run, read_manifest, sha256_of, walk, write_manifest
from regjax._messages import listed

STORE = "sweep.sqlite"
"""The file that makes a finished run a sweep that can be resumed."""

_MOST_NAMES = 3


def check_folder(
    out: str | pathlib.Path, *, overwrite: bool = False, resume: bool = False
) -> pathlib.Path:
    """Return the path of `out` if a run may be written there; before the work, so none is lost.

    Args:
        out: folder of the results; a link is followed.
        overwrite: whether it may replace another run.
        resume: whether it may replace a finished sweep, which is being resumed.

    Raises:
        ValueError: if `out` is a file, cannot be written, holds a run that may not be replaced, or
            holds anything that this run did not write or that was changed since.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_folder(folder) == pathlib.Path(folder).resolve()
        True
    """
    shown, out = str(out), pathlib.Path(os.path.realpath(local_path(out, "out")))
    if not out.name:
        raise ValueError(f"{shown!r} is no folder for results: name one below it.")
    if os.path.islink(out):
        raise ValueError(f"{shown!r} is a link that leads back to itself; name a folder.")
    if os.path.exists(out) and not os.path.isdir(out):
        raise ValueError(f"{shown!r} is a file; name a folder for the results.")
    _check_writable(shown, out)
    old = _replaced(out)
    held = os.path.isdir(out) and bool(os.listdir(out))
    where = out if held else old
    if not held and not is_run(old):
        return out
    try:
        manifest = read_manifest(where)
    except ValueError as error:
        raise ValueError(
            f"{shown!r} is not empty and holds more than a run ({error}); name another folder."
        ) from error
    if not (overwrite or resume):
        if held:
            raise ValueError(
                f"{shown!r} already holds a run; name another folder or use --overwrite."
            )
        raise ValueError(
            f"{shown!r} was being replaced when that was interrupted, and its run is in "
            f"{str(old)!r}: rename it back, or replace it with --overwrite."
        )
    if not overwrite and STORE not in manifest["files"]:
        raise ValueError(
            f"{shown!r} holds another run than the sweep to resume; name another folder or use "
            "--overwrite."
        )
    # What is in OUT.replaced beside a run in OUT was left of a replacement.
    for folder in (out, old) if held and os.path.lexists(old) else (where,):
        foreign = _foreign(folder)
        if foreign:
            raise ValueError(
                f"{str(folder)!r} holds more than a run, or files that were changed since: "
                f"{foreign}; move them, or name another folder."
            )
    return out


def write_folder(
    out: str | pathlib.Path,
    write: Callable[[pathlib.Path], Mapping[str, Any]],
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> pathlib.Path:
    """Return the folder `out` with what `write` puts into the folder it is given.

    The manifest is what `write` returns, with the files and the versions of the packages. If the
    run cannot be published, it stays beside `out`, and the error says where.

    Raises:
        ValueError: as in `check_folder`.
        OSError: if the folder cannot be written or renamed.
    """
    out = check_folder(out, overwrite=overwrite, resume=resume)
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = _new(out)
    os.mkdir(fresh)
    try:
        record = write(fresh)
        _drop_empty(fresh)
        write_manifest(fresh, record)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    try:
        _publish(fresh, out, replace=overwrite or resume)
    except BaseException as error:
        if not fresh.exists():
            raise
        old = replaced_run(out)
        told = f"The new run is whole in {str(fresh)!r}: rename it."
        told += "" if old is None else f" The old one is in {str(old)!r}."
        if isinstance(error, OSError):
            raise OSError(f"{str(out)!r} cannot be replaced ({error}). {told}") from error
        error.add_note(told)
        raise
    return out


def unused(out: pathlib.Path) -> pathlib.Path:
    """Return `out` with the least number from 2 on that makes it the name of nothing."""
    number = 2
    while os.path.lexists(out.with_name(f"{out.name}-{number}")):
        number += 1
    return out.with_name(f"{out.name}-{number}")


def replaced_run(out: pathlib.Path) -> pathlib.Path | None:
    """Return where the run of `out` is, if it was being replaced when that was interrupted."""
    out = pathlib.Path(os.path.realpath(out))
    old = _replaced(out)
    return old if not os.path.lexists(out) and is_run(old) else None


def _publish(fresh: pathlib.Path, out: pathlib.Path, *, replace: bool) -> None:
    """Rename `fresh` to `out`; a folder that is not empty is never renamed over."""
    old = _replaced(out)
    moves = replace and is_run(out)
    try:
        if moves:
            _remove_run(old, out)
            os.rename(out, old)
        os.rename(fresh, out)
    except BaseException:
        if moves and not os.path.lexists(out):
            os.rename(old, out)
        raise
    if replace:
        _remove_run(old, out)


def _remove_run(old: pathlib.Path, out: pathlib.Path) -> None:
    """Remove the files of the run in `old`, and move whatever else is there to `out`.

    What cannot be removed or moved stays; the manifest goes after the files that it lists.
    """
    if old.is_symlink() or not is_run(old):
        return
    with contextlib.suppress(OSError):
        files = read_manifest(old)["files"]
        for name, is_file in list(walk(old)):
            if is_file and files.get(name) == sha256_of(old / name):
                os.unlink(old / name)
        for folder in sorted(_folders_of(files), key=len, reverse=True):
            if _is_folder(old / folder) and not os.listdir(old / folder):
                os.rmdir(old / folder)
        _move_rest(old, out)
        os.unlink(old / MANIFEST)
        if not os.listdir(old):
            os.rmdir(old)


def _drop_empty(folder: pathlib.Path) -> None:
    """Remove the empty folders below a folder."""
    for path, _, _ in os.walk(folder, topdown=False):
        if pathlib.Path(path) != folder and not os.listdir(path):
            os.rmdir(path)


def _move_rest(source: pathlib.Path, target: pathlib.Path) -> None:
    """Move all but a manifest to the same names in another folder, where these are free."""
    for name in os.listdir(source):
        here, there = source / name, target / name
        if name == MANIFEST:
            continue
        if not os.path.lexists(there):
            os.rename(here, there)
        elif _is_folder(here) and _is_folder(there):
            _move_rest(here, there)
            if not os.listdir(here):
                os.rmdir(here)


def _folders_of(files: Iterable[str]) -> set[str]:
    """Return the folders that these files are in, below that of the run."""
    return {str(folder) for name in files for folder in pathlib.PurePosixPath(name).parents} - {"."}


def _foreign(folder: pathlib.Path) -> str:
    """Return, in words, what in a folder is not as its run wrote it."""
    if folder.is_symlink() or not folder.is_dir():
        return repr(folder.name)
    files = read_manifest(folder)["files"] if is_run(folder) else {}
    own = _folders_of(files)

    def is_own(name: str, is_file: bool) -> bool:
        if is_file and name in files:
            return bool(files[name] == sha256_of(folder / name))
        # Of a run whose removal was interrupted empty folders are left.
        return (name in own and _is_folder(folder / name)) or (name == MANIFEST and bool(files))

    names = [name for name, is_file in walk(folder) if not is_own(name, is_file)]
    return listed(names, _MOST_NAMES)


def _check_writable(shown: str, out: pathlib.Path) -> None:
    """Raise ValueError if the folders that a run needs cannot be made."""
    try:
        for folder in out.parents:
            # Where the folder will be made, and that all names above it can be.
            with contextlib.suppress(FileNotFoundError):
                os.lstat(folder)
                break
        if os.path.ismount(out):
            raise OSError(0, "it is a mount point, which cannot be renamed; name a folder in it")
        probe = _new(folder / out.name)
        os.mkdir(probe)
        os.rmdir(probe)
    except OSError as error:
        raise ValueError(
            f"{shown!r} cannot be written: no folder {out.name!r}, and none beside it, can be made "
            f"in {str(folder)!r} ({error.strerror})."
        ) from error


def _is_folder(path: pathlib.Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _new(out: pathlib.Path) -> pathlib.Path:
    return out.with_name(f"{out.name}.new-{secrets.token_hex(4)}")


def _replaced(out: pathlib.Path) -> pathlib.Path:
    return out.with_name(f"{out.name}.replaced")
