"""What `regjax path` and `regjax cv` have in common: options, data, notes, figures, files."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import click
from rich.markup import escape

from regjax.cli._command import console, say
from regjax.cli._output import new_table

MOST_FEATURES = 20

_OPTIONS = (
    click.argument("data"),
    click.option("--target", help="Column to predict; embedded data sets have their own."),
    click.option(
        "--out",
        type=click.Path(path_type=pathlib.Path),
        help="Folder of the results; by default runs/NAME-COMMAND.",
    ),
    click.option(
        "--lambdas",
        help="Strengths: 0.01,0.1,1, or 1e-4:1:9 for 9 evenly spaced in the logarithm; by "
        "default --n-lambdas down from the least one that leaves no coefficient.",
    ),
    click.option("--n-lambdas", default=100, show_default=True, help="Strengths of the path."),
    click.option(
        "--standardize/--no-standardize",
        default=True,
        show_default=True,
        help="Penalise coefficients per standard deviation of their column.",
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


def fit_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument and the options that both commands have."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def out_folder(out: pathlib.Path | None, data: str, command: str, overwrite: bool) -> pathlib.Path:
    """Return where results go, checked before any work."""
    from regjax import sweeps

    folder = out or pathlib.Path("runs") / f"{pathlib.Path(data).resolve().stem}-{command}"
    sweeps.check_folder(folder, overwrite=overwrite)
    return folder


def strengths(lambdas: str | None) -> tuple[float, ...] | None:
    """Return the strengths that `--lambdas` names, or None for a grid of the data."""
    from regjax import sweeps

    return None if lambdas is None else sweeps.parse_grid(lambdas)


def announce(name: str, data: Any) -> None:
    """Print what was read."""
    console.rule(f"[bold]{escape(pathlib.Path(name).name)}")
    n_features = len(data.encoding.feature_names)
    say(f"{data.n_rows} rows, {n_features} features; regression of {data.encoding.target!r}")
    for note in data.notes:
        say(f"Note: {note}")


def fitted(fit: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    """Return what `fit` returns; solutions that fall short are printed as a note."""
    from regjax.paths import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = fit(*arguments, **settings)
    told = [str(each.message) for each in caught if each.category is ConvergenceWarning]
    for text in dict.fromkeys(told):
        say(f"Note: {text}")
    return result


def save(fit: Any, folder: pathlib.Path, *, figures: bool, overwrite: bool) -> None:
    """Write the folder of a fit and say where it is."""
    from regjax import fits

    fits.save_fit(fit, folder, overwrite=overwrite, draw=_draw if figures else None)
    say(f"Tables, models{', figures' * figures}, manifest: {folder}")


def print_features(title: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    """Print the first rows of a table of features, and how many more there are."""
    table = new_table(title, ("feature", *columns))
    for row in rows[:MOST_FEATURES]:
        # A name in brackets is no markup.
        table.add_row(*map(escape, row))
    console.print(table)
    if len(rows) > MOST_FEATURES:
        say(f"{len(rows) - MOST_FEATURES} more are in the folder's tables.")


def _draw(fit: Any, folder: pathlib.Path) -> None:
    from regjax import fits, plots

    is_cv = isinstance(fit, fits.CrossValidationFit)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drawn = {"path": plots.plot_path(fit.cv if is_cv else fit.path, scale=fit.scale)}
        if is_cv:
            drawn["cv"] = plots.plot_cross_validation(fit.cv)
        for name, figure in drawn.items():
            figure.savefig(folder / f"{name}.png", dpi=150)
    if any("missing from font" in str(each.message) for each in caught):
        say("Note: the font of the figures lacks some letters of the names.")
