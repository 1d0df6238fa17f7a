"""Options of `vlm3r publish`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def publish(
    checkpoint: Annotated[Path, typer.Argument(help="Training run, native folder or LoRA repository.")],
    repo: Annotated[str, typer.Option(help="Repository on the hub: owner/name.")],
    private: Annotated[bool, typer.Option("--private", help="Private; refuses an existing public one.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the files and show the card; touch no network.")
    ] = False,
    base: Annotated[str | None, typer.Option(help="Hub id of the base model, where the run names a folder.")] = None,
    dataset: Annotated[list[str], typer.Option(help="Hub id of a data set trained on; may be given often.")] = [],  # noqa: B006
    licence: Annotated[
        str | None, typer.Option("--license", help="Identifier, such as apache-2.0. Default: by what is uploaded.")
    ] = None,
    scores: Annotated[Path | None, typer.Option(help="Folder of a finished `vlm3r eval`, for the card.")] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Upload the complete model even if it is 1 GB or more.")
    ] = False,
    published_bin: Annotated[
        bool, typer.Option("--published-bin", help="Add non_lora_trainables.bin, a pickle, for the published code.")
    ] = False,
) -> None:
    """Upload a checkpoint to the hub with a model card, or show what would be uploaded."""
    from vlm3r.commands import publish as command
    from vlm3r.hub.contents import PublishOptions

    options = PublishOptions(
        repo=repo,
        base=base,
        licence=licence,
        datasets=tuple(dataset),
        scores=scores,
        whole=whole,
        published_bin=published_bin,
    )
    command.run(checkpoint, options, private, dry_run)
