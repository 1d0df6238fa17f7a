"""`vlm3r train`: a run, or what it would be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from vlm3r.training.recipe import read_recipe
from vlm3r.training.settings import write_settings


def run(path: Path, overrides: Sequence[str], dry_run: bool) -> int:
    """Train by the recipe at `path`; the exit status is 0, or that of the signal that ended the run.

    Raises:
        UserError: the recipe, its data or its model cannot be used.
    """
    recipe = read_recipe(path, overrides)
    from transformers.utils import logging as transformers_logging

    from vlm3r.training import run as runs

    transformers_logging.disable_progress_bar()
    if not dry_run:
        return runs.train(recipe)
    prepared = runs.prepare(recipe)
    if prepared.processes.writes:
        print(write_settings(recipe), end="")
        print(yaml.safe_dump({"counts": prepared.facts()}, sort_keys=False, allow_unicode=True), end="")
    return 0
