"""The folder of a run: tables, manifest, chosen models; written once, read by `load`."""

from __future__ import annotations

import json
import pathlib
import platform
import shutil
from importlib import metadata
from typing import Any

import jax

from regjax.sweeps.fitted import FittedModel
from regjax.sweeps.result import SweepResult

MANIFEST = "manifest.json"
_PACKAGES = ("regjax", "jax", "jaxlib", "optax", "numpy", "equinox", "polars")


def check_folder(out: str | pathlib.Path, *, overwrite: bool = False) -> pathlib.Path:
    """Return `out` if a run may be written there; before the sweep, so that none is lost.

    Raises:
        ValueError: if it is a file, holds another run (unless `overwrite`), or holds
            anything else.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_folder(folder) == pathlib.Path(folder)
        True
    """
    out = pathlib.Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"{str(out)!r} is a file; name a folder for the results.")
    if out.is_dir() and any(out.iterdir()):
        if not (out / MANIFEST).is_file():
            raise ValueError(f"{str(out)!r} is not empty and holds no run; name another folder.")
        if not overwrite:
            raise ValueError(
                f"{str(out)!r} already holds a run; name another folder or use --overwrite."
            )
    return out


def save_run(
    result: SweepResult, out: str | pathlib.Path, *, overwrite: bool = False
) -> pathlib.Path:
    """Write a result to the folder `out` and return it.

    `results.csv` and `results.parquet` hold the rows of `result.table`, floats such that
    they read back exactly; `choices.csv` the chosen strengths; `coefficients_<model>.csv`
    the coefficients of linear models in original units; `models/<model>.safetensors` the
    chosen models; `times.csv` the seconds; `manifest.json` everything needed to repeat the
    run. All is written beside `out` first and moved there whole.

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
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "models").mkdir(parents=True)
    result.table.write_csv(partial / "results.csv")
    result.table.write_parquet(partial / "results.parquet")
    result.choices().write_csv(partial / "choices.csv")
    result.seconds.write_csv(partial / "times.csv")
    for name, fitted in result.fitted.items():
        fitted.save(partial / "models" / f"{name}.safetensors")
        if result.entries[name].is_linear:
            fitted.coefficients().write_csv(partial / f"coefficients_{name}.csv")
    (partial / MANIFEST).write_text(json.dumps(_manifest(result), indent=2) + "\n")
    if out.is_dir():
        shutil.rmtree(out)
    return partial.rename(out)


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
    try:
        manifest = json.loads((path / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{str(path)!r} holds no run of regjax sweep.") from error
    chosen = model or manifest["best_model"]
    if chosen not in manifest["choices"]:
        raise ValueError(
            f"The run in {str(path)!r} has no model {chosen!r}; it has "
            f"{', '.join(manifest['choices'])}."
        )
    return FittedModel.load(path / "models" / f"{chosen}.safetensors")


def _manifest(result: SweepResult) -> dict[str, Any]:
    choices = result.choices()
    best = choices.sort("validation_loss", nulls_last=True, maintain_order=True)["model"][0]
    n_samples, n_features = result.data.X.shape
    device = jax.devices()[0]
    return {
        "best_model": best,
        "choices": {name: fitted.lambda_ for name, fitted in result.fitted.items()},
        "settings": result.settings,
        "data": {
            "n_samples": n_samples,
            "n_features": n_features,
            "target": result.data.encoding.target,
            "sha256": result.data.fingerprint,
            "notes": list(result.data.notes),
        },
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "device": f"{device.platform}: {device.device_kind}",
        "lanes_per_program": {name: len(entry.lambdas) for name, entry in result.entries.items()},
    }
