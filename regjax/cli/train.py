"""`regjax sweep FILE.py:NAME`: any training function of yours, over any hyperparameters."""

from __future__ import annotations

import pathlib
import re
import shlex
from typing import Any

import click

from regjax._messages import counted, quoted
from regjax.cli._command import saved
from regjax.cli._options import OUT, folder_of_results
from regjax.cli._output import console, say
from regjax.cli._resume import resumable


@click.command()
@click.argument("target", metavar="FILE.py:NAME")
@click.option(
    "--set",
    "settings",
    multiple=True,
    required=True,
    metavar="NAME=VALUES",
    help="Values of a hyperparameter: 0.001,0.01, or 1e-5:1:20 for 20 evenly spaced in the "
    "logarithm, or adamw,adam; to draw from with --random or --sobol: log:1e-5:1, lin:0:1, "
    "int:1:4. May be repeated; all combinations are run.",
)
@click.option("--static", multiple=True, metavar="NAME", help="Numbers that shape the program.")
@click.option("--seeds", type=int, help="How many seeds, each a random key; by default 1.")
@click.option("--random", type=int, metavar="N", help="Draw N lanes at random from the ranges.")
@click.option("--sobol", type=int, metavar="N", help="Draw N lanes, a power of 2, more evenly.")
@click.option("--metric", help="The metric that ranks lanes.")
@click.option("--mode", type=click.Choice(["min", "max"]), default="min", show_default=True)
@click.option(
    "--early-stopping", type=int, metavar="PATIENCE", help="Leave lanes that do not improve."
)
@click.option(
    "--halving", metavar="FIRST:FACTOR", help="Successive halving from step FIRST, as in 100:3."
)
@click.option("--keep", default="1", show_default=True, help="Best settings to keep, or all.")
@click.option("--data", metavar="NAME", help="Function of the shared arrays; by default data.")
@click.option("--out", type=OUT, help="Folder of the results; by default runs/NAME.")
@click.option("--resume", is_flag=True, help="Go on with the sweep that --out has begun.")
@click.option("--force", is_flag=True, help="Resume though code, data or arguments changed.")
@click.option("--overwrite", is_flag=True, help="Replace the run that --out already holds.")
@click.option("--width", type=int, help="Lanes at a time on a device; by default chosen.")
@click.option("--workers", type=int, help="Chunks of lanes at a time; by default one per core.")
@click.option("--memory", help="That programs may take, as in 2GB; by default half of the free.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32")
@click.option("--shard", metavar="I/N", help="Run the I-th of N parts; join them with merge.")
@click.option(
    "--engine",
    type=click.Choice(["threads", "ray"]),
    default="threads",
    show_default=True,
    help="Cores of this machine, or of a Ray cluster.",
)
def train(target: str, out: pathlib.Path | None, **options: Any) -> None:
    """Sweep a training function of yours, or a `regjax.sweeps.Training`.

    NAME takes (hyperparameters, key, *arrays) and returns metrics; arrays are what the function
    `data` of the file returns. Whatever is finished is on disk at once.
    """
    out = folder_of_results(out, pathlib.Path("runs") / target.rpartition(":")[2])
    with resumable(out):
        run, shard = _train(target, out, **options)
        _print_run(run, shard, out)


def _train(target: str, out: pathlib.Path, **options: Any) -> tuple[Any, tuple[int, int] | None]:
    from regjax import sweeps
    from regjax.cli import _settings

    shard = _settings.parse_shard(options["shard"])
    how = {name: options[name] for name in ("resume", "overwrite", "force", "width", "workers")}
    memory, keep = _settings.parse_bytes(options["memory"]), _settings.parse_keep(options["keep"])
    stopping, draw = _stopping(options["early_stopping"], options["halving"]), _draw(options)
    grid = _settings.parse_grid(options["settings"], options["static"], options["seeds"], draw)
    sweeps.check_folder(out, overwrite=options["overwrite"], resume=options["resume"])
    users = _settings.Users(target)
    training, arrays = users.training(), users.arrays(options["data"])
    lanes, programs = counted(len(grid), "lane"), counted(len(grid.groups()), "program")
    say(f"{lanes} in {programs}, to {out}")
    try:
        with sweeps.show_progress(console) as progress:
            run = users.run(
                lambda: sweeps.run_sweep(
                    training,
                    grid,
                    *arrays,
                    metric=options["metric"],
                    mode=options["mode"],
                    stopping=stopping,
                    keep=keep,
                    dtype=options["dtype"],
                    out=out,
                    shard=shard,
                    memory=memory,
                    engine=options["engine"],
                    progress=progress,
                    **how,
                )
            )
    except (sweeps.EngineError, ModuleNotFoundError) as error:
        raise ValueError(str(error)) from error
    return run, shard


def _print_run(run: Any, shard: tuple[int, int] | None, out: pathlib.Path) -> None:
    from regjax.cli._outcome import check_outcome, print_outcome
    from regjax.sweeps.lanes.places import unfinished

    saved(out if shard is None else unfinished(out))
    print_outcome(run)
    if shard is None:
        say(f"Tables, curves, parameters, manifest: {out}")
    else:
        say(
            f"Shard {shard[0]} of {shard[1]} is done; when all are, join them with: "
            f"{shlex.join(['regjax', 'sweep', 'merge', str(out)])}"
        )
    check_outcome(run)


def _stopping(patience: int | None, halving: str | None) -> Any:
    from regjax.sweeps import EarlyStopping, SuccessiveHalving

    if patience is not None and halving is not None:
        raise ValueError("--early-stopping and --halving exclude each other.")
    if patience is not None:
        return EarlyStopping(patience)
    if halving is None:
        return None
    found = re.fullmatch(r"([0-9]{1,10})(?::([0-9]{1,10}))?", halving)
    if found is None:
        raise ValueError(f"--halving takes a step and a factor as in 100:3, not {quoted(halving)}.")
    return SuccessiveHalving(int(found[1]), int(found[2] or 3))


def _draw(options: dict[str, Any]) -> Any:
    from regjax.cli._settings import Draw

    if options["random"] is not None and options["sobol"] is not None:
        raise ValueError("--random and --sobol exclude each other.")
    for how in ("random", "sobol"):
        if options[how] is not None:
            return Draw(how, options[how])
    return None
