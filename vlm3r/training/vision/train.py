"""Training of the small visual encoder with transformers' Trainer, and what it tells apart in unseen scenes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cut3r.optimiser import linear_weights, make_optimiser
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import Trainer, TrainingArguments, set_seed
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import get_last_checkpoint

from vlm3r.checkpoints.files import read_json
from vlm3r.errors import UserError
from vlm3r.files import first_line, write_text
from vlm3r.model.vision import VisionTower
from vlm3r.scenes.storage import find_scenes
from vlm3r.training.settings import settings_record
from vlm3r.training.vision.contrast import PatchNameModel, patch_places, tower_config
from vlm3r.training.vision.patches import Patches, PatchTask, decode_scene, read_patches
from vlm3r.training.vision.recipe import VisionRecipe
from vlm3r.workers import run

ADAM_BETAS = (0.9, 0.999)
BRIGHTNESS = 0.2
"""Frames are brightened or darkened by up to this share, and their contrast changed likewise."""


@dataclasses.dataclass(frozen=True)
class VisionScores:
    """How well patches of unseen scenes are named."""

    accuracy: float
    """Share of patches half covered by one category whose best name is that category."""
    majority: float
    """The same for the name that is right most often."""
    patches: int
    """Patches that were asked about."""
    misplaced: float
    """Mean distance of the places that a linear layer reads from the tokens, in widths of a patch."""


class PatchFrames(Dataset[dict[str, Tensor]]):
    """Single frames of many scenes with their patches' categories in one common order."""

    def __init__(self, files: Sequence[Path], names: Sequence[str], seed: int, augment: bool):
        self.scenes: list[Patches] = [read_patches(path) for path in files]
        column = {name: i for i, name in enumerate(names)}
        self.columns = [np.array([column[name] for name in scene.categories], np.int64) for scene in self.scenes]
        self.places = [(s, f) for s, scene in enumerate(self.scenes) for f in range(len(scene.pictures))]
        self.width, self.seed, self.augment = len(names), seed, augment

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        scene, frame = self.places[index]
        pixels = torch.from_numpy(self.scenes[scene].pictures[frame]).permute(2, 0, 1).float() / 127.5 - 1
        held = self.scenes[scene].shares[frame]
        shares = np.zeros((len(held), self.width), np.uint8)
        shares[:, self.columns[scene]] = held
        labels = torch.from_numpy(shares)
        return self._vary(pixels, labels) if self.augment else {"pixel_values": pixels, "shares": labels}

    def _vary(self, pixels: Tensor, shares: Tensor) -> dict[str, Tensor]:
        contrast, brightness = 1 + (torch.rand(2) * 2 - 1) * BRIGHTNESS
        pixels = (pixels * contrast + brightness - 1).clamp(-1, 1)
        if torch.rand(()) < 0.5:
            side = round(len(shares) ** 0.5)
            pixels = pixels.flip(-1)
            shares = shares.view(side, side, -1).flip(1).flatten(0, 1)
        return {"pixel_values": pixels, "shares": shares}


def train_vision(recipe: VisionRecipe) -> VisionScores:
    """Train the encoder of a recipe and write it, with its recipe and scores, into the recipe's folder.

    Raises:
        UserError: scenes are missing or unfit, or the folder holds a run of another recipe.
    """
    scenes = [str(path.parent) for path in _scenes(recipe)]
    record = settings_record(recipe)
    _check_folder(recipe.out, {"recipe": record, "scenes": scenes})
    files = cache_scenes(recipe)
    if len(files) <= recipe.held_out:
        raise UserError(f"{len(files)} scenes leave none to train on beside {recipe.held_out} held out; give more")
    seen, unseen = files[: len(files) - recipe.held_out], files[len(files) - recipe.held_out :]
    names = sorted({name for path in files for name in read_patches(path).categories})
    set_seed(recipe.seed)
    tower = VisionTower(tower_config(recipe.tower))
    model = PatchNameModel(tower, names, recipe.text_width, recipe.present_share, recipe.place_weight)
    frames = PatchFrames(seen, names, recipe.seed, augment=True)
    arguments = _arguments(recipe)
    trainer = Trainer(model, arguments, train_dataset=frames, optimizers=(_optimiser(model, recipe), None))
    if not torch.cuda.is_available():
        # The CPU's fused kernel takes six times as long as two matrix products in bfloat16.
        tower.set_attn_implementation("eager")
    trainer.train(resume_from_checkpoint=_last_checkpoint(recipe.out))
    scores = evaluate(model, PatchFrames(unseen, names, recipe.seed, augment=False))
    tower.save_pretrained(recipe.out / "model")
    report = {"scores": dataclasses.asdict(scores), "names": names, "frames": len(frames), "recipe": record}
    write_text(recipe.out / "vision.json", json.dumps(report, indent=2) + "\n")
    return scores


