"""Options of `vlm3r scenes`: annotated 3-D scenes, made from a seed or from downloads of real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    help="Annotated 3-D scenes: rooms made from a seed, and real ones from their downloads.", rich_markup_mode=None
)


@app.callback()
def scenes() -> None:
    """Annotated 3-D scenes: rooms made from a seed, and real ones from their downloads."""


@app.command()
def generate(
    rooms: Annotated[int, typer.Option(min=1, help="Number of scenes; a finished run can be continued with more.")],
    out: Annotated[Path, typer.Option(help="Folder that receives one folder per scene.")],
    seed: Annotated[int, typer.Option(min=0, help="Other seed, other rooms.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one per core.")] = None,
    quality: Annotated[
        Literal["fast", "standard", "best"],
        typer.Option(help="fast: 320x240, 4 frames/s; standard: 640x480, 10; best: 640x480, 24, finest light."),
    ] = "fast",
    fps: Annotated[float, typer.Option(help="Frames per second of the video; 0 takes the quality's own.")] = 0.0,
    sampled_frames: Annotated[
        int, typer.Option(min=1, help="Frames that a model is to see of each walk; they get depth and instance masks.")
    ] = 32,
    backend: Annotated[
        Literal["auto", "opengl", "raycast"],
        typer.Option(help="Renderer: OpenGL where the system has it, else ray casting."),
    ] = "auto",
    engine: Annotated[Literal["local", "ray"], typer.Option(help="Local processes, or a Ray cluster.")] = "local",
) -> None:
    """Make furnished rooms with a filmed walk, depth, instance masks and exact annotations; continues after a stop."""
    from vlm3r.commands import scenes as command
    from vlm3r.scenes.synthetic.settings import SceneSettings

    settings = SceneSettings(quality=quality, fps=fps, sampled_frames=sampled_frames, backend=backend)
    raise typer.Exit(command.generate(rooms, seed, out, settings, workers, engine))


@app.command()
def cut(
    scenes: Annotated[list[Path], typer.Option(help="Folder of scenes with videos; may be given often.")],
    out: Annotated[Path, typer.Option(help="Folder that receives one folder per clip.")],
    frames: Annotated[int, typer.Option(min=1, help="Frames of a clip, out of those that a model sees.")] = 1,
    clips: Annotated[int, typer.Option(min=1, help="Most clips of one scene; each begins at another frame.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Decides where clips begin.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one per core.")] = None,
) -> None:
    """Cut short clips from scenes, each a scene of its own: what a model can learn from before whole walks."""
    from vlm3r.commands import scenes as command

    raise typer.Exit(command.cut(scenes, out, frames, clips, seed, workers))


@app.command()
def prepare(
    dataset: Annotated[Literal["scannet", "scannetpp", "arkitscenes"], typer.Argument(help="Whose download it is.")],
    raw: Annotated[Path, typer.Option(help="Folder of the download, as its own tools lay it out.")],
    out: Annotated[Path, typer.Option(help="Folder that receives one folder per scene.")],
    split: Annotated[str | None, typer.Option(help="One of the data set's own, such as train. Default: all.")] = None,
    labels: Annotated[
        Literal["ours", "published", "vsibench"],
        typer.Option(help="Names of objects: our synonyms; the published training data's; the benchmark's."),
    ] = "ours",
    published: Annotated[
        bool, typer.Option("--published", help="Sizes, cameras, poses and choice of scans as published.")
    ] = False,
    route: Annotated[
        str | None,
        typer.Option(
            help="Recording or camera: scannet registered, published; scannetpp dslr, dslr-test, dslr-all, iphone, "
            "iphone-colmap; arkitscenes auto, mov, lowres. Default: the first of them."
        ),
    ] = None,
    size: Annotated[int, typer.Option(min=32, help="Most pixels along a picture's longer side.")] = 640,
    frames: Annotated[int, typer.Option(min=1, help="Frames that a model is to see; they get depth and masks.")] = 32,
    dense: Annotated[bool, typer.Option("--dense", help="Depth, masks and 2-D boxes for every frame.")] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Use ScanNet recordings that are cut short as far as they go.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first scans, for a trial.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides sampled points, and one scan of each visit.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one per core.")] = None,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="Local processes, or a Ray cluster.")] = "local",
) -> None:
    """Make scenes of a licensed download of ScanNet, ScanNet++ or ARKitScenes; continues after a stop."""
    from vlm3r.commands import prepare as command
    from vlm3r.scenes.raw.prepare import PrepareSettings

    settings = PrepareSettings(labels, published, size, frames, dense, partial, seed)
    choice = command.Choice(dataset, raw, split, route, limit)
    raise typer.Exit(command.prepare(choice, out, settings, workers, engine))
