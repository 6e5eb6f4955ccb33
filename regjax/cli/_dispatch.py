"""`regjax sweep`: which of its three commands is meant."""

from __future__ import annotations

import inspect
import re
from typing import Any

import click

from regjax.cli._command import main
from regjax.cli.merge import merge
from regjax.cli.sweep import sweep as sweep_data
from regjax.cli.train import train

_TRAINING = re.compile(r".+\.py(:\w*)?")
_FORMS = {"[DATA]": sweep_data, "FILE.py:NAME": train, "merge DIR": merge}


class _Sweep(click.Command):
    """One name for three commands with options of their own, told apart by what they are given."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        if args == ["--help"]:
            return super().make_context(info_name, args, parent, **extra)
        typed = list(args)
        if args[:1] == ["merge"]:
            chosen, info_name, args = merge, f"{info_name} merge", args[1:]
        else:
            chosen = train if any(_TRAINING.fullmatch(word) for word in args) else sweep_data
        context = chosen.make_context(info_name, args, parent, **extra)
        # What an interrupt repeats.
        context.meta["typed"] = typed
        return context

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help of all three."""
        for given in _FORMS:
            formatter.write_usage(ctx.command_path, f"[OPTIONS] {given}")
        for given, command in _FORMS.items():
            options = [p for p in command.params if isinstance(p, click.Option)]
            records = [option.get_help_record(ctx) for option in options]
            with formatter.section(f"{ctx.command_path} {given}"):
                formatter.write_text(inspect.cleandoc(command.help or ""))
                formatter.write_paragraph()
                formatter.write_dl([record for record in records if record is not None])


sweep = _Sweep("sweep", help="Sweep hyperparameters: over a table, or of a training function.")
main.add_command(sweep)
