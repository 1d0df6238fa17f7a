"""What a checkpoint argument of `vlm3r publish` stands for: a run, a native folder or a LoRA repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vlm3r.checkpoints.files import read_json
from vlm3r.checkpoints.published import is_published
from vlm3r.errors import UserError
from vlm3r.hub.listing import RECIPE, RECORDS, RUN
from vlm3r.model import VLM3RConfig


@dataclass(frozen=True)
class Source:
    """Where the pieces of a checkpoint lie."""

    root: Path
    """The folder that was given; no symbolic link may leave it."""
    native: Path | None
    """Native folder."""
    lora: Path | None
    """LoRA repository of the published layout."""
    records: Mapping[str, Path]
    """Recipe, run record, history and scores, as far as they exist."""


def find_source(checkpoint: Path) -> Source:
    """The pieces of a native folder, a LoRA repository, or a finished training run.

    A run holds `model/`, `adapter/` or both, and its records beside them; `model` may be a link to `adapter`. In a
    folder inside a run, recipe and run record may stand one folder up; scores and history there speak of other weights.

    Raises:
        UserError: the folder is none of these.
    """
    if not checkpoint.is_dir():
        raise UserError(f"{checkpoint}: no such folder; give a training run, a native folder or a LoRA repository")
    if (checkpoint / "config.json").exists():
        native, lora = _layout(checkpoint)
        return Source(checkpoint, native, lora, _records(checkpoint))
    model, adapter = checkpoint / "model", checkpoint / "adapter"
    native = _layout(model)[0] if model.is_dir() else None
    lora = _layout(adapter)[1] if adapter.is_dir() else None
    if native is None and lora is None:
        raise UserError(
            f"{checkpoint}: no config.json, model/ or adapter/ in it; give a finished training run, a native folder or "
            "a LoRA repository"
        )
    records = _records(checkpoint)
    if RECIPE not in records:
        above = _records(checkpoint.resolve().parent)
        records = {name: above[name] for name in (RECIPE, RUN) if name in above} | records
    return Source(checkpoint, native, lora, records)


def _layout(folder: Path) -> tuple[Path | None, Path | None]:
    """The folder as `(native, LoRA repository)`, one of which is None."""
    raw = read_json(folder / "config.json")
    if raw.get("model_type") == VLM3RConfig.model_type:
        return folder, None
    if is_published(raw) and (folder / "adapter_config.json").exists():
        return None, folder
    raise UserError(
        f"{folder}: neither a native folder nor a LoRA repository; bring it into one with vlm3r convert --out FOLDER"
    )


def _records(folder: Path) -> dict[str, Path]:
    """The records in a folder; a link to nothing counts, so that it is not passed over."""
    return {name: folder / name for name in RECORDS if (folder / name).exists() or (folder / name).is_symlink()}
