"""Errors of predicted geometry in plain units, per sequence."""

from __future__ import annotations

import torch
from torch import Tensor

from cut3r.losses import Predictions, Targets, masked_mean

CLOSE_RATIO = 1.25


@torch.no_grad()
def geometry_errors(predicted: Predictions, target: Targets) -> dict[str, Tensor]:
    """Errors of each sequence of a batch by name, each (batch,).

    `depth_abs_rel`: mean of |z^ - z| / z in the frame's own camera, in metres as predicted. `depth_abs_rel_scaled`: the
    same after the sequence's predicted depths were multiplied by the ratio of medians. `depth_within_25`: share of
    pixels with max(z^ / z, z / z^) < 1.25. `own_view_m` and `world_m`: mean distance of points, metres.
    `translation_m` and `rotation_degrees`: errors of the poses in the first camera's frame, the mean over all frames
    but the first. `step_translation_m` and `step_rotation_degrees`: the same for each frame in the camera of the
    frame before it.
    """
    errors = [_of_one(predicted, target, i) for i in range(len(target.valid))]
    return {name: torch.stack([e[name] for e in errors]) for name in errors[0]}


def _of_one(predicted: Predictions, target: Targets, i: int) -> dict[str, Tensor]:
    valid = target.valid[i]
    depth, true = predicted.own_view[i, ..., 2].clamp_min(1e-6), target.own_view[i, ..., 2]
    safe = torch.where(valid, true, 1)
    ratio = torch.where(valid, depth / safe, 1)
    median = safe[valid].median() / depth[valid].median() if bool(valid.any()) else torch.ones(())
    return {
        "depth_abs_rel": masked_mean((ratio - 1).abs(), valid),
        "depth_abs_rel_scaled": masked_mean((ratio * median - 1).abs(), valid),
        "depth_within_25": masked_mean((torch.maximum(ratio, 1 / ratio) < CLOSE_RATIO).float(), valid),
        "own_view_m": masked_mean((predicted.own_view[i] - target.own_view[i]).norm(dim=-1), valid),
        "world_m": masked_mean((predicted.world[i] - target.world[i]).norm(dim=-1), valid),
        **_pose_errors(predicted.pose[i], target.pose[i]),
    }


def _pose_errors(pose: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Errors of the poses (frame, 7) of one sequence."""
    translation = (pose[1:, :3] - target[1:, :3]).norm(dim=-1)
    rotation = rotation_angles(pose[1:, 3:], target[1:, 3:])
    step, true_step = steps(pose), steps(target)
    return {
        "translation_m": _mean(translation),
        "rotation_degrees": _mean(rotation),
        "step_translation_m": _mean((step[:, :3] - true_step[:, :3]).norm(dim=-1)),
        "step_rotation_degrees": _mean(rotation_angles(step[:, 3:], true_step[:, 3:])),
    }


def steps(pose: Tensor) -> Tensor:
    """Each pose of (frame, 7) but the first in the camera of the one before it, (frame - 1, 7)."""
    inverse = conjugate(pose[:-1, 3:])
    moved = rotate_vectors(inverse, pose[1:, :3] - pose[:-1, :3])
    return torch.cat((moved, multiply(inverse, pose[1:, 3:])), dim=-1)


def compose(step: Tensor, frames: int) -> Tensor:
    """Poses (frame, 7) that start at the identity and repeat the same `step` (7,)."""
    poses = [step.new_tensor([0.0, 0, 0, 1, 0, 0, 0])]
    while len(poses) < frames:
        last = poses[-1]
        translation = last[:3] + rotate_vectors(last[3:], step[:3])
        poses.append(torch.cat((translation, multiply(last[3:], step[3:]))))
    return torch.stack(poses)


def rotation_angles(quaternion: Tensor, other: Tensor) -> Tensor:
    """Degrees between rotations given as unit quaternions (..., 4), (...)."""
    difference = multiply(conjugate(quaternion), other)
    # The arcus cosine of w alone loses small angles to rounding.
    return torch.rad2deg(2 * torch.atan2(difference[..., 1:].norm(dim=-1), difference[..., 0].abs()))


def conjugate(quaternion: Tensor) -> Tensor:
    """The inverse of unit quaternions (w, x, y, z), (..., 4)."""
    return torch.cat((quaternion[..., :1], -quaternion[..., 1:]), dim=-1)


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """Products of quaternions (w, x, y, z), (..., 4)."""
    w, v = left[..., :1], left[..., 1:]
    u, r = right[..., :1], right[..., 1:]
    real = w * u - (v * r).sum(-1, keepdim=True)
    return torch.cat((real, w * r + u * v + torch.linalg.cross(v, r)), dim=-1)


def rotate_vectors(quaternion: Tensor, vectors: Tensor) -> Tensor:
    """Vectors (..., 3) turned by unit quaternions (..., 4)."""
    pure = torch.cat((torch.zeros_like(vectors[..., :1]), vectors), dim=-1)
    return multiply(multiply(quaternion, pure), conjugate(quaternion))[..., 1:]


def _mean(values: Tensor) -> Tensor:
    """The mean; 0 of nothing, as where a sequence has one frame."""
    return values.mean() if len(values) else values.new_zeros(())