def cache_scenes(recipe: VisionRecipe) -> list[Path]:
    """The cache files of a recipe's scenes, in the order of the scenes' names."""
    scenes = _scenes(recipe)
    _make_folder(recipe.cache, "cache")
    tower = recipe.tower
    tasks = [PatchTask(path, recipe.cache.resolve(), tower.image_size, tower.patch_size) for path in scenes]
    files = []
    for outcome in tqdm(run(decode_scene, tasks, workers=recipe.workers), total=len(tasks), desc="decoding"):
        if outcome.value is None:
            raise UserError(f"{outcome.item.scene}: {outcome.error}")
        files.append(outcome.value)
    return files


def _scenes(recipe: VisionRecipe) -> list[Path]:
    """A recipe's scene files in the order of the scenes' names."""
    return sorted((path for folder in recipe.scenes for path in find_scenes(folder)), key=lambda p: p.parent.name)


@torch.no_grad()
def evaluate(model: PatchNameModel, frames: PatchFrames) -> VisionScores:
    """Scores on frames of scenes that were not trained on."""
    model.eval()
    right = total = 0
    counts = torch.zeros(frames.width)
    device = model.bias.device
    apart: list[Tensor] = []
    for pixels, shares in _batches(frames):
        clear = shares.max(-1).values >= 128
        truth = shares.argmax(-1)[clear]
        best = model.match(pixels.to(device)).argmax(-1).cpu()[clear]
        side = round(shares.shape[1] ** 0.5)
        found = model.find(pixels.to(device)).cpu()
        apart.append((found - patch_places(side)).norm(dim=-1).flatten() * side / 2)
        right, total = right + int((best == truth).sum()), total + len(truth)
        counts += torch.bincount(truth, minlength=frames.width)
    misplaced = float(torch.cat(apart).mean()) if apart else 0.0
    return VisionScores(right / max(total, 1), float(counts.max()) / max(total, 1), total, misplaced)


def _batches(frames: PatchFrames, size: int = 64) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(frames), size):
        items = [frames[i] for i in range(start, min(start + size, len(frames)))]
        yield torch.stack([i["pixel_values"] for i in items]), torch.stack([i["shares"] for i in items])


def _arguments(recipe: VisionRecipe) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(recipe.out),
        per_device_train_batch_size=recipe.batch_size,
        max_steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=recipe.warmup,
        bf16=recipe.precision == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        seed=recipe.seed,
        logging_steps=50,
        save_steps=recipe.save_every,
        save_total_limit=1,
        report_to=[],
        remove_unused_columns=False,
        dataloader_num_workers=0,
    )


def _optimiser(model: PatchNameModel, recipe: VisionRecipe) -> torch.optim.Optimizer:
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return make_optimiser(recipe.method, groups, linear_weights([model]), recipe.learning_rate, ADAM_BETAS)


def _last_checkpoint(out: Path) -> str | None:
    """The newest checkpoint; those that a kill left half written are removed."""
    for checkpoint in out.glob("checkpoint-*"):
        # The Trainer writes its state last.
        if not (checkpoint / TRAINER_STATE_NAME).is_file():
            shutil.rmtree(checkpoint)
    return get_last_checkpoint(str(out))


def _make_folder(folder: Path, key: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({first_line(error)}); choose another {key}") from error


def _check_folder(out: Path, record: dict[str, Any]) -> None:
    """Keep a run from continuing one that began with other settings."""
    _make_folder(out, "out")
    held = out / "recipe.json"
    if held.is_file():
        if read_json(held) != record:
            raise UserError(
                f"{out}: holds a run of another recipe or of other scenes; choose another out, or delete the folder"
            )
        return
    if any(out.iterdir()):
        raise UserError(f"{out}: is not empty and holds no visual encoder's run; choose another out")
    write_text(held, json.dumps(record, indent=2) + "\n")
