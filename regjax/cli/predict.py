"""`regjax predict`: a chosen model on new rows."""

from __future__ import annotations

import os
import pathlib
import tempfile
from typing import Any

import click

from regjax._messages import counted
from regjax.cli._command import main, saved
from regjax.cli._options import OUT
from regjax.cli._output import say, warn, write_data
from regjax.cli._table_options import table_options


@main.command()
@click.argument("run", type=OUT)
@click.argument("data", type=OUT)
@click.option(
    "--model",
    help="Model of the run: of a sweep such as lasso, of a cross-validation minimum or "
    "one_standard_error; by default the one that the run chose.",
)
@click.option(
    "--out",
    type=OUT,
    help="CSV or Parquet file to write; by default predictions are printed as CSV.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file that --out names.")
@table_options
def predict(
    run: pathlib.Path,
    data: pathlib.Path,
    model: str | None,
    out: pathlib.Path | None,
    overwrite: bool,
    read_options: Any,
) -> None:
    """Predict the rows of DATA with the model that RUN chose.

    RUN is the folder of regjax sweep, cv or path, or one of the model files in it; DATA a CSV, TSV
    or Parquet file, or a folder of Parquet files, which is read in batches. Columns are found by
    name; others, such as the target, may be there. Cells are read as those of the training were,
    unless options say otherwise; rows with missing values are left out with --drop-missing alone.
    """
    import numpy as np
    import polars as pl

    from regjax.sweeps import load
    from regjax.tables import encoded_batches, read_cells
    from regjax.tables.read import is_text_file

    if out is not None:
        if out.suffix not in (".csv", ".parquet"):
            raise ValueError(f"{str(out)!r} must end in .csv or .parquet.")
        _check_out(out, data, overwrite=overwrite)
    if not is_text_file(data):
        read_options.check_typed(repr(str(data)))
    fitted = load(run, model).with_options(read_options)
    encoding, drop_missing = fitted.encoding, read_options.drop_missing
    if data.is_dir():
        batches = encoded_batches(data, encoding, drop_missing=drop_missing)
        parts = [fitted.predict(X) for X in batches]
        found = np.concatenate(parts) if parts else np.empty(0)
    else:
        cells = read_cells(data, encoding.read_options)
        if drop_missing:
            complete = encoding.complete(cells)
            cells = cells.filter(pl.Series(complete))
            n_lost = len(complete) - cells.height
            warn(f"{n_lost} of {len(complete)} rows miss values and are left out.")
        found = fitted.predict(cells)
    predictions = pl.DataFrame({fitted.encoding.target: found})
    if out is None:
        write_data(predictions.write_csv())
        return
    target = pathlib.Path(os.path.realpath(out))
    target.parent.mkdir(parents=True, exist_ok=True)
    # Whole or not at all, and so is the file that it replaces.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".regjax-") as folder:
        fresh = pathlib.Path(folder) / "predictions"
        if out.suffix == ".parquet":
            predictions.write_parquet(fresh)
        else:
            predictions.write_csv(fresh)
        os.replace(fresh, target)
    saved(out)
    say(f"{counted(predictions.height, 'prediction')} of {fitted.name} in {out}")


def _check_out(out: pathlib.Path, data: pathlib.Path, *, overwrite: bool) -> None:
    """Raise ValueError if predictions may not be written to `out`, as to an input or to a run."""
    from regjax._manifests import run_of

    if not os.path.lexists(out):
        return
    if out.exists() and not out.is_file():
        raise ValueError(f"{str(out)!r} is not a file; name one for the predictions.")
    if not overwrite:
        raise ValueError(f"{str(out)!r} exists already; name another file or use --overwrite.")
    inputs = [path for path in (data, *data.rglob("*")) if path.is_file()]
    if out.exists() and any(out.samefile(path) for path in inputs):
        raise ValueError(f"{str(out)!r} exists already, among the data; name another file.")
    run = run_of(out)
    if run is not None:
        raise ValueError(f"{str(out)!r} belongs to the run in {str(run)!r}; name another file.")
