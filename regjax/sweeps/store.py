"""What a sweep leaves in its folder: tables, chosen models, figures; `load` reads any run."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

from regjax._folders import replaced_run, write_folder
from regjax._manifests import check_file, read_manifest
from regjax._messages import quoted
from regjax.sweeps.fitted import FittedModel
from regjax.sweeps.result import SweepResult
from regjax.tables import ParquetStream, Table

Draw = Callable[[SweepResult, pathlib.Path], object]
"""Writes figures into the folder it is given."""


def save_run(
    result: SweepResult,
    out: str | pathlib.Path,
    *,
    overwrite: bool = False,
    draw: Draw | None = None,
) -> pathlib.Path:
    """Write a result to the folder `out` and return it.

    `results.csv` and `results.parquet` hold the rows of `result.table`, floats such that
    they read back exactly; `summary.csv` means and standard errors; `choices.csv` the chosen
    strengths; `coefficients_<model>.csv` the coefficients of linear models in original
    units; `models/<model>.safetensors` the chosen models; `times.csv` the seconds;
    `manifest.json` what is needed to repeat the run, and the SHA-256 of every file. All is written
    to a folder beside `out` and moved there when it is whole; a run that it replaces goes last.

    Names of columns are written as they are. A spreadsheet takes text that begins with `=`, `+`,
    `-` or `@` for a formula: import such columns as text.

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

    return write_folder(out, lambda folder: write_files(result, folder, draw), overwrite=overwrite)


def load(path: str | pathlib.Path, model: str | None = None) -> FittedModel:
    """Return a chosen model from a run's folder, or from one model file.

    Args:
        path: folder written by `regjax sweep` or `regjax cv`, or a `.safetensors` file in it.
        model: which model of the folder; by default the one that the run chose: of a sweep that
            of least validation loss, of a cross-validation that of its rule.

    Raises:
        ValueError: if there is no run or no such model, or if its files are not as they were
            written.

    Example:
        >>> load("nowhere")
        Traceback (most recent call last):
            ...
        ValueError: 'nowhere' holds no run of regjax: there is no manifest.json.
    """
    path = pathlib.Path(path)
    if path.is_file():
        if model is not None:
            raise ValueError(f"{str(path)!r} is a single model: leave out the name {model!r}.")
        return FittedModel.load(path)
    try:
        manifest = read_manifest(path)
    except ValueError as error:
        raise ValueError(f"{str(path)!r} holds no run of regjax: {_where(path, error)}.") from error
    files = {name: f"models/{name}.safetensors" for name in _names(manifest)}
    held = [name for name, file in files.items() if file in manifest["files"]]
    if not held:
        raise ValueError(
            f"The run in {str(path)!r} chose no model: run regjax cv, or regjax path at one "
            "strength (--lambdas 0.1)."
        )
    chosen = manifest.get("best_model") if model is None else model
    if chosen not in held:
        raise ValueError(
            f"The run in {str(path)!r} has no model {quoted(chosen)}; it has {', '.join(held)}."
        )
    return FittedModel.load(check_file(path, manifest, files[chosen]))


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


def write_files(result: SweepResult, folder: pathlib.Path, draw: Draw | None) -> dict[str, Any]:
    """Write all but the manifest into a folder, and return what the manifest says."""
    (folder / "models").mkdir()
    result.table.write_csv(folder / "results.csv")
    result.table.write_parquet(folder / "results.parquet")
    result.summary().write_csv(folder / "summary.csv")
    result.choices().write_csv(folder / "choices.csv")
    result.seconds.write_csv(folder / "times.csv")
    for name, fitted in result.fitted.items():
        fitted.save(folder / "models" / f"{name}.safetensors")
        if result.entries[name].is_linear:
            fitted.coefficients().write_csv(folder / f"coefficients_{name}.csv")
    if draw is not None:
        draw(result, folder / "figures")
    return _manifest(result)


def _manifest(result: SweepResult) -> dict[str, Any]:
    choices = result.choices()
    best = choices.sort("validation_loss", nulls_last=True, maintain_order=True)["model"][0]
    return {
        "best_model": best,
        "choices": {name: fitted.lambda_ for name, fitted in result.fitted.items()},
        "settings": result.settings,
        "data": data_record(result.data),
    }


def _names(manifest: dict[str, Any]) -> list[str]:
    """Return the names of the models that a run chose."""
    choices = manifest.get("choices")
    return list(choices) if isinstance(choices, dict) else []


def _where(path: pathlib.Path, error: ValueError) -> str:
    """Return why a folder holds no run, or where its run is."""
    old = replaced_run(path)
    if old is None:
        return str(error)
    return f"replacing it was interrupted, and its run is in {str(old)!r}; rename that back"
