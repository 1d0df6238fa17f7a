"""Options of `vlm3r qa`: questions with known answers from annotated scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(help="Questions with known answers about annotated 3-D scenes.", rich_markup_mode=None)

LeastFrames = Annotated[int, typer.Option(min=0, help="Only scenes with at least this many frames.")]


@app.command()
def generate(
    scenes: Annotated[
        list[Path],
        typer.Option(help="Folder of scenes, or published scene metadata file; may be given often."),
    ],
    out: Annotated[Path, typer.Option(help="JSON Lines file to write.")],
    frames_file: Annotated[
        list[Path],
        typer.Option(help="Frame metadata of each published file. Default: the file beside it, by its name."),
    ] = [],  # noqa: B006
    tasks: Annotated[str, typer.Option(help="Tasks or question types, comma-separated. Default: all.")] = "",
    per_scene: Annotated[int, typer.Option(min=1, help="Most questions of each type in one scene.")] = 6,
    cap: Annotated[
        list[str],
        typer.Option(help="The same for one task or type: NAME=N; may be given often."),
    ] = [],  # noqa: B006
    split: Annotated[str | None, typer.Option(help="Only scenes of this part: train, val or test.")] = None,
    shares: Annotated[
        str, typer.Option(help="Shares of the scenes by part, which the seed fills.")
    ] = "train=0.8,val=0.1,test=0.1",
    least_frames: LeastFrames = 0,
    format: Annotated[
        Literal["benchmark", "training", "open"],
        typer.Option(help="Rows as benchmarks or training read them; open: training rows as people ask."),
    ] = "benchmark",
    style: Annotated[
        Literal["ours", "vsibench"], typer.Option(help="Several paraphrases, or the conventions of VSI-Bench.")
    ] = "ours",
    rules: Annotated[
        Literal["strict", "published"], typer.Option(help="Leave out ambiguous questions, or only as published.")
    ] = "strict",
    balance: Annotated[
        bool, typer.Option("--balance/--no-balance", help="Even out answers over the data set, or take what comes.")
    ] = True,
    debias: Annotated[
        bool, typer.Option("--debias", help="Leave out what the categories alone give away; needs many scenes.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Other seed, other questions.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one per core.")] = None,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="Local processes, or a Ray cluster.")] = "local",
    tolerate_problems: Annotated[
        bool, typer.Option("--tolerate-problems", help="Status 0 although something in a scene was left out.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write balanced questions about scenes, for training or as a benchmark."""
    from vlm3r.commands import qa as command
    from vlm3r.qa.engine import GenerateOptions
    from vlm3r.qa.rules import Rules

    options = GenerateOptions(
        tasks=tuple(filter(None, (name.strip() for name in tasks.split(",")))),
        per_scene=per_scene,
        caps=command.read_caps(cap),
        split=split,
        shares=command.read_shares(shares),
        least_frames=least_frames,
        format=format,
        style=style,
        seed=seed,
        balance=balance,
        debias=debias,
        rules=Rules.strict() if rules == "strict" else Rules.published(),
    )
    status = command.generate_file(
        scenes,
        frames_file,
        out,
        options,
        workers=workers,
        engine=engine,
        overwrite=overwrite,
        tolerate_problems=tolerate_problems,
    )
    raise typer.Exit(status)


@app.command()
def describe(
    scenes: Annotated[list[Path], typer.Option(help="Folder of scenes; may be given often.")],
    out: Annotated[Path, typer.Option(help="JSON Lines file to write.")],
    per_kind: Annotated[int, typer.Option(min=1, help="Most descriptions of each kind in one scene.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Other seed, other descriptions.")] = 0,
    least_frames: LeastFrames = 0,
    kinds: Annotated[str, typer.Option(help="Kinds of descriptions, comma-separated. Default: all.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write training rows that describe scenes in lists: what is seen, where, how far, how large, how often."""
    from vlm3r.commands import qa as command

    raise typer.Exit(command.describe_scenes(scenes, out, per_kind, seed, least_frames, kinds, overwrite))


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="Questions written by `vlm3r qa generate`.")],
    out: Annotated[
        Path | None, typer.Option(help="Page (.html) or sheet (.png) to write. Default: FILE.html beside the file.")
    ] = None,
    scenes: Annotated[
        list[Path], typer.Option(help="Where the scenes are now, if they have moved; may be given often.")
    ] = [],  # noqa: B006
    n: Annotated[int, typer.Option("--n", min=1, help="Number of questions.")] = 20,
    task: Annotated[str, typer.Option(help="Only these tasks or question types, comma-separated.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Other seed, other questions.")] = 0,
) -> None:
    """Look at questions: frames, a map with the objects, question, options, answer and what it rests on."""
    from vlm3r.commands import qa as command

    command.inspect_file(file, out, scenes, n, task, seed)


@app.command()
def stats(
    file: Annotated[Path, typer.Argument(help="Questions written by `vlm3r qa generate`.")],
    out: Annotated[Path | None, typer.Option(help="Folder for plots. Default: none.")] = None,
    prior: Annotated[
        Path | None,
        typer.Option(help="File that the blind prior is learnt from. Default: one half of the scenes for the other."),
    ] = None,
) -> None:
    """Count questions and answers, score the blind and random baselines, and plot the distributions."""
    from vlm3r.commands import qa as command

    command.stats_of_file(file, out, prior)
