"""The floor that a scene says one can walk on, before furniture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from vlm3r.qa.routes.footprints import Footprints
from vlm3r.qa.routes.rules import RouteRules
from vlm3r.scenes.schema import Array, Scene

Mask = NDArray[np.bool_]

SEAM = 2e-3
"""Gaps between touching outlines up to this width, from rounding, do not part them."""


@dataclass(frozen=True, eq=False)
class FloorArea:
    """The union of polygons, each (corner, 2) in metres."""

    polygons: tuple[Array, ...]
    source: Literal["outlines", "hull"]
    """`hull`: the record has no outline, so this is the convex hull of all boxes and cameras."""

    @property
    def bounds(self) -> Array:
        """Least and greatest corner, (2, 2)."""
        points = np.concatenate(self.polygons)
        return np.stack([points.min(0), points.max(0)])

    def covers(self, x: Array, y: Array) -> Mask:
        """Whether the area contains each point of the raster x (columns,) by y (rows,), (rows, columns)."""
        covered = np.zeros((len(y), len(x)), bool)
        for polygon in self.polygons:
            covered |= _covers(polygon, x + SEAM, y + SEAM) | _covers(polygon, x - SEAM, y - SEAM)
        return covered


def floor_area(scene: Scene, footprints: Footprints, rules: RouteRules) -> FloorArea | None:
    """The rooms' outlines joined by the doorways between them; None where there is no floor at all.

    Doorways are outlines of their own or the footprints of doors.
    """
    outlines = [np.array(outline.polygon, float) for outline in scene.room.outlines]
    if outlines:
        doors = [footprints.corners[i] for i, o in enumerate(scene.objects) if o.category in rules.doors]
        return FloorArea((*outlines, *doors), "outlines")
    cameras = [frame.pose[:2, 3] for frame in scene.frames if frame.pose is not None]
    points = np.concatenate([footprints.corners.reshape(-1, 2), np.reshape(cameras, (-1, 2))])
    if len(points) < 3:
        return None
    try:
        return FloorArea((points[ConvexHull(points).vertices],), "hull")
    except QhullError:  # all on one line
        return None


def _covers(polygon: Array, x: Array, y: Array) -> Mask:
    """Even-odd rule on a raster, (rows, columns)."""
    odd = np.zeros((len(y), len(x)), bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        rows = np.flatnonzero((ay > y) != (by > y))
        if len(rows):
            crossing = ax + (y[rows] - ay) / (by - ay) * (bx - ax)
            odd[rows] ^= x > crossing[:, None]
    return odd
