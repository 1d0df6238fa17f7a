"""What a CUT3R rollout returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class CUT3ROutput:
    """Tokens and recurrent state of a rollout, and geometry where heads were asked for."""

    camera_tokens: Tensor
    """Final normed camera token of every frame, (batch, frame, 1, dim)."""
    patch_tokens: Tensor
    """Final normed patch tokens of every frame, (batch, frame, patch, dim); patches row by row."""
    state: Tensor
    """Recurrent state after the last frame, (batch, state token, dim)."""
    memory: Tensor
    """Pose memory after the last frame, (batch, slot, 2 * dim)."""
    pts3d_in_self_view: Tensor | None = None
    """Points in the frame's own camera, x right, y down, z forward, float32 (batch, frame, height, width, 3)."""
    conf_self: Tensor | None = None
    """Confidence of the own-view points, above 1, float32 (batch, frame, height, width)."""
    pts3d_in_other_view: Tensor | None = None
    """Points in the world frame, that of the first camera, float32 (batch, frame, height, width, 3)."""
    conf: Tensor | None = None
    """Confidence of the world-frame points, above 1, float32 (batch, frame, height, width)."""
    rgb: Tensor | None = None
    """Predicted colours in [-1, 1], float32 (batch, frame, height, width, 3)."""
    camera_pose: Tensor | None = None
    """Camera to world: translation, then unit quaternion (w, x, y, z) with w >= 0, float32 (batch, frame, 7)."""
