"""Boxes of a scene as they stand in its pictures."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from vlm3r.scenes.schema import CORNER_SIGNS, Array, Intrinsics

NEAR = 0.05
"""Metres before the camera at which boxes are cut off."""
EDGES = np.array(
    [(a, b) for a, b in combinations(range(8), 2) if np.count_nonzero(CORNER_SIGNS[a] != CORNER_SIGNS[b]) == 1]
)
"""(12, 2) the corners that each edge of a box joins."""


def to_camera(points: Array, poses: Array) -> Array:
    """World coordinates (..., n, 3) in the axes of cameras (..., 4, 4): x right, y down, z forward."""
    return (points - poses[..., None, :3, 3]) @ poses[..., :3, :3]


def project(points: Array, camera: Intrinsics) -> Array:
    """Pixels (..., 2) of points before the camera (..., 3); the picture spans 0..width and 0..height."""
    depth = points[..., 2]
    return np.stack(
        [camera.fx * points[..., 0] / depth + camera.cx, camera.fy * points[..., 1] / depth + camera.cy], axis=-1
    )


def edges_in_view(corners: Array, poses: Array, camera: Intrinsics) -> Array:
    """The edges of boxes in pixels, (..., 12, 2, 2), cut off close to the camera and NaN where behind it.

    Args:
        corners: (..., 8, 3) world coordinates, in the order of `OrientedBox.corners`.
        poses: (..., 4, 4) camera-to-world.
        camera: of all the pictures.
    """
    ends = to_camera(corners, poses)[..., EDGES, :]  # (..., 12, 2, 3)
    depth = ends[..., 2]
    behind = depth < NEAR
    span = depth[..., ::-1] - depth
    share = np.where(behind, (NEAR - depth) / np.where(span == 0, 1.0, span), 0.0)
    cut = ends + share[..., None] * (ends[..., ::-1, :] - ends)
    cut[..., 2] = np.where(behind, NEAR, cut[..., 2])
    ahead = ~behind.all(-1)
    return np.where(np.expand_dims(ahead, (-2, -1)), project(cut, camera), np.nan)


def boxes_in_view(corners: Array, poses: Array, camera: Intrinsics) -> Array:
    """The extents of boxes in the picture, (..., 4) xmin, ymin, xmax, ymax in pixels; NaN where out of view."""
    edges = edges_in_view(corners, poses, camera)
    there = np.isfinite(edges).all((-2, -1), keepdims=True)
    low = np.where(there, edges, np.inf).min((-3, -2))
    high = np.where(there, edges, -np.inf).max((-3, -2))
    size = np.array([camera.width, camera.height], float)
    low, high = np.maximum(low, 0.0), np.minimum(high, size)
    shown = (low < high).all(-1, keepdims=True)
    return np.where(shown, np.concatenate([low, high], axis=-1), np.nan)


def overlap(first: Array, second: Array) -> Array:
    """Intersection over union of rectangles (..., 4) xmin, ymin, xmax, ymax; 0 where one is NaN."""
    low, high = np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=-1)
    areas = [np.prod(box[..., 2:] - box[..., :2], axis=-1) for box in (first, second)]
    return np.nan_to_num(shared / (areas[0] + areas[1] - shared))
