"""`regjax sweep merge`: shards that ran apart become one run."""

from __future__ import annotations

import pathlib

import click

from regjax.cli._command import saved
from regjax.cli._options import OUT
from regjax.cli._output import say


@click.command()
@click.argument("out", type=OUT, metavar="DIR")
@click.option("--overwrite", is_flag=True, help="Replace the run that DIR already holds.")
def merge(out: pathlib.Path, overwrite: bool) -> None:
    """Join the shards in DIR.unfinished, which `--shard I/N --out DIR` has written, to DIR."""
    from regjax import sweeps
    from regjax.cli._outcome import check_outcome, print_outcome

    run = sweeps.merge_shards(out, overwrite=overwrite)
    saved(out)
    print_outcome(run)
    say(f"Tables, curves, parameters, manifest: {out}")
    check_outcome(run)
