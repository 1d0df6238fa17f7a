"""Checkpoints of a training run: one folder each, which appears whole or not at all."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cut3r.checkpoint import CheckpointError
from cut3r.model import CUT3R

STATE_FILE = "state.json"
EXTRA_FILE = "training.safetensors"
MODEL_FOLDER = "model"
_NAME = re.compile(r"step-(\d{8})")


@dataclass(frozen=True)
class Resumed:
    """What a run continues from."""

    step: int
    """Steps that are done."""
    record: dict[str, Any]
    """What the writer stored beside the step."""


def save_checkpoint(
    folder: Path,
    step: int,
    model: CUT3R,
    extra: nn.Module,
    optimiser: torch.optim.Optimizer,
    record: dict[str, Any],
    keep: int = 2,
) -> Path:
    """Writes `folder/step-NNNNNNNN` under a temporary name, renames it, and deletes all but the newest `keep`.

    A checkpoint of the same step that is there already is left alone.
    """
    target = folder / f"step-{step:08d}"
    if target.exists():
        return target
    for remains in folder.glob(".step-*.incomplete"):
        shutil.rmtree(remains, ignore_errors=True)
    building = folder / f".{target.name}.incomplete"
    building.mkdir(parents=True)
    model.save_pretrained(building / MODEL_FOLDER)
    tensors = {f"extra/{name}": value for name, value in extra.state_dict().items()}
    tensors |= _optimiser_tensors(model, extra, optimiser)
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, building / EXTRA_FILE)
    (building / STATE_FILE).write_text(json.dumps({"step": step, **record}) + "\n", encoding="utf-8")
    building.rename(target)
    for old in checkpoints(folder)[:-keep] if keep else []:
        shutil.rmtree(old, ignore_errors=True)
    return target


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints in a folder, oldest first."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if _NAME.fullmatch(path.name))


def load_checkpoint(checkpoint: Path, model: CUT3R, extra: nn.Module, optimiser: torch.optim.Optimizer) -> Resumed:
    """Puts a checkpoint into the model, the extra modules and the optimiser.

    Raises CheckpointError, a ValueError whose one line names the folder, if it is damaged or of another model.
    """
    try:
        record = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
        tensors = load_file(checkpoint / EXTRA_FILE)
        saved = CUT3R.from_pretrained(checkpoint / MODEL_FOLDER)
        if saved.config != model.config:
            raise ValueError("it is of a model of other sizes")
        model.load_state_dict(saved.state_dict())
        extra.load_state_dict({k.removeprefix("extra/"): v for k, v in tensors.items() if k.startswith("extra/")})
        _load_optimiser(model, extra, optimiser, tensors)
        return Resumed(int(record.pop("step")), record)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{checkpoint}: cannot be continued ({reason}); delete it or choose another") from error


def _named(model: CUT3R, extra: nn.Module) -> dict[str, nn.Parameter]:
    return {**dict(model.named_parameters()), **{f"extra/{n}": p for n, p in extra.named_parameters()}}


def _optimiser_tensors(model: CUT3R, extra: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {}
    for name, parameter in _named(model, extra).items():
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser/{key}/{name}"] = value
    return tensors


def _load_optimiser(
    model: CUT3R, extra: nn.Module, optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    named = _named(model, extra)
    for full, value in tensors.items():
        if not full.startswith("optimiser/"):
            continue
        _, key, name = full.split("/", 2)
        parameter = named[name]
        # AdamW keeps its step counts on the CPU unless it is fused.
        device = "cpu" if key == "step" and not optimiser.defaults.get("fused") else parameter.device
        optimiser.state[parameter][key] = value.to(device)
