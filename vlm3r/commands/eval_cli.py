"""Options of `vlm3r eval` and `vlm3r compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def evaluate(
    benchmark: Annotated[
        str,
        typer.Option(
            help="vsibench, vsibench-debiased, vsibench-pruned or vstibench, with --data; or a file of questions: JSON "
            "Lines, JSON list or parquet."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; one that was stopped is continued.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a published data set as it is on the hub, videos unpacked; or of a file's videos."
        ),
    ] = None,
    preset: Annotated[
        Literal["native", "published-eval", "published-eval-decord", "published-train", "published-demo"],
        typer.Option(help="How frames are taken, pooled and spoken of; options that are given win over it."),
    ] = "native",
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
            help="Folder that video paths are relative to; may be given often. Default: --data, or as recorded "
            "beside the file.",
        ),
    ] = [],  # noqa: B006
    probe: Annotated[
        Literal[
            "none", "zero", "shuffle", "swap", "camera-only", "patch-only", "blind", "dummy-video", "permute-options"
        ],
        typer.Option(
            help="Take away or change the geometry, the video or the order of options, to see what answers owe to it."
        ),
    ] = "none",
    features: Annotated[
        Path | None, typer.Option(help="Feature store of `vlm3r features extract`. Default: encode the videos.")
    ] = None,
    limit_videos: Annotated[int | None, typer.Option(min=1, help="Only the first so many videos.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, max=100_000, help="Frames taken from each video.")] = None,
    time_instruction: Annotated[
        bool | None,
        typer.Option("--time-instruction/--no-time-instruction", help="State frame times. Default: as the preset."),
    ] = None,
    pool_mode: Annotated[str | None, typer.Option(help="average, max or bilinear. Default: as the preset.")] = None,
    newline_position: Annotated[
        str | None, typer.Option(help="grid, frame, one_token or no_token. Default: as the preset.")
    ] = None,
    decoder: Annotated[str | None, typer.Option(help="auto, pyav or decord. Default: as the preset.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer in tokens. Default: 16.")] = None,
    blind: Annotated[
        Path | None, typer.Option(help="Run with --probe blind or dummy-video, whose scores the report shows beside.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Most questions answered side by side.")] = 32,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that decode ahead. Default: one per core, at most 4, for each that asks."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    quantization: Annotated[
        Literal["4bit", "8bit"] | None,
        typer.Option(help="Load the language model in 4 or 8 bits (needs bitsandbytes)."),
    ] = None,
    attention: Annotated[
        Literal["sdpa", "eager", "flex_attention", "flash_attention_2"],
        typer.Option(help="Attention kernel; the last two answer questions one by one."),
    ] = "sdpa",
) -> None:
    """Ask a model a benchmark's questions, encoding each video once, and report scores with intervals.

    On N GPUs: torchrun --standalone --nproc-per-node N -m vlm3r.cli eval ...
    """
    from vlm3r.commands import evaluate as command

    options = command.EvalOptions(
        benchmark=benchmark,
        out=out,
        model=model,
        base=base,
        geometry=geometry,
        data=data,
        preset=preset,
        video_roots=tuple(video_root),
        probe=probe,
        features=features,
        limit_videos=limit_videos,
        frames=frames,
        time_instruction=time_instruction,
        pool_mode=pool_mode,
        newline_position=newline_position,
        decoder=decoder,
        blind=blind,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        workers=workers,
        device=device,
        dtype=dtype,
        quantization=quantization,
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
