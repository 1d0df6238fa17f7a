"""The smallest box around an object's points, where a data set annotates none."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from vlm3r.scenes.schema import Array, OrientedBox

LEAST_POINTS = 4
FLAT = 1e-3
"""Metres below which a thing has no thickness: a box of it would be a sheet, whose nearest corner is anyone's guess."""
DIRECTIONS = 400
"""Directions whose farthest points stand for a hull with more corners than that; round things have thousands."""
SAME_NORMAL = 1e-6


def minimal_box(points: Array) -> OrientedBox | None:
    """The oriented box of least volume around points (N, 3), metres; None where they are too few or too flat for one.

    As published, only boxes with a face on a face of the convex hull are tried, of which each gets the smallest
    rectangle around the points as seen along its normal. The true smallest box may lie otherwise, but hardly ever is
    much smaller.
    """
    points = points[np.isfinite(points).all(1)]
    if len(points) < LEAST_POINTS:
        return None
    try:
        corners = points[ConvexHull(points).vertices]
        hull = ConvexHull(_outermost(corners))
        axes = min((_upright(hull.points, normal) for normal in _normals(hull)), key=lambda found: found[0])[1]
    except (QhullError, ValueError):
        return None
    local = corners @ axes.T
    size = np.ptp(local, axis=0)
    if size.min() < FLAT:
        return None
    return OrientedBox((local.min(0) + local.max(0)) / 2 @ axes, size, axes)


def _outermost(corners: Array) -> Array:
    """The corners of a hull; of many, the farthest in each of `DIRECTIONS` directions, spread evenly."""
    if len(corners) <= DIRECTIONS:
        return corners
    number = np.arange(DIRECTIONS) + 0.5
    height, turn = 1 - 2 * number / DIRECTIONS, np.pi * (1 + 5**0.5) * number
    ring = np.sqrt(1 - height**2)
    directions = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)
    return corners[np.unique((corners @ directions.T).argmax(0))]


def _normals(hull: ConvexHull) -> Array:
    """Normals (n, 3) of the hull's faces, each once, also where opposite faces share it."""
    normals = hull.equations[:, :3]
    leading = np.take_along_axis(normals, np.abs(normals).argmax(1)[:, None], axis=1)
    _, first = np.unique(np.round(normals * np.sign(leading) / SAME_NORMAL), axis=0, return_index=True)
    return normals[first]


def _upright(corners: Array, normal: Array) -> tuple[float, Array]:
    """The least volume of a box whose third axis is the normal, and its right-handed axes (3, 3) as rows."""
    third = normal / np.linalg.norm(normal)
    first = np.cross(third, np.eye(3)[np.abs(third).argmin()])
    first /= np.linalg.norm(first)
    plane = np.stack([first, np.cross(third, first)])
    flat = corners @ plane.T
    ring = flat[ConvexHull(flat).vertices]
    edges = np.roll(ring, -1, axis=0) - ring
    edges /= np.linalg.norm(edges, axis=1)[:, None]
    turns = np.stack([edges, edges[:, ::-1] * [-1, 1]], axis=1)  # (edge, axis, 2): along the edge, and off it
    areas = np.ptp(ring @ turns.transpose(0, 2, 1), axis=1).prod(1)
    best = int(areas.argmin())
    return float(areas[best] * np.ptp(corners @ third)), np.vstack([turns[best] @ plane, third])
