"""A run from its recipe: cache, model, training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from cut3r import CUT3R, CheckpointError
from cut3r.costs import count_parameters, flops_per_frame
from cut3r.train import Trainer

from vlm3r.errors import UserError
from vlm3r.files import first_line, write_text
from vlm3r.training.geometry.cache import CacheSizes, Prepared, prepare
from vlm3r.training.geometry.recipe import GeometryRecipe
from vlm3r.training.settings import write_settings

RECIPE_FILE = "recipe.yaml"
CONSTANT_FILE = "constant.safetensors"


@dataclass(frozen=True)
class Planned:
    """A run that is ready to go."""

    trainer: Trainer
    data: Prepared

    @property
    def summary(self) -> str:
        """One line: size of the model, data, steps."""
        config, training = self.trainer.model.config, self.trainer.config
        counts = count_parameters(config)
        cost = flops_per_frame(config, training.image_size, training.image_size).total
        frames = self.trainer.curriculum.frames_before(training.steps)
        return (
            f"{counts['total'] / 1e6:.1f} M parameters, {cost / 1e9:.2f} GFLOP a frame without heads; "
            f"{len(self.data.sequences):,} scenes; {training.steps:,} steps, {frames:,} frames, "
            f"{self.trainer.done:,} steps done"
        )


def plan(recipe: GeometryRecipe) -> Planned:
    """The trainer of a recipe, continued from its last checkpoint if there is one; fills the cache.

    Raises:
        UserError: data or weights that cannot be used, sizes that do not fit, or a folder of another run.
    """
    training = recipe.training
    sizes = CacheSizes(recipe.data.picture_size, training.image_size)
    data = prepare(recipe.data.scenes, recipe.data.cache, sizes, recipe.data.workers)
    try:
        torch.manual_seed(training.seed)
        model = CUT3R(recipe.encoder) if recipe.start is None else CUT3R.from_pretrained(recipe.start)
        trainer = Trainer(model.to(open_device(recipe.device)), data.sequences, training, recipe.out)
        recipe.out.mkdir(parents=True, exist_ok=True)
    except CheckpointError as error:
        raise UserError(str(error)) from error
    except (ValueError, OSError) as error:
        raise UserError(f"geometry recipe: {first_line(error)}") from error
    write_text(recipe.out / RECIPE_FILE, write_settings(recipe))
    return Planned(trainer, data)


def train(planned: Planned, progress: bool = True) -> Path:
    """Trains to the end and returns the folder of the model.

    Raises:
        UserError: the disk is full, or training diverges.
    """
    try:
        return planned.trainer.run(progress)
    except FloatingPointError as error:
        raise UserError(f"{planned.trainer.folder}: {error}") from error
    except OSError as error:
        raise UserError(
            f"{planned.trainer.folder}: cannot be written ({first_line(error)}); free some space"
        ) from error


def open_device(name: str) -> torch.device:
    """A device by name; `auto` is CUDA where there is one, else the CPU.

    Raises:
        UserError: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} cannot be used ({first_line(error)}); give auto or cpu") from error
