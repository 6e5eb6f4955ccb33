"""The manifest of a run's folder: every file of the run with its SHA-256, under a checksum."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

import jax

MANIFEST = "manifest.json"
_FORMAT = "regjax-run-2"
_ANY_FORMAT = "regjax-run-"
_PACKAGES = ("regjax", "jax", "jaxlib", "optax", "numpy", "equinox", "polars")


def write_manifest(folder: pathlib.Path, record: Mapping[str, Any]) -> None:
    """Write the manifest of all files in the folder, with what `record` says of the run."""
    files = {name: sha256_of(folder / name) for name, is_file in sorted(walk(folder)) if is_file}
    manifest = {"format": _FORMAT, **record, "files": files, **_environment()}
    # The checksum is of what a reader will see.
    manifest = json.loads(json.dumps(manifest))
    text = json.dumps({**manifest, "checksum": _checksum(manifest)}, indent=2)
    (folder / MANIFEST).write_text(f"{text}\n", encoding="utf-8")


def read_manifest(folder: pathlib.Path) -> dict[str, Any]:
    """Return the manifest of the run in a folder.

    Raises:
        ValueError: with the reason, if the folder holds no run of this version, or if the manifest
            was changed.
    """
    file = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"there is no {MANIFEST}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its {MANIFEST} is not a manifest, or is corrupt") from error
    kind = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(kind, str) or not kind.startswith(_ANY_FORMAT):
        raise ValueError(f"its {MANIFEST} is not that of a run")
    if kind != _FORMAT:
        raise ValueError(f"its {MANIFEST} is of an older version: remove it, or run it again")
    checksum = manifest.pop("checksum", None)
    if checksum != _checksum(manifest):
        raise ValueError(f"its {MANIFEST} is corrupt, or was changed: its checksum differs")
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(map(_is_inside, files)):
        raise ValueError(f"its {MANIFEST} does not list files of the folder")
    return manifest


def is_run(folder: pathlib.Path) -> bool:
    """Return whether a folder holds a run of this version."""
    try:
        read_manifest(folder)
    except ValueError:
        return False
    return True


def check_file(folder: pathlib.Path, manifest: Mapping[str, Any], name: str) -> pathlib.Path:
    """Return the path of a file of a run, if it is as the run wrote it.

    Raises:
        ValueError: if it is missing, or if its SHA-256 is not that of the manifest.
    """
    path = folder / name
    if not path.is_file():
        raise ValueError(f"{str(path)!r} is missing: restore a copy of it.")
    if sha256_of(path) != manifest["files"].get(name):
        raise ValueError(
            f"{str(path)!r} is corrupt, or was changed: its SHA-256 is not that in {MANIFEST}; "
            "restore a copy of it."
        )
    return path


def run_of(path: pathlib.Path) -> pathlib.Path | None:
    """Return the folder of the run that lists the file at `path`, or None."""
    path = pathlib.Path(os.path.realpath(path))
    for folder in path.parents:
        if is_run(folder):
            name = path.relative_to(folder).as_posix()
            return folder if name in {MANIFEST, *read_manifest(folder)["files"]} else None
    return None


def walk(folder: pathlib.Path) -> Iterator[tuple[str, bool]]:
    """Yield the name of every entry below a folder, and whether it is a regular file.

    Links are entries and are not followed; of folders the empty ones alone are entries.
    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with os.scandir(folder / below) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        if below and not entries:
            yield below.rstrip("/"), False
        for entry in entries:
            name = f"{below}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                waiting.append(f"{name}/")
            else:
                yield name, entry.is_file(follow_symlinks=False)


def sha256_of(path: pathlib.Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_inside(name: str) -> bool:
    """Return whether the name of a file cannot lead out of its folder."""
    return not {"", ".", ".."} & set(name.split("/"))


def _checksum(manifest: Mapping[str, Any]) -> str:
    text = json.dumps(manifest, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _environment() -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "versions": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "device": f"{device.platform}: {device.device_kind}",
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
