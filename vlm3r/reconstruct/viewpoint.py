"""Which way is up, and where to look at a reconstruction from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3r.reconstruct.frusta import robust_bounds
from vlm3r.reconstruct.voxels import PointCloud

Array = NDArray[np.float64]


def estimate_up(matrices: Array, normals: NDArray[np.floating]) -> tuple[Array, str]:
    """The direction (3,) against gravity, and where it comes from.

    A first guess is minus the mean of the cameras' y axes, since people hold cameras upright. If at least 3 % of the
    points have normals within 35 degrees of it, up or down, like floors and ceilings, the densest direction among them
    replaces it.

    Args:
        matrices: (pose, 4, 4) camera-to-world.
        normals: (point, 3) unit or zero.
    """
    up = unit(-matrices[:, :3, 1].mean(0)) if len(matrices) else np.zeros(3)
    if not up.any():
        up = np.array([0.0, -1.0, 0.0])
    guess = up
    normals = normals.astype(np.float64)
    for degrees in (35, 20, 10, 5, 5):
        cosine = normals @ up
        near = np.abs(cosine) > np.cos(np.radians(degrees))
        if near.sum() < max(0.03 * len(normals), 1):
            return guess, "mean camera"
        up = unit((normals[near] * np.sign(cosine[near])[:, None]).sum(0))
    return up, "floor and ceiling normals"


def unit(vector: NDArray[Any]) -> Array:
    """The vector (3,) at length 1, or zero if it has almost none."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-6 else np.zeros(3)


def level_axes(up: Array, heading: Array) -> Array:
    """Rotation (3, 3) from the world to right, ahead, up: `up` is kept, `heading` is made level.

    If `heading` is vertical an arbitrary level direction takes its place.
    """
    ahead = unit(heading - up * (heading @ up))
    for substitute in np.eye(3):
        if ahead.any():
            break
        ahead = unit(substitute - up * (substitute @ up))
    return np.stack([np.cross(ahead, up), ahead, up])


@dataclass(frozen=True)
class View:
    """A pinhole camera that looks at the cloud; its own axes are OpenCV's."""

    rotation: Array
    """(3, 3) world to view."""

    position: Array
    """(3,) in the world, metres."""

    focal: float
    """Pixels."""

    size: tuple[int, int]
    """(width, height) of the picture in pixels."""

    def project(self, points: NDArray[np.floating]) -> tuple[Array, Array]:
        """Pixels (point, 2) and depths (point,) of points (point, 3); only positive depths have meaningful pixels."""
        seen = (points - self.position) @ self.rotation.T
        depth = seen[:, 2]
        safe = np.where(depth > 1e-9, depth, 1e-9)
        return seen[:, :2] * self.focal / safe[:, None] + np.array(self.size) / 2, depth


def dollhouse_view(
    cloud: PointCloud, matrices: Array, up: Array, size: tuple[int, int], fov_deg: float = 40, elevation_deg: float = 42
) -> View:
    """A view from above and behind the cameras that just holds the cloud (all but its outliers) and the path.

    Args:
        cloud: at least one point.
        matrices: (pose, 4, 4) camera-to-world, at least one.
        up: (3,) unit.
        size: (width, height) of the picture in pixels.
        fov_deg: field of view across the width.
        elevation_deg: how steeply the view looks down; it is also turned by 25 degrees, to show two sides of a room.
    """
    forward = matrices[:, :3, 2].mean(0)
    level_forward = forward - up * (forward @ up)
    axes = level_axes(up, level_forward if np.linalg.norm(level_forward) > 0.2 else matrices[0, :3, 2])
    turn, down = np.radians(25), np.radians(elevation_deg)
    level = np.cos(turn) * axes[1] - np.sin(turn) * axes[0]
    look = np.cos(down) * level - np.sin(down) * up
    right = unit(np.cross(look, up))
    rotation = np.stack([right, np.cross(look, right), look]).astype(np.float64)  # x right, y down, z forward
    points = np.concatenate([within_bounds(cloud.positions), matrices[:, :3, 3]]) @ rotation.T
    focal = size[0] / 2 / np.tan(np.radians(fov_deg) / 2)
    tangent = 0.94 * np.array(size) / 2 / focal
    centre = np.zeros(3)
    for _ in range(4):  # each round moves the picture's middle to the middle of what is seen from the distance so far
        offset = points - centre
        distance = float(np.max(np.abs(offset[:, :2]) / tangent - offset[:, 2:]))
        seen = offset[:, :2] / (offset[:, 2:] + max(distance, 1e-3))
        centre[:2] += (seen.max(0) + seen.min(0)) / 2 * max(distance, 1e-3)
    offset = points - centre
    distance = float(np.max(np.abs(offset[:, :2]) / tangent - offset[:, 2:]))
    centre[2] -= distance
    return View(rotation, centre @ rotation, float(focal), size)


def within_bounds(positions: NDArray[np.floating]) -> NDArray[np.floating]:
    """The points (point, 3) inside the cloud's box without outliers, widened by 5 % of its size; never none."""
    low, high = robust_bounds(positions)
    margin = 0.05 * (high - low) + 1e-6
    return positions[((positions >= low - margin) & (positions <= high + margin)).all(-1)]
