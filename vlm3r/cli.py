"""The `vlm3r` command: parses options; everything heavy is imported by the command that runs."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from vlm3r.commands.eval_cli import compare, evaluate
from vlm3r.commands.features_cli import app as features_app
from vlm3r.commands.fresh_cli import init, vision_app
from vlm3r.commands.geometry_cli import app as geometry_app
from vlm3r.commands.plan_cli import plan
from vlm3r.commands.publish_cli import publish
from vlm3r.commands.qa_cli import app as qa_app
from vlm3r.commands.scenes_check_cli import app as scenes_app
from vlm3r.commands.train_cli import train
from vlm3r.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
DEMO_VIDEO = ROOT / "playground" / "demo" / "room_walk.mp4"
DEMO_QUESTION = "If I stand by the stool and face the stove, is the sofa to my left, right or back?"

TERMINATED = 143
INTERRUPTED = 130
# Typer names only its leaves, and brings its own copy of click in newer versions.
UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    help="Spatial questions about a plain video, answered by VLM-3R.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(scenes_app, name="scenes")
app.add_typer(qa_app, name="qa")
app.add_typer(vision_app, name="vision")
app.add_typer(geometry_app, name="geometry")
app.add_typer(features_app, name="features")

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Model = Annotated[str | None, typer.Option(help="Checkpoint folder or hub id. Default: the embedded model.")]


@app.command()
def ask(
    question: Annotated[list[str], typer.Option("--question", "-q", help="What to ask; may be given often.")] = [],  # noqa: B006
    questions: Annotated[
        Path | None,
        typer.Option(
            help="File of questions, one on each line, or JSON Lines with `question` and, if wanted, `id`.",
        ),
    ] = None,
    video: Annotated[Path | None, typer.Option(help="Video file, or a folder of frames.")] = None,
    images: Annotated[list[Path], typer.Option(help="Still image, or a folder of them; may be given often.")] = [],  # noqa: B006
    text_only: Annotated[bool, typer.Option("--text-only", help="Ask without any picture.")] = False,
    model: Model = None,
    base: Annotated[str | None, typer.Option(help="Base model of a LoRA checkpoint.")] = None,
    geometry: Annotated[
        str | None,
        typer.Option(help="CUT3R file, folder or hub id; none for plain LLaVA-Video."),
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Frames taken from the video.")] = None,
    pool_mode: Annotated[str | None, typer.Option(help="average, max or bilinear.")] = None,
    newline_position: Annotated[
        str | None,
        typer.Option(help="grid, frame, one_token or no_token."),
    ] = None,
    conv_template: Annotated[str, typer.Option(help="Conversation template.")] = "qwen_1_5",
    decoder: Annotated[str, typer.Option(help="Video decoder: auto, pyav or decord.")] = "auto",
    device: Device = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    quantization: Annotated[
        Literal["4bit", "8bit"] | None,
        typer.Option(help="Load the language model in 4 or 8 bits (needs bitsandbytes)."),
    ] = None,
    attention: Annotated[
        Literal["sdpa", "eager", "flex_attention", "flash_attention_2"],
        typer.Option(help="Attention kernel; flash_attention_2 needs flash-attn."),
    ] = "sdpa",
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Longest answer in tokens. Default: 1024, or 16 where the weights are untrained.")
    ] = None,
    stream: Annotated[
        bool | None,
        typer.Option(
            help="Show each answer while it is generated, or whole, several questions side by side. Default: stream, "
            "but not with --questions.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Questions answered side by side where nothing is streamed.")] = 32,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write answers and the run's fingerprint here; - is standard output."),
    ] = None,
) -> None:
    """Answer questions about a video, a folder of frames, or still images."""
    from vlm3r.commands import ask as command

    if sum((video is not None, bool(images), text_only)) > 1:
        raise UserError("give one of --video, --images and --text-only")
    if question and questions is not None:
        raise UserError("give --question or --questions, not both")
    if text_only and not question and questions is None:
        raise UserError("--text-only needs a --question or --questions")
    if video is None and not images and not text_only:
        video = DEMO_VIDEO
        question = question or ([DEMO_QUESTION] if questions is None else [])
    command.run(
        command.AskOptions(
            questions=tuple(question),
            questions_file=questions,
            video=video,
            images=tuple(images),
            model=model,
            base=base,
            geometry=geometry,
            frames=frames,
            pool_mode=pool_mode,
            newline_position=newline_position,
            conv_template=conv_template,
            decoder=decoder,
            device=device,
            dtype=dtype,
            quantization=quantization,
            attention=attention,
            max_new_tokens=max_new_tokens,
            stream=questions is None if stream is None else stream,
            batch_size=batch_size,
            json_file=json_file,
        )
    )


@app.command()
def reconstruct(
    video: Annotated[Path, typer.Argument(help="Video file, or a folder of frames.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    model: Annotated[
        str | None,
        typer.Option(help="CUT3R file, folder or hub id, a native VLM-3R folder, or 'published'. Default: embedded."),
    ] = None,
    device: Device = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    every: Annotated[int, typer.Option(min=1, help="Use every N-th frame.")] = 1,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            help="Longer side of the frames that the model sees, pixels. Default: 512; for a VLM-3R folder, its own."
        ),
    ] = None,
    confidence_percentile: Annotated[
        float, typer.Option(help="Least confident share of pixels to drop, percent.")
    ] = 30,
    voxel_size: Annotated[
        float | None,
        typer.Option(help="Voxel edge in metres. Default: from the scene's depth."),
    ] = None,
    state_update: Annotated[
        Literal["cut3r", "ttt3r"], typer.Option(help="CUT3R's state: as trained, or TTT3R's update for long videos.")
    ] = "cut3r",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier results in the folder.")] = False,
) -> None:
    """Reconstruct a video: coloured point cloud, depth maps, camera path and a preview picture."""
    from vlm3r.commands import reconstruct as command

    settings = {
        "confidence_percentile": confidence_percentile,
        "voxel_size": "auto" if voxel_size is None else voxel_size,
        "state_update": state_update,
        "overwrite": overwrite,
    }
    if image_size is not None:
        settings["image_size"] = image_size
    command.run(video, out, model, device, dtype, every, max_frames, settings)


@app.command()
def convert(
    checkpoint: Annotated[str, typer.Argument(help="Checkpoint folder or hub id, of any layout.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    base: Annotated[str | None, typer.Option(help="Base model of a LoRA checkpoint.")] = None,
    geometry: Annotated[str | None, typer.Option(help="CUT3R file, folder or hub id, or none.")] = None,
    to: Annotated[Literal["native", "published"], typer.Option(help="Layout to write.")] = "native",
    merge_lora: Annotated[
        bool, typer.Option("--merge-lora/--keep-lora", help="Add the adapter to the weights, or keep it apart.")
    ] = False,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(help="Number format to write. Default: each weight keeps its own."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing folder.")] = False,
) -> None:
    """Convert a checkpoint: published layout to one native folder, or back."""
    from vlm3r.commands import convert as command

    command.run(checkpoint, out, base, geometry, to, merge_lora, dtype, overwrite)


app.command()(init)
app.command()(plan)
app.command()(train)
app.command("eval")(evaluate)
app.command()(compare)
app.command()(publish)


@app.command()
def doctor(
    json_output: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check this machine: versions, devices, attention back ends, decoders, and how to mend what is missing."""
    from vlm3r.doctor import collect, render

    report = collect()
    print(report.to_json() if json_output else render(report))
    raise typer.Exit(report.exit_status)


@app.command()
def version() -> None:
    """Print the version."""
    from vlm3r import __version__

    print(__version__)


def main() -> None:
    """Run the command line; what the user can mend becomes one line and exit status 2."""
    # The embedded model and local folders need no network; libraries must not try it for them.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Leave as after Ctrl-C, so that what is half written is cleaned up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        status = app(sys.argv[1:] or ["--help"], prog_name="vlm3r", standalone_mode=False)
        sys.stdout.flush()
    except UsageError as error:
        _fail(f"{error.format_message()} (see {error.ctx.command_path if error.ctx else 'vlm3r'} --help)")
    except UserError as error:
        _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:
        if not isinstance(error, BrokenPipeError) and not isinstance(error.__context__, BrokenPipeError):
            raise
        # The reader of our output went away, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    if status == INTERRUPTED:
        print("vlm3r: interrupted", file=sys.stderr)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str) -> NoReturn:
    print(f"vlm3r: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
