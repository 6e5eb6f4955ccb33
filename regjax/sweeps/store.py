"""The folder of a run: tables, manifest, chosen models, figures; written whole, read by `load`."""

from __future__ import annotations

import json
import pathlib
import platform
import shutil
import tempfile
from collections.abc import Callable
from importlib import metadata
from typing import Any

import jax

from regjax.sweeps.catalog import MODELS
from regjax.sweeps.fitted import FittedModel
from regjax.sweeps.result import SweepResult

MANIFEST = "manifest.json"
_FORMAT = "regjax-run-1"
_PACKAGES = ("regjax", "jax", "jaxlib", "optax", "numpy", "equinox", "polars")
_FILES = {
    MANIFEST,
    "choices.csv",
    "figures",
    "models",
    "results.csv",
    "results.parquet",
    "summary.csv",
    "times.csv",
    *(f"coefficients_{name}.csv" for name in MODELS),
}


def check_folder(out: str | pathlib.Path, *, overwrite: bool = False) -> pathlib.Path:
    """Return `out` if a run may be written there; before the sweep, so that none is lost.

    Raises:
        ValueError: if it is a file, holds another run (unless `overwrite`), holds anything
            else, or cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_folder(folder) == pathlib.Path(folder).resolve()
        True
    """
    shown, out = str(out), pathlib.Path(out).resolve()
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
        if not _is_run(out) or held - _FILES:
            raise ValueError(
                f"{shown!r} is not empty and holds more than a run; name another folder."
            )
        if not overwrite:
            raise ValueError(
                f"{shown!r} already holds a run; name another folder or use --overwrite."
            )
    return out


def save_run(
    result: SweepResult,
    out: str | pathlib.Path,
    *,
    overwrite: bool = False,
    draw: Callable[[SweepResult, pathlib.Path], object] | None = None,
) -> pathlib.Path:
    """Write a result to the folder `out` and return it.

    `results.csv` and `results.parquet` hold the rows of `result.table`, floats such that
    they read back exactly; `summary.csv` means and standard errors; `choices.csv` the chosen
    strengths; `coefficients_<model>.csv` the coefficients of linear models in original
    units; `models/<model>.safetensors` the chosen models; `times.csv` the seconds;
    `manifest.json` what is needed to repeat the run. All is written to a folder beside
    `out` and moved there when it is whole; a run that it replaces goes last.

    Args:
        result: what `sweep` returned.
        out: folder, which is made.
        overwrite: replace the run that `out` already holds.
        draw: writes figures into the folder it is given, as `regjax.plots.save_figures`.

    Raises:
        ValueError: as in `check_folder`.

    Example:
        >>> import tempfile, regjax
        >>> result = regjax.sweep("diabetes", lambdas=[0.01, 0.1, 1.0], seeds=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     out = save_run(result, pathlib.Path(folder) / "run")
        ...     load(out, "lasso").lambda_ == result.best()["lasso"].lambda_
        True
    """
    out = check_folder(out, overwrite=overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = pathlib.Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        fresh, old = beside / "new", beside / "old"
        _write(result, fresh)
        if draw is not None:
            draw(result, fresh / "figures")
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


def load(path: str | pathlib.Path, model: str | None = None) -> FittedModel:
    """Return a chosen model from a run's folder, or from one model file.

    Args:
        path: folder written by `regjax sweep`, or a `.safetensors` file in it.
        model: which model of the folder; by default the one of least validation loss.

    Raises:
        ValueError: if there is no run or no such model.

    Example:
        >>> load("nowhere")
        Traceback (most recent call last):
            ...
        ValueError: 'nowhere' holds no run of regjax sweep.
    """
    path = pathlib.Path(path)
    if path.is_file():
        return FittedModel.load(path)
    if not _is_run(path):
        raise ValueError(f"{str(path)!r} holds no run of regjax sweep.")
    manifest = json.loads((path / MANIFEST).read_text())
    chosen = model or manifest.get("best_model")
    held = [name for name in MODELS if name in manifest.get("choices", ())]
    if chosen not in held:
        raise ValueError(
            f"The run in {str(path)!r} has no model {chosen!r}; it has {', '.join(held)}."
        )
    return FittedModel.load(path / "models" / f"{chosen}.safetensors")


def _is_run(path: pathlib.Path) -> bool:
    try:
        manifest = json.loads((path / MANIFEST).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == _FORMAT


def _write(result: SweepResult, folder: pathlib.Path) -> None:
    (folder / "models").mkdir(parents=True)
    result.table.write_csv(folder / "results.csv")
    result.table.write_parquet(folder / "results.parquet")
    result.summary().write_csv(folder / "summary.csv")
    result.choices().write_csv(folder / "choices.csv")
    result.seconds.write_csv(folder / "times.csv")
    for name, fitted in result.fitted.items():
        fitted.save(folder / "models" / f"{name}.safetensors")
        if result.entries[name].is_linear:
            fitted.coefficients().write_csv(folder / f"coefficients_{name}.csv")
    (folder / MANIFEST).write_text(json.dumps(_manifest(result), indent=2) + "\n")


def _manifest(result: SweepResult) -> dict[str, Any]:
    choices = result.choices()
    best = choices.sort("validation_loss", nulls_last=True, maintain_order=True)["model"][0]
    n_samples, n_features = result.data.X.shape
    device = jax.devices()[0]
    return {
        "format": _FORMAT,
        "best_model": best,
        "choices": {name: fitted.lambda_ for name, fitted in result.fitted.items()},
        "settings": result.settings,
        "data": {
            "n_samples": n_samples,
            "n_features": n_features,
            "target": result.data.encoding.target,
            "sha256": result.data.fingerprint,
            "source": dict(result.data.source),
            "notes": list(result.data.notes),
        },
        "versions": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "device": f"{device.platform}: {device.device_kind}",
        "lanes_per_program": {name: len(entry.lambdas) for name, entry in result.entries.items()},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
