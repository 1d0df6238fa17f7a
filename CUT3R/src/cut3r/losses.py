"""Training losses: pointmaps with confidence, camera poses, colours, and patch positions.

The pointmap loss is equation 4 of DUSt3R (arXiv:2312.14132), as CUT3R (arXiv:2501.12387, section "Training Objective")
applies it to the own-view and the world-frame map:

    L = mean over valid pixels of  c * |x^ / s^ - x / s| - alpha * log c

with s the mean length of the true points of a sequence, in the world frame. Where the truth is metric, s^ := s, so that
the scale itself is learnt; else s^ is the same mean over the predicted points. Camera poses, also after CUT3R:
|t^ / s^ - t / s| + |q^ - q| with the sign of the unit quaternion that is nearer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Scale = Literal["metric", "normalised"]
"""Whether predictions are compared in metres (up to one factor for both), or each side at unit mean length."""

SMALLEST_SCALE = 1e-3
"""Metres; keeps sequences without a valid pixel from dividing by zero."""


@dataclass(frozen=True)
class LossWeights:
    """How much each part counts, and how confidence is traded against error."""

    own_view: float = 1.0
    """Pointmap in each frame's own camera."""
    world: float = 1.0
    """Pointmap in the first camera's frame."""
    pose: float = 1.0
    """Camera pose."""
    colour: float = 0.0
    """Squared error of the predicted colours; 0 leaves the colour head out."""
    patch_position: float = 0.0
    """World position of each patch by one linear layer from its token. The layer serves training alone and is thrown
    away; it makes positions easy to read for a model that sees only the tokens. Not part of the published recipe."""
    confidence: float = 0.2
    """alpha: the higher, the more confident the model must be."""
    scale: Scale = "metric"
    """`metric` learns metres; `normalised` only shape."""

    def __post_init__(self) -> None:
        if min(self.own_view, self.world, self.pose, self.colour, self.patch_position) < 0 or self.confidence <= 0:
            raise ValueError("loss weights must not be negative, and confidence must be above 0")


@dataclass(frozen=True)
class Targets:
    """The truth at the supervised pixels of a batch of sequences."""

    own_view: Tensor
    """Points in each frame's camera, metres, float32 (batch, frame, height, width, 3); anything where not valid."""
    world: Tensor
    """The same points in the first camera's frame."""
    valid: Tensor
    """Where depth is known, (batch, frame, height, width) bool."""
    pose: Tensor
    """Camera to world: translation, then unit quaternion (w, x, y, z) with w >= 0, float32 (batch, frame, 7)."""
    colour: Tensor
    """Colours in [-1, 1], float32 (batch, frame, height, width, 3)."""


@dataclass(frozen=True)
class Predictions:
    """What the heads say at the supervised pixels; names and shapes as in `Targets`."""

    own_view: Tensor
    own_confidence: Tensor
    """Above 1, (batch, frame, height, width)."""
    world: Tensor
    world_confidence: Tensor
    pose: Tensor
    colour: Tensor | None = None
    patch_position: Tensor | None = None
    """World position of each patch, (batch, frame, row, column, 3)."""


def losses(predicted: Predictions, target: Targets, weights: LossWeights) -> dict[str, Tensor]:
    """Each part's unweighted loss by name, and `loss`, their weighted sum: float32 scalars."""
    scale = mean_length(target.world, target.valid)
    own_scale = scale if weights.scale == "metric" else mean_length(predicted.world, target.valid)
    sides = (target.valid, own_scale, scale, weights.confidence)
    parts = {
        "own_view": pointmap_loss(predicted.own_view, predicted.own_confidence, target.own_view, *sides),
        "world": pointmap_loss(predicted.world, predicted.world_confidence, target.world, *sides),
        "pose": pose_loss(predicted.pose, target.pose, own_scale, scale),
    }
    if predicted.colour is not None and weights.colour:
        parts["colour"] = masked_mean((predicted.colour - target.colour).square().mean(-1), target.valid)
    if predicted.patch_position is not None and weights.patch_position:
        parts["patch_position"] = patch_position_loss(predicted.patch_position, target, own_scale, scale)
    total = torch.stack([getattr(weights, name) * value for name, value in parts.items()]).sum()
    return {"loss": total, **parts}


def mean_length(points: Tensor, valid: Tensor) -> Tensor:
    """Mean distance of a sequence's valid points (batch, frame, height, width, 3) from the origin, (batch,)."""
    lengths = torch.where(valid, points.norm(dim=-1), 0).flatten(1).sum(1)
    return (lengths / valid.flatten(1).sum(1).clamp_min(1)).clamp_min(SMALLEST_SCALE)


def pointmap_loss(
    points: Tensor, confidence: Tensor, target: Tensor, valid: Tensor, scale: Tensor, target_scale: Tensor, alpha: float
) -> Tensor:
    """Confidence-weighted regression over the valid pixels of the batch, a scalar; 0 where none is valid.

    `points` and `target` (batch, frame, height, width, 3); `confidence` and `valid` (batch, frame, height, width);
    `scale` and `target_scale` (batch,) divide the two. What stands at invalid pixels, NaN included, has no effect.
    """
    mask = valid[..., None]
    difference = torch.where(mask, points, 0) / _like(scale, points) - torch.where(mask, target, 0) / _like(
        target_scale, target
    )
    confidence = torch.where(valid, confidence, 1)
    return masked_mean(confidence * difference.norm(dim=-1) - alpha * confidence.log(), valid)


def pose_loss(pose: Tensor, target: Tensor, scale: Tensor, target_scale: Tensor) -> Tensor:
    """Distance of translations plus distance of quaternions, the mean over frames of (batch, frame, 7), a scalar.

    A quaternion and its negative are the same rotation: the nearer of the two counts.
    """
    translation = pose[..., :3] / _like(scale, pose) - target[..., :3] / _like(target_scale, target)
    quaternion, true = pose[..., 3:], target[..., 3:]
    nearer = torch.where((quaternion * true).sum(-1, keepdim=True) < 0, -true, true)
    return (translation.norm(dim=-1) + (quaternion - nearer).norm(dim=-1)).mean()


def patch_position_loss(positions: Tensor, target: Targets, scale: Tensor, target_scale: Tensor) -> Tensor:
    """Distance between predicted (batch, frame, row, column, 3) and mean true world positions of patches, a scalar."""
    rows, columns = positions.shape[2:4]
    weight = _patches(target.valid[..., None].float(), rows, columns)
    centres = _patches(torch.where(target.valid[..., None], target.world, 0), rows, columns) / weight.clamp_min(1e-6)
    difference = positions / _like(scale, positions) - centres / _like(target_scale, centres)
    return masked_mean(difference.norm(dim=-1), weight[..., 0] > 0)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of `values` where `mask` holds, a scalar; 0 where it holds nowhere."""
    return torch.where(mask, values, 0).sum() / mask.sum().clamp_min(1)


def _patches(values: Tensor, rows: int, columns: int) -> Tensor:
    """Means of (batch, frame, height, width, channel) over each patch, (batch, frame, row, column, channel)."""
    return values.unflatten(3, (columns, -1)).unflatten(2, (rows, -1)).mean((3, 5))


def _like(scale: Tensor, values: Tensor) -> Tensor:
    """`scale` (batch,) with as many axes as `values`."""
    return scale.view(-1, *[1] * (values.ndim - 1))
