"""`vlm3r plan`: what a recipe costs before it runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vlm3r.training.plan.hardware import find_device
from vlm3r.training.plan.plan import Plan, Utilisation, make_plan
from vlm3r.training.plan.sharding import read_sharding
from vlm3r.training.plan.source import counted_data, planned_model, stored_parts
from vlm3r.training.plan.table import plan_record, plan_text
from vlm3r.training.plan.workload import DataCounts
from vlm3r.training.recipe import Recipe, read_recipe


@dataclass(frozen=True)
class PlanOptions:
    """What the command line decides beside the recipe."""

    gpu: str = "h100"
    """Short name of the device."""
    count: int = 1
    """Number of devices."""
    questions: int | None = None
    """Questions of the data; None counts them or takes the published number."""
    videos: int | None = None
    """Clips of the data, likewise."""
    text_tokens: float | None = None
    """Mean tokens of a question and its answer, likewise."""
    answer_tokens: float | None = None
    """Mean supervised tokens of a question."""
    utilisation: float = Utilisation.dense
    """Assumed share of the peak."""
    geometry_utilisation: float = Utilisation.recurrent
    """Assumed share of the peak for CUT3R."""


def run(path: Path, overrides: Sequence[str], options: PlanOptions, json_output: bool) -> None:
    """Print the plan of a recipe."""
    plan, notes = plan_of(read_recipe(path, overrides), options)
    print(json.dumps(plan_record(plan) | {"notes": notes}, indent=1) if json_output else plan_text(plan, notes))


def plan_of(recipe: Recipe, options: PlanOptions) -> tuple[Plan, list[str]]:
    """The plan of a recipe, and what it rests on.

    Raises:
        UserError: a file that the plan needs is missing, or a value makes no sense.
    """
    device, model = find_device(options.gpu), planned_model(recipe)
    counts, note = _counts(recipe, options)
    plan = make_plan(
        model.config,
        recipe,
        counts,
        device,
        options.count,
        frames=model.frames,
        sharding=read_sharding(recipe.run.deepspeed),
        stored=stored_parts(recipe),
        utilisation=Utilisation(options.utilisation, options.geometry_utilisation),
    )
    return plan, [model.note, note]


def _counts(recipe: Recipe, options: PlanOptions) -> tuple[DataCounts, str]:
    given = {
        name: getattr(options, name)
        for name in ("questions", "videos", "text_tokens", "answer_tokens")
        if getattr(options, name) is not None
    }
    found = None
    if not {"questions", "videos"} <= given.keys():
        found = counted_data(recipe, given.get("answer_tokens", DataCounts.answer_tokens))
    counts, note = found or (DataCounts(), "Data not counted: the published mixture's numbers are assumed.")
    if given:
        note = f"{note.rstrip('.')}; given: {', '.join(name.replace('_', ' ') for name in given)}."
    return replace(counts, **given), note
