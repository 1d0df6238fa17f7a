"""Options of `vlm3r scenes check`, `leaks` and `split`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vlm3r.commands.scenes_cli import app

Scenes = Annotated[
    list[Path], typer.Argument(help="Folder of prepared or synthetic scenes, or published scene metadata.")
]
Benchmark = Annotated[
    list[Path],
    typer.Option(
        help="What is evaluated on: questions (.jsonl, .json, .parquet), a published benchmark's folder, or a list of "
        "scene ids (.txt); may be given often."
    ),
]
Visits = Annotated[
    list[Path], typer.Option(help="Folder with ARKitScenes' metadata.csv, which says what scans show the same flat.")
]


@app.command()
def check(
    scenes: Scenes,
    benchmark: Benchmark = [],  # noqa: B006
    visits: Visits = [],  # noqa: B006
    sheets: Annotated[Path | None, typer.Option(help="Folder that receives one contact sheet a scene.")] = None,
    report: Annotated[Path | None, typer.Option(help="JSON file to write with all that was found.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one per core.")] = None,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="Local processes, or a Ray cluster.")] = "local",
) -> None:
    """Say what is missing, corrupt, rotated, unaligned or mirrored in each scene; status 1 if anything is wrong."""
    from vlm3r.commands import scenes_check as command

    raise typer.Exit(command.check(scenes, benchmark, visits, sheets, report, workers, engine))


@app.command()
def leaks(
    training: Annotated[
        list[Path],
        typer.Argument(help="What is learnt from: scenes, published metadata, training rows, or a list of scene ids."),
    ],
    benchmark: Benchmark,
    visits: Visits = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option(help="List of the scenes that leak, to write.")] = None,
) -> None:
    """Say which scenes for training, or other scans of the same place, a benchmark evaluates on; status 1 if any."""
    from vlm3r.commands import scenes_check as command

    raise typer.Exit(command.leaks(training, benchmark, visits, out))


@app.command()
def split(
    scenes: Scenes,
    out: Annotated[Path, typer.Option(help="Folder that receives one list of scene ids for each part.")],
    shares: Annotated[str, typer.Option(help="Shares of the places by part.")] = "train=0.8,val=0.1,test=0.1",
    seed: Annotated[int, typer.Option(min=0, help="Other seed, other parts.")] = 0,
    benchmark: Benchmark = [],  # noqa: B006
    visits: Visits = [],  # noqa: B006
) -> None:
    """Write lists of scenes for training, validation and testing, all scans of a place in one part."""
    from vlm3r.commands import qa, scenes_check

    raise typer.Exit(scenes_check.split(scenes, out, qa.read_shares(shares), seed, benchmark, visits))
