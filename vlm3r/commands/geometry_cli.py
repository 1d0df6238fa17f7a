"""Options of `vlm3r geometry`: training and measurement of the geometry encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The geometry encoder, CUT3R: train it on scenes, and measure it.", rich_markup_mode=None)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe, such as configs/recipes/tiny/geometry.yaml.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes, such as training.steps=100.")
    ] = None,
) -> None:
    """Train on the scenes that a recipe names; a run that was cut off continues."""
    from vlm3r.commands import geometry as command

    command.train(recipe, overrides or [])


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="Folder of a training run, or of a CUT3R model.")],
    scenes: Annotated[list[Path], typer.Option(help="Folder of scenes to measure on; may be given often.")],
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    train_scenes: Annotated[
        list[Path],
        typer.Option(
            help="Scenes from which the constant answer is learnt. Default: the training run's own; without any, "
            "the model stands alone."
        ),
    ] = [],  # noqa: B006
    cache: Annotated[Path, typer.Option(help="Folder for decoded sequences.")] = Path("outputs/geometry-cache"),
    picture_size: Annotated[
        int | None, typer.Option(min=1, help="Side of the pictures. Default: the training run's.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side of the frames that the model reads. Default: the training run's.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Only the first frames of each scene.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that fill the cache.")] = None,
) -> None:
    """Measure depth, points and poses on whole sequences, beside the best constant answer."""
    from vlm3r.commands import geometry as command
    from vlm3r.training.geometry.measure import MeasureOptions

    options = MeasureOptions(
        folder, tuple(scenes), tuple(train_scenes), cache, picture_size, image_size, frames, device, workers
    )
    raise typer.Exit(command.evaluate(options, out))
