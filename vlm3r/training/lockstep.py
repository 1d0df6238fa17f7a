"""Batches that use every trained module, so that processes with different data do the same collective operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from cut3r import CUT3RConfig
from torch import Tensor

from vlm3r.model import VLM3RConfig
from vlm3r.training.packing import PADDING

Batch = dict[str, Any]
Clip = Literal["video", "image"]


def kinds_of(batch: Batch) -> set[Clip]:
    """The kinds of clips that a batch holds."""
    kinds: set[Clip] = set()
    if batch.get("pixel_values") is not None or batch.get("vision_tokens") is not None:
        kinds.add("video")
    if batch.get("image_pixel_values") is not None:
        kinds.add("image")
    return kinds


def with_empty_clips(batch: Batch, config: VLM3RConfig, kinds: Iterable[Clip], towers_trained: bool = False) -> Batch:
    """The batch with a clip of no frames for every kind that it lacks.

    Such a clip passes through fusion and projector and gives no token, so it changes no loss and its gradients are
    zero. Without one, a process with a batch of text would leave the others waiting for its share of the gradients.

    Args:
        batch: a packed batch.
        config: the model's configuration.
        kinds: kinds that this batch shall hold.
        towers_trained: whether SigLIP or CUT3R is trained and must run, too.
    """
    missing = set(kinds) - kinds_of(batch)
    if "video" in missing:
        batch = batch | (_pixels(config, "") if towers_trained else _tokens(config))
        # A lone newline token closes even an empty video where that is the model's choice.
        if config.layout.video_tokens(0):
            extra = _padding_row(batch["input_ids"].shape[1], config.video_token_id)
            batch = batch | {name: torch.cat([batch[name], row]) for name, row in extra.items()}
    if "image" in missing:
        batch = batch | _pixels(config, "image_")
    return batch


def _padding_row(tokens: int, first: int) -> dict[str, Tensor]:
    ids = torch.zeros(1, tokens, dtype=torch.long)
    ids[0, 0] = first
    return {"input_ids": ids, "position_ids": torch.zeros_like(ids), "segments": torch.full_like(ids, PADDING)}


def _tokens(config: VLM3RConfig) -> dict[str, Tensor]:
    patches = config.layout.grid_side**2
    clip = {"vision_tokens": torch.zeros(1, 1, patches, config.siglip.hidden_size), "frame_counts": _no_frames()}
    if config.geometry == "none":
        return clip
    encoder = CUT3RConfig.from_dict(config.geometry_config or {})
    patches, width = (config.geometry_image_size // encoder.patch_size) ** 2, encoder.dec_embed_dim
    return clip | {"camera_tokens": torch.zeros(1, 1, 1, width), "patch_tokens": torch.zeros(1, 1, patches, width)}


def _pixels(config: VLM3RConfig, prefix: str) -> dict[str, Tensor]:
    side = config.image_size
    counts = "image_counts" if prefix else "frame_counts"
    return {f"{prefix}pixel_values": torch.zeros(1, 1, 3, side, side), counts: _no_frames()}


def _no_frames() -> Tensor:
    return torch.zeros(1, dtype=torch.long)
