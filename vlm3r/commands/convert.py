"""`vlm3r convert`: from the published layout to one native folder, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from vlm3r.checkpoints.files import check_free_target
from vlm3r.checkpoints.loading import read_checkpoint
from vlm3r.checkpoints.native import write_native
from vlm3r.checkpoints.published import write_published
from vlm3r.commands.console import say, stage
from vlm3r.errors import UserError


def run(
    checkpoint: str,
    out: Path,
    base: str | None,
    geometry: str | None,
    to: Literal["native", "published"],
    merge_lora: bool,
    dtype: Literal["float32", "bfloat16", "float16"] | None,
    overwrite: bool,
) -> None:
    """Read a checkpoint of any layout and write it in the layout `to`; without a `dtype`, weights keep their types."""
    check_free_target(out, overwrite)
    with stage(f"Reading {checkpoint}"):
        parts, fresh = read_checkpoint(checkpoint, base, geometry)
    if fresh:
        raise UserError(f"{checkpoint}: has no fusion block to convert; give the LoRA repository, or --geometry none")
    if merge_lora:
        parts = parts.merged()
    if dtype is not None:
        parts = parts.cast(getattr(torch, dtype))
    with stage(f"Writing {out}"):
        if to == "native":
            write_native(parts, out, overwrite)
        else:
            write_published(parts, out, overwrite=overwrite)
    kept = "kept apart" if parts.adapter is not None else "none or merged"
    say(f"{out}: {len(parts.tensors)} tensors in the {to} layout, LoRA adapter: {kept}")
