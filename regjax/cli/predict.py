"""`regjax predict`: a chosen model on new rows."""

from __future__ import annotations

import pathlib

import click

from regjax.cli._command import main, one_line


@main.command()
@click.argument("run", type=click.Path(path_type=pathlib.Path))
@click.argument("data", type=click.Path(path_type=pathlib.Path))
@click.option("--model", help="Model of the run; by default that of least validation loss.")
@click.option(
    "--out",
    type=click.Path(path_type=pathlib.Path),
    help="CSV or Parquet file to write; by default predictions are printed as CSV.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file that --out names.")
@one_line
def predict(
    run: pathlib.Path,
    data: pathlib.Path,
    model: str | None,
    out: pathlib.Path | None,
    overwrite: bool,
) -> None:
    """Predict the rows of DATA with the model chosen by the sweep in the folder RUN."""
    import polars as pl

    from regjax.sweeps import load
    from regjax.tables import read_table

    if out is not None:
        if out.suffix not in (".csv", ".parquet"):
            raise ValueError(f"{str(out)!r} must end in .csv or .parquet.")
        if out.exists() and (not overwrite or out.resolve() == data.resolve()):
            raise ValueError(f"{str(out)!r} exists already; name another file or use --overwrite.")
    fitted = load(run, model)
    predictions = pl.DataFrame({fitted.encoding.target: fitted.predict(read_table(data))})
    if out is None:
        click.echo(predictions.write_csv(), nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".parquet":
        predictions.write_parquet(out)
    else:
        predictions.write_csv(out)
    click.echo(f"{predictions.height} predictions of {fitted.name} in {out}")
