"""Options of `vlm3r features`: tokens of the frozen encoders, stored once per video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    help="Feature stores: what CUT3R and SigLIP make of each video, computed once.", rich_markup_mode=None
)

Model = Annotated[str | None, typer.Option(help="Checkpoint folder or hub id. Default: the embedded model.")]
Base = Annotated[str | None, typer.Option(help="Base model of a LoRA checkpoint.")]
Geometry = Annotated[str | None, typer.Option(help="CUT3R file, folder or hub id.")]
Frames = Annotated[
    int | None,
    typer.Option(min=1, max=100_000, help="Frames taken from each video. Default: the checkpoint's own number."),
]


@app.callback()
def features() -> None:
    """Feature stores: what CUT3R and SigLIP make of each video, computed once."""


@app.command()
def extract(
    out: Annotated[Path, typer.Option(help="Folder of the store; one that is there already is added to.")],
    videos: Annotated[
        list[Path], typer.Option(help="Video file, or a folder searched for them; may be given often.")
    ] = [],  # noqa: B006
    data: Annotated[
        list[Path], typer.Option(help="JSON or JSON Lines of questions, whose videos are taken; may be given often.")
    ] = [],  # noqa: B006
    video_root: Annotated[
        Path | None, typer.Option(help="Folder that the videos in --data are relative to. Default: the file's own.")
    ] = None,
    model: Model = None,
    base: Base = None,
    geometry: Geometry = None,
    parts: Annotated[
        Literal["geometry", "vision", "all"], typer.Option(help="CUT3R's tokens, SigLIP's, or both.")
    ] = "geometry",
    frames: Frames = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes. Default: one per GPU, else one per core.")
    ] = None,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="Local processes, or a Ray cluster.")] = "local",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps; auto and cuda use every GPU.")] = "auto",
    shard_size: Annotated[float, typer.Option(min=1, max=1e6, help="Size of a shard in MB; bounds memory.")] = 256,
    dtype: Annotated[Literal["bfloat16", "float32"], typer.Option(help="Number format of the store.")] = "bfloat16",
) -> None:
    """Store the encoders' tokens of many videos; continues after a stop, and lists unusable videos in skipped.jsonl."""
    from vlm3r.commands import features as command

    raise typer.Exit(
        command.extract_videos(
            videos,
            data,
            video_root,
            out,
            checkpoint=(model, base, geometry, frames),
            parts=parts,
            workers=workers,
            engine=engine,
            device=device,
            shard_megabytes=shard_size,
            dtype=dtype,
        )
    )


@app.command()
def check(
    store: Annotated[Path, typer.Argument(help="Folder of the store.")],
    model: Model = None,
    base: Base = None,
    geometry: Geometry = None,
    frames: Frames = None,
) -> None:
    """Compare a store with a checkpoint, verify every checksum, and look for videos that have changed since."""
    from vlm3r.commands import features as command

    raise typer.Exit(command.check_store(store, (model, base, geometry, frames)))
