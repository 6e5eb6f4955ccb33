"""`regjax sweep merge`: shards that ran apart become one run."""

from __future__ import annotations

import pathlib

import click

from regjax.cli._command import one_line, say


@click.command()
@click.argument("out", type=click.Path(path_type=pathlib.Path), metavar="DIR")
@click.option("--overwrite", is_flag=True, help="Replace the run that DIR already holds.")
@one_line
def merge(out: pathlib.Path, overwrite: bool) -> None:
    """Join the shards in DIR.unfinished, which `--shard I/N --out DIR` has written, to DIR."""
    from regjax import sweeps
    from regjax.cli._outcome import print_outcome

    print_outcome(sweeps.merge_shards(out, overwrite=overwrite))
    say(f"Tables, curves, parameters, manifest: {out}")
