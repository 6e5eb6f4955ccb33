"""What `regjax path` and `regjax cv` have in common: options, data, notes, features, files."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import click

from regjax._messages import counted
from regjax.cli._command import saved
from regjax.cli._figures import drawing
from regjax.cli._options import DATA, OUT, Strengths, Whole, folder_of_results
from regjax.cli._output import Table, heading, print_more, print_table, say

MOST_FEATURES = 20

_OPTIONS = (
    click.argument("data", type=DATA),
    click.option("--target", help="Column to predict; embedded data sets have their own."),
    click.option("--out", type=OUT, help="Folder of the results; by default runs/NAME-COMMAND."),
    click.option(
        "--lambdas",
        type=Strengths(),
        help="Strengths: 0.01,0.1,1, or 1e-4:1:9 for 9 evenly spaced in the logarithm; by "
        "default --n-lambdas down from the least one that leaves no coefficient.",
    ),
    click.option(
        "--n-lambdas",
        type=Whole(1, 10_000),
        default=100,
        show_default=True,
        help="Strengths of the path.",
    ),
    click.option(
        "--standardize/--no-standardize",
        default=True,
        show_default=True,
        help="Penalize coefficients per standard deviation of their column.",
    ),
    click.option("--positive", is_flag=True, help="Keep coefficients from being negative."),
    click.option("--weight", help="Column of sample weights, which is no feature."),
    click.option("--drop", multiple=True, help="Column to leave out; may be repeated."),
    click.option(
        "--task",
        type=click.Choice(["regression"]),
        help="Says that integers which look like classes are quantities.",
    ),
    click.option("--figures/--no-figures", default=True, show_default=True),
    click.option("--overwrite", is_flag=True, help="Replace the run that --out already holds."),
)

Draw = Callable[[Any, pathlib.Path], object] | None


def fit_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument and the options that both commands have."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def out_folder(out: pathlib.Path | None, data: str, command: str, overwrite: bool) -> pathlib.Path:
    """Return where results go, checked before any work."""
    from regjax import sweeps

    default = pathlib.Path("runs") / f"{pathlib.Path(data).resolve().stem}-{command}"
    folder = folder_of_results(out, default)
    sweeps.check_folder(folder, overwrite=overwrite)
    return folder


def draw_fit(figures: bool) -> Draw:
    """Return what draws the figures of a fit, if they are wanted; before any work."""
    if not figures:
        return None
    from regjax import fits, plots

    def draw(fit: Any, folder: pathlib.Path) -> None:
        is_cv = isinstance(fit, fits.CrossValidationFit)
        drawn = {"path": plots.plot_path(fit.cv if is_cv else fit.path, scale=fit.scale)}
        if is_cv:
            drawn["cv"] = plots.plot_cross_validation(fit.cv)
        for name, figure in drawn.items():
            figure.savefig(folder / f"{name}.png", dpi=150)

    return drawing(draw)


def announce(name: str, data: Any) -> None:
    """Print what was read."""
    heading(pathlib.Path(name).name)
    rows, features = len_of(data)
    say(f"{rows}, {features}; regression of {data.encoding.target!r}")
    for note in data.notes:
        say(f"Note: {note}")


def len_of(data: Any) -> tuple[str, str]:
    """Return the numbers of rows and features in words."""
    n_features = len(data.encoding.feature_names)
    return counted(data.n_rows, "row"), counted(n_features, "feature")


def fitted(fit: Callable[..., Any], *arguments: Any, **settings: Any) -> tuple[Any, list[str]]:
    """Return what `fit` returns, and a note for each kind of solution that falls short."""
    from regjax.paths import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = fit(*arguments, **settings)
    notes = [str(each.message) for each in caught if each.category is ConvergenceWarning]
    return result, list(dict.fromkeys(notes))


def save(fit: Any, folder: pathlib.Path, *, draw: Draw, overwrite: bool) -> pathlib.Path:
    """Write the folder of a fit, before anything of it is printed, and return it.

    It is another one if something was put into `folder` during the work.
    """
    from regjax import fits
    from regjax._folders import unused

    try:
        fits.save_fit(fit, folder, overwrite=overwrite, draw=draw)
    except ValueError as error:
        folder = unused(folder)
        fits.save_fit(fit, folder, draw=draw)
        say(f"Note: {error} The results are in {str(folder)!r} instead.")
    saved(folder)
    return folder


def print_folder(folder: pathlib.Path, draw: Draw, seconds: float) -> None:
    """Print where the results are, and how long they took."""
    say(f"Tables, models{', figures' * (draw is not None)}, manifest: {folder}")
    say(f"{seconds:.1f} seconds")


def print_features(title: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    """Print the first rows of a table of features, and how many more there are."""
    table = Table(title, ("feature", *columns))
    for row in rows[:MOST_FEATURES]:
        table.add_row(*row)
    print_table(table)
    print_more(len(rows) - MOST_FEATURES, "the folder's tables")
