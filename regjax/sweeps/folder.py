"""The folder of a run: a manifest beside its files, written whole or not at all."""

from __future__ import annotations

import json
import pathlib
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import jax

from regjax._inputs import local_path
from regjax.tables import ParquetStream, Table

_MANIFEST = "manifest.json"
_FORMAT = "regjax-run-1"
_PACKAGES = ("regjax", "jax", "jaxlib", "optax", "numpy", "equinox", "polars")


def check_folder(out: str | pathlib.Path, *, overwrite: bool = False) -> pathlib.Path:
    """Return `out` if a run may be written there; before the work, so that none is lost.

    Raises:
        ValueError: if it is a file, holds another run (unless `overwrite`), holds anything
            else, or cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_folder(folder) == pathlib.Path(folder).resolve()
        True
    """
    shown, out = str(out), local_path(out, "out").resolve()
    if out.exists() and not out.is_dir():
        raise ValueError(f"{shown!r} is a file; name a folder for the results.")
    ancestor = next(folder for folder in out.parents if folder.exists())
    try:
        pathlib.Path(tempfile.mkdtemp(dir=ancestor)).rmdir()
    except OSError as error:
        raise ValueError(
            f"{shown!r} cannot be written: no folder can be made in {str(ancestor)!r}."
        ) from error
    held = {entry.name for entry in out.iterdir()} if out.is_dir() else set()
    if held:
        manifest = read_manifest(out)
        if manifest is not None and "files" not in manifest:
            raise ValueError(
                f"{shown!r} holds a run of an older version: remove it, or name another folder."
            )
        if manifest is None or held - {_MANIFEST, *manifest["files"]}:
            raise ValueError(
                f"{shown!r} is not empty and holds more than a run; name another folder."
            )
        if not overwrite:
            raise ValueError(
                f"{shown!r} already holds a run; name another folder or use --overwrite."
            )
    return out


def write_folder(
    out: str | pathlib.Path,
    write: Callable[[pathlib.Path], Mapping[str, Any]],
    *,
    overwrite: bool = False,
) -> pathlib.Path:
    """Return the folder `out` with what `write` puts into the folder it is given.

    All is written to a folder beside `out` and moved there when it is whole; a run that it
    replaces goes last. The manifest is what `write` returns, with the files and the versions of
    the packages.

    Raises:
        ValueError: as in `check_folder`.
    """
    out = check_folder(out, overwrite=overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = pathlib.Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        fresh, old = beside / "new", beside / "old"
        fresh.mkdir()
        told = write(fresh)
        files = sorted(entry.name for entry in fresh.iterdir())
        manifest = {"format": _FORMAT, **told, "files": files, **_environment()}
        (fresh / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        if out.exists():
            out.rename(old)
        try:
            fresh.rename(out)
        except OSError:
            if old.exists():
                old.rename(out)
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return out


def data_record(data: Table | ParquetStream) -> dict[str, Any]:
    """Return what a manifest says of the data."""
    return {
        "n_samples": data.n_rows,
        "n_features": len(data.encoding.feature_names),
        "target": data.encoding.target,
        "sha256": data.fingerprint,
        "source": dict(data.source),
        "read_options": data.encoding.read_options.to_json(),
        "notes": list(data.notes),
    }


def read_manifest(path: pathlib.Path) -> dict[str, Any] | None:
    """Return the manifest of the run in the folder `path`, or None if it holds no run."""
    try:
        manifest = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        return None
    return manifest


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
