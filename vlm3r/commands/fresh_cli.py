"""Options of `vlm3r init` and `vlm3r vision`: small models from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

vision_app = typer.Typer(help="Small visual encoders from annotated scenes.", rich_markup_mode=None)

Overrides = Annotated[list[str] | None, typer.Argument(help="Settings that replace the recipe's: key=value.")]


@vision_app.callback()
def vision() -> None:
    """Small visual encoders from annotated scenes."""


@vision_app.command("train")
def train_vision(
    recipe: Annotated[Path, typer.Argument(help="Recipe, see configs/recipes/tiny/vision.yaml.")],
    overrides: Overrides = None,
) -> None:
    """Train a small SigLIP on the instance masks of scenes; continues after a stop."""
    from vlm3r.commands import fresh as command

    command.train_vision(recipe, overrides or [])


def init(
    recipe: Annotated[Path, typer.Argument(help="Sizes of the model, see configs/models/vlm3r-tiny.yaml.")],
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write.")],
    overrides: Overrides = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing folder.")] = False,
) -> None:
    """Make a new model: sizes from a recipe, tokenizer from training rows, trained encoders put in, the rest random."""
    from vlm3r.commands import fresh as command

    command.init(recipe, out, overrides or [], overwrite)
