"""A room's floor area: the outline of its points as seen from above.

The published pipeline draws 10,000 of the points, unseeded, and takes the alpha shape with circumradius 0.2 m, without
its holes; that falls apart where a large room leaves the draws sparse. Here one point of every small cell is kept, so
that what matters is how large the room is and not how its points were counted, and the radius grows with the gaps
between points where a cloud is sparse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from scipy.spatial import Delaunay, KDTree, QhullError

from vlm3r.scenes.schema import Array

RADIUS = 0.2
"""Metres: least circumradius that a triangle of neighbouring points may have; the published alpha is 1 / this."""
SPARSE = 4.0
"""Circumradius in terms of the median distance to the nearest point, where that is more."""
CELL = 0.035
"""Metres along the cells of which one point each is kept: about as dense as 10,000 points in 12 square metres."""
MAX_CELLS = 400_000
"""Cells with points in them; more, as of half a square kilometre, are made larger."""
MAX_COLUMNS = 1_000_000_000
"""So that cells can be numbered however far one stray point is."""
LEAST_POINTS = 3


@dataclass(frozen=True, eq=False)
class Outline:
    """A room from above."""

    shape: shapely.MultiPolygon
    """Its parts, without holes, metres."""
    points: int
    """Points that it was drawn around."""

    @property
    def area(self) -> float:
        """Square metres of all parts together."""
        return float(self.shape.area)


def room_outline(points: Array, seed: int) -> Outline | None:
    """The outline of a cloud; None where its points do not span an area.

    Furniture leaves holes in the floor's points: they are filled. Parts that are more than about 0.4 m apart stay apart
    and add up.

    Args:
        points: (N, 3) metres, z up; points that are not finite are left out.
        seed: decides which point of a cell is kept.
    """
    kept = _thinned(points[np.isfinite(points).all(1), :2], seed)
    if len(kept) < LEAST_POINTS:
        return None
    try:
        triangles = kept[Delaunay(kept).simplices]
    except QhullError:
        return None  # all in one line
    gaps = KDTree(kept).query(kept, k=2)[0][:, 1]
    radius = max(RADIUS, SPARSE * float(np.median(gaps)))
    near = triangles[_circumradii(triangles) < radius]
    if not len(near):
        return None
    parts = shapely.get_parts(shapely.coverage_union_all(shapely.polygons(near)))
    filled = shapely.union_all(shapely.polygons(shapely.get_exterior_ring(parts)))
    return Outline(shapely.MultiPolygon(list(shapely.get_parts(filled))), len(kept))


def _thinned(points: Array, seed: int) -> Array:
    """One point (n, 2) of each cell, drawn evenly among those in it."""
    if not len(points):
        return points
    low, span = points.min(0), np.ptp(points, axis=0)
    shuffled = points[np.random.default_rng(seed).permutation(len(points))]
    cell = max(CELL, float(span.max()) / MAX_COLUMNS)
    while True:
        columns, rows = ((shuffled - low) / cell).astype(np.int64).T
        _, first = np.unique(rows * (columns.max() + 1) + columns, return_index=True)
        if len(first) <= MAX_CELLS:
            return shuffled[first]
        cell *= 1.1 * float(np.sqrt(len(first) / MAX_CELLS))


def _circumradii(triangles: Array) -> Array:
    """Of triangles (n, 3, 2); infinite where they are flat."""
    sides = np.linalg.norm(triangles - np.roll(triangles, 1, axis=1), axis=2)
    (ax, ay), (bx, by) = (triangles[:, 1] - triangles[:, 0]).T, (triangles[:, 2] - triangles[:, 0]).T
    with np.errstate(divide="ignore"):
        return sides.prod(1) / (2 * np.abs(ax * by - ay * bx))
