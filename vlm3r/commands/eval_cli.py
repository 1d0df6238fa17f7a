"""Options of `vlm3r eval` and `vlm3r compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def evaluate(
    benchmark: Annotated[Path, typer.Option(help="JSON Lines file of questions.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; one that was stopped is continued.")],
    model: Annotated[str | None, typer.Option(help="Checkpoint folder or hub id. Default: the embedded model.")] = None,
    base: Annotated[str | None, typer.Option(help="Base model of a LoRA checkpoint.")] = None,
    geometry: Annotated[
        str | None, typer.Option(help="CUT3R file, folder or hub id; none for plain LLaVA-Video.")
    ] = None,
    video_root: Annotated[
        list[Path],
        typer.Option(
            "--video-root",
            "--scenes",
            help="Folder that video paths are relative to; may be given often. Default: as recorded beside the file.",
        ),
    ] = [],  # noqa: B006
    probe: Annotated[
        Literal["none", "zero", "shuffle", "swap", "camera-only", "patch-only", "blind"],
        typer.Option(help="Take away or change the geometry, or the video, to see what the answers owe to it."),
    ] = "none",
    features: Annotated[
        Path | None, typer.Option(help="Feature store of `vlm3r features extract`. Default: encode the videos.")
    ] = None,
    limit_videos: Annotated[int | None, typer.Option(min=1, help="Only the first so many videos.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, max=100_000, help="Frames taken from each video.")] = None,
    time_instruction: Annotated[
        bool | None,
        typer.Option("--time-instruction/--no-time-instruction", help="State frame times. Default: as the checkpoint."),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer in tokens.")] = 16,
    batch_size: Annotated[int, typer.Option(min=1, help="Most questions answered side by side.")] = 32,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that decode ahead. Default: one per core, at most 4.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    attention: Annotated[
        Literal["sdpa", "eager", "flex_attention", "flash_attention_2"],
        typer.Option(help="Attention kernel; the last two answer questions one by one."),
    ] = "sdpa",
) -> None:
    """Ask a model a benchmark's questions, encoding each video once, and report scores with intervals."""
    from vlm3r.commands import evaluate as command

    options = command.EvalOptions(
        benchmark=benchmark,
        out=out,
        model=model,
        base=base,
        geometry=geometry,
        video_roots=tuple(video_root),
        probe=probe,
        features=features,
        limit_videos=limit_videos,
        frames=frames,
        time_instruction=time_instruction,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        workers=workers,
        device=device,
        dtype=dtype,
        attention=attention,
    )
    raise typer.Exit(command.run(options))


def compare(
    run_a: Annotated[Path, typer.Argument(help="Folder of one run of `vlm3r eval`.")],
    run_b: Annotated[Path, typer.Argument(help="Folder of another run over the same questions.")],
    out: Annotated[
        Path | None, typer.Option(help="Write the comparison here: JSON with all flips (.json), or Markdown.")
    ] = None,
) -> None:
    """Compare two runs question by question: differences with intervals, flips, and what else differs."""
    from vlm3r.commands import evaluate as command

    command.compare(run_a, run_b, out)
