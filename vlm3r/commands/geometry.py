"""`vlm3r geometry`: train the geometry encoder on scenes, and measure it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlm3r.commands.console import say, stage
from vlm3r.errors import UserError
from vlm3r.files import write_text
from vlm3r.training.geometry.measure import MeasureOptions, measure, save_constant
from vlm3r.training.geometry.recipe import read_geometry_recipe
from vlm3r.training.geometry.run import plan
from vlm3r.training.geometry.run import train as run_training

SHOWN_PROBLEMS = 3


def train(recipe_file: Path, overrides: Sequence[str]) -> None:
    """Train as a recipe says.

    Raises:
        UserError: see `plan` and `vlm3r.training.geometry.run.train`.
    """
    recipe = read_geometry_recipe(recipe_file, overrides)
    with stage("Reading scenes"):
        planned = plan(recipe)
    _report(planned.data.problems)
    say(planned.summary)
    folder = run_training(planned)
    save_constant(planned.data.sequences, recipe)
    print(folder)


def evaluate(options: MeasureOptions, out: Path) -> int:
    """Measure a model on scenes, write the numbers as JSON, print them as a table, and return the exit status.

    The status is 1 where a scene was left out.

    Raises:
        UserError: see `measure`; or `out` cannot be written.
    """
    if out.is_dir() or not out.parent.is_dir():
        raise UserError(f"{out}: cannot be written; give a file as --out, in a folder that exists")
    measured = measure(options)
    _report(measured.problems)
    print(table(measured.report))
    write_text(out, json.dumps(measured.report, indent=1) + "\n")
    return 1 if measured.problems else 0


def table(report: dict[str, Any]) -> str:
    """One line a metric: the model's mean and 95 % interval, and the constant answer's where there is one."""
    lines = [f"{'metric':24}{'model':>32}{'constant answer':>32}"]
    for name in report["model"]:
        cells = [report[side][name] for side in ("model", "constant") if side in report]
        shown = (f"{c['mean']:.3f} [{c['low']:.3f}, {c['high']:.3f}]" for c in cells)
        lines.append(f"{name:24}" + "".join(f"{text:>32}" for text in shown))
    return "\n".join([*lines, f"{report['sequences']} scenes; means over scenes with 95 % intervals"])


def _report(problems: Sequence[str]) -> None:
    for problem in problems[:SHOWN_PROBLEMS]:
        say(problem)
    if len(problems) > SHOWN_PROBLEMS:
        say(f"... and {len(problems) - SHOWN_PROBLEMS} more scenes that cannot be used")
