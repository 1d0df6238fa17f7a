"""Checkpoint folders that are whole or not there: written aside, flushed to disk, then renamed."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from vlm3r.checkpoints.files import read_json, read_tensors
from vlm3r.errors import UserError
from vlm3r.files import first_line

WEIGHTS = "trained.safetensors"
OPTIMISER = "optimizer.pt"
SCHEDULER = "scheduler.pt"
TRAINER_STATE = "trainer_state.json"
PROGRESS = "progress.json"
ENGINE = "deepspeed"
NAME = re.compile(r"checkpoint-(\d+)")
STALE = re.compile(r"\.checkpoint-\d+\.(incomplete|removed)")


def checkpoints(run: Path) -> list[Path]:
    """The run's checkpoint folders, oldest first."""
    found = {int(match[1]): path for path in run.glob("checkpoint-*") if (match := NAME.fullmatch(path.name))}
    return [found[step] for step in sorted(found)]


def step_of(checkpoint: Path) -> int:
    """The number of steps that a checkpoint folder stands for."""
    match = NAME.fullmatch(checkpoint.name)
    assert match is not None
    return int(match[1])


def building_folder(run: Path, step: int) -> Path:
    """Where a checkpoint is written before it takes its name."""
    return run / f".checkpoint-{step}.incomplete"


def publish(building: Path, run: Path, step: int) -> Path:
    """Flush a written checkpoint to disk and give it its name; an older one of the same step is replaced."""
    target = run / f"checkpoint-{step}"
    for path in building.rglob("*"):
        _flush(path)
    _flush(building)
    _discard(target)
    building.rename(target)
    _flush(run)
    return target


def drop_stale(run: Path) -> None:
    """Remove what a killed run left half written or half removed."""
    for path in run.glob(".checkpoint-*"):
        if STALE.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def drop_old(run: Path, keep: int) -> None:
    """Remove all but the `keep` newest checkpoints; 0 removes none."""
    for checkpoint in checkpoints(run)[:-keep] if keep else ():
        _discard(checkpoint)


def _discard(folder: Path) -> None:
    """Remove a folder so that a kill in between leaves no half of it under its name."""
    if folder.exists():
        aside = folder.with_name(f".{folder.name}.removed")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_weights(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Write the trained weights under the model's names."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)


def read_weights(checkpoint: Path, wanted: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """The trained weights of a checkpoint.

    Raises:
        UserError: the file is broken, or holds other weights than those that are trained now.
    """
    tensors = read_tensors(checkpoint / WEIGHTS)
    if {name: tensor.shape for name, tensor in tensors.items()} != dict(wanted):
        raise UserError(f"{checkpoint}: holds other weights than this recipe trains; choose another run.out")
    return tensors


def write_state(state: Mapping[str, Any], path: Path) -> None:
    """Write an optimiser's or scheduler's state."""
    torch.save(dict(state), path)


def read_state(path: Path) -> dict[str, Any]:
    """An optimiser's or scheduler's state, by torch's weights-only reader.

    Raises:
        UserError: the file is missing, truncated, or holds anything but numbers and tensors.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); remove {path.parent} and run again") from error


def write_progress(progress: Mapping[str, Any], folder: Path) -> None:
    """Write what the metrics had summed up when the checkpoint was made."""
    (folder / PROGRESS).write_text(json.dumps(progress) + "\n", encoding="utf-8")


def read_progress(checkpoint: Path) -> dict[str, Any]:
    """What `write_progress` wrote.

    Raises:
        UserError: the file is damaged.
    """
    progress = read_json(checkpoint / PROGRESS)
    if not isinstance(progress.get("losses"), dict) or not isinstance(progress.get("work"), dict):
        raise UserError(f"{checkpoint / PROGRESS}: damaged; remove {checkpoint} and run again")
    return progress
