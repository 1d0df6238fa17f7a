"""From processed frames to geometry tokens: resize, roll CUT3R out over each clip, select."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from cut3r import CUT3R
from torch import Tensor


def encode_geometry(encoder: CUT3R, frames: Tensor, image_size: int) -> tuple[Tensor, Tensor]:
    """Camera and patch tokens of every clip, each clip with a recurrent state of its own.

    Args:
        encoder: the geometry encoder.
        frames: `(clip, frame, 3, H, W)` in `[-1, 1]`, in the order of time. A clip padded at its end is safe: the
            encoder is causal, so padding frames change no earlier token.
        image_size: side in pixels that the encoder reads; frames are resized bilinearly without antialiasing.

    Returns:
        camera tokens `(clip, frame, 1, dim)` and patch tokens `(clip, frame, patch, dim)`.
    """
    if frames.ndim != 5:
        raise ValueError(f"frames need the axes (clip, frame, 3, H, W), not {tuple(frames.shape)}")
    frames = frames.to(next(encoder.parameters()).dtype)
    size = (image_size, image_size)
    resized = F.interpolate(frames.flatten(0, 1), size=size, mode="bilinear", align_corners=False)
    output = encoder(resized.unflatten(0, frames.shape[:2]))
    return output.camera_tokens, output.patch_tokens


def select_geometry(camera_tokens: Tensor, patch_tokens: Tensor, selection: str) -> Tensor:
    """The geometry tokens that fusion sees, `(clip, frame, token, dim)`; `selection` as in `VLM3RConfig`."""
    if selection == "camera_tokens":
        return camera_tokens
    if selection == "patch_tokens":
        return patch_tokens
    return torch.cat([camera_tokens, patch_tokens], dim=2)
