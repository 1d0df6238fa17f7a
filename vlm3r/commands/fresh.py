"""`vlm3r init` and `vlm3r vision train`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlm3r.checkpoints.files import check_free_target
from vlm3r.checkpoints.native import write_native
from vlm3r.training.fresh.make import make_fresh
from vlm3r.training.fresh.recipe import FreshRecipe
from vlm3r.training.settings import read_settings
from vlm3r.training.vision.recipe import VisionRecipe
from vlm3r.training.vision.train import train_vision as train


def train_vision(recipe: Path, overrides: Sequence[str]) -> None:
    """Train a visual encoder and print how well it names patches of unseen scenes."""
    settings = read_settings(VisionRecipe, recipe, overrides)
    scores = train(settings)
    print(
        f"{settings.out / 'model'}: names {scores.accuracy:.1%} of {scores.patches:,} clear patches in unseen scenes "
        f"(the commonest name alone: {scores.majority:.1%}), tells their places to {scores.misplaced:.2f} patches"
    )


def init(recipe: Path, out: Path, overrides: Sequence[str], overwrite: bool) -> None:
    """Write a new model as a native checkpoint folder."""
    check_free_target(out, overwrite)
    parts = make_fresh(read_settings(FreshRecipe, recipe, overrides))
    write_native(parts, out, overwrite=overwrite)
    count = sum(tensor.numel() for tensor in parts.tensors.values())
    print(f"{out}: {count:,} parameters, {len(parts.tokenizer)} tokens")
