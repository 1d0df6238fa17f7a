"""The walk: a smooth, collision-free camera path at eye height, as camera-to-world poses."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from .geometry import Array, rotation
from .room import Instance, Room

EYE_HEIGHT = 1.55
# share of the walk, position on the floor, and the point looked at
WAYPOINTS = (
    (0.00, (4.15, 0.80), (2.1, 4.4, 0.8)),
    (0.09, (3.90, 1.20), (1.7, 4.3, 0.8)),
    (0.20, (3.50, 1.75), (0.9, 3.2, 0.8)),
    (0.29, (3.15, 2.20), (1.9, 4.7, 0.8)),
    (0.38, (3.10, 2.50), (3.6, 4.9, 0.8)),
    (0.47, (3.25, 2.70), (5.0, 4.5, 0.7)),
    (0.57, (3.55, 2.80), (6.2, 4.2, 0.7)),
    (0.67, (3.80, 2.85), (6.2, 2.0, 0.7)),
    (0.77, (3.75, 2.95), (5.0, 0.6, 0.7)),
    (0.88, (3.55, 3.05), (2.6, 0.4, 0.8)),
    (1.00, (3.20, 3.10), (0.9, 1.2, 0.8)),
)


def look_pose(position: Array, yaw: float, pitch: float) -> Array:
    """Camera-to-world 4x4 (OpenCV axes) at `position`, heading `yaw` from +x, `pitch` above the horizon, in radians."""
    forward = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = right, np.cross(forward, right), forward, position
    return pose


def walk(frames: int, fps: float) -> Array:
    """Poses of the demo walk, (frame, 4, 4)."""
    share = np.array([w[0] for w in WAYPOINTS])
    floor = np.array([w[1] for w in WAYPOINTS])
    gaze = np.array([w[2] for w in WAYPOINTS]) - np.column_stack([floor, np.full(len(floor), EYE_HEIGHT)])
    yaw_keys = np.unwrap(np.arctan2(gaze[:, 1], gaze[:, 0]))
    pitch_keys = 0.75 * np.arctan2(gaze[:, 2], np.linalg.norm(gaze[:, :2], axis=1))
    t = np.linspace(0, 1, frames)
    xy = CubicSpline(share, floor)(t)
    seconds = frames / fps
    blur = 0.5 * fps
    yaw = gaussian_filter1d(PchipInterpolator(share, yaw_keys)(t), blur, mode="nearest")
    pitch = gaussian_filter1d(PchipInterpolator(share, pitch_keys)(t), blur, mode="nearest")
    steps = 2 * np.pi * 1.3 * seconds * t  # slow steps with a barely visible bob
    z = EYE_HEIGHT + 0.008 * np.sin(steps)
    yaw = yaw + 0.004 * np.sin(steps / 2)
    return np.stack([look_pose(np.array([*xy[i], z[i]]), yaw[i], pitch[i]) for i in range(frames)])


def turning_speed(poses: Array, fps: float) -> Array:
    """Rotation between successive frames in degrees per second, (frame - 1,)."""
    relative = np.einsum("fji,fjk->fik", poses[:-1, :3, :3], poses[1:, :3, :3])
    cosine = np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)
    return np.degrees(np.arccos(cosine)) * fps


def clearance(poses: Array, room: Room) -> float:
    """Smallest horizontal distance in metres from the path to a wall or to the box of an object in the way."""
    xy = poses[:, :2, 3]
    corners = np.asarray(room.polygon, float)
    walls = min((xy - corners.min(0)).min(), (corners.max(0) - xy).min())
    return min([walls, *(_distance_to_box(xy, thing).min() for thing in room.objects if thing.blocks_walking)])


def _distance_to_box(xy: Array, thing: Instance) -> Array:
    """Horizontal distance from points (n, 2) to an object's oriented box, 0 inside it."""
    local = (xy - thing.centre[:2]) @ rotation("z", thing.yaw)[:2, :2]
    return np.linalg.norm(np.clip(np.abs(local) - thing.size[:2] / 2, 0, None), axis=1)
