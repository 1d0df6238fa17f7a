"""Options of `vlm3r plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def plan(
    recipe: Annotated[Path, typer.Argument(help="Recipe of the run.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings to change, key=value.")] = None,
    gpu: Annotated[str, typer.Option(help="Device, such as h100, h200, a100, rtx4090 or cpu.")] = "h100",
    count: Annotated[int, typer.Option(min=1, help="Number of devices.")] = 1,
    questions: Annotated[int | None, typer.Option(min=1, help="Questions. Default: counted, else 205,000.")] = None,
    videos: Annotated[int | None, typer.Option(min=1, help="Videos. Default: counted, else 2,000.")] = None,
    text_tokens: Annotated[
        float | None, typer.Option(min=1, help="Mean tokens of a question and its answer. Default: counted, else 80.")
    ] = None,
    answer_tokens: Annotated[
        float | None, typer.Option(min=1, help="Mean supervised tokens of a question. Default: 5.")
    ] = None,
    utilisation: Annotated[float, typer.Option(min=0.001, max=1, help="Share of the device's peak to assume.")] = 0.35,
    geometry_utilisation: Annotated[
        float, typer.Option(min=0.001, max=1, help="The same for CUT3R, which takes frame after frame.")
    ] = 0.05,
    json_output: Annotated[bool, typer.Option("--json", help="Print the plan as JSON: FLOPs, bytes, seconds.")] = False,
) -> None:
    """Work out what a training run will need: parameters, FLOPs, memory, store and hours. Loads nothing."""
    from vlm3r.commands import plan as command

    options = command.PlanOptions(
        gpu=gpu,
        count=count,
        questions=questions,
        videos=videos,
        text_tokens=text_tokens,
        answer_tokens=answer_tokens,
        utilisation=utilisation,
        geometry_utilisation=geometry_utilisation,
    )
    command.run(recipe, overrides or [], options, json_output)
