"""Options of `vlm3r train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe, see configs/recipes.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, with dots between levels: optimiser.steps=100")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the whole recipe and counts of data and parameters; train nothing.")
    ] = False,
) -> None:
    """Train by a recipe, or continue a run that was cut off."""
    from vlm3r.commands import train as command

    raise typer.Exit(command.run(recipe, overrides or [], dry_run))
