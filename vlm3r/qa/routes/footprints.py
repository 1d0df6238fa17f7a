"""Boxes seen from above.

The shadow of an oriented box on the floor is the sum of three segments: a polygon of six corners, some of which
coincide where an axis is vertical. That makes corners, distances and separations closed forms for any orientation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vlm3r.scenes.schema import Array, OrientedBox

UPRIGHT = 1e-6
"""Horizontal length of a unit axis below which it counts as vertical."""
SIDE = 0.5
"""The same from which on an axis has sides to stand at."""


class Footprints:
    """Plan views of boxes: `centres` (n, 2), `corners` (n, 6, 2) counter-clockwise, `bottoms` and `tops` (n,)."""

    def __init__(self, boxes: Sequence[OrientedBox]) -> None:
        centres = np.array([b.centre for b in boxes], float).reshape(-1, 3)
        self._axes = np.array([b.axes for b in boxes], float).reshape(-1, 3, 3)
        halves = self._axes * np.array([b.size for b in boxes], float).reshape(-1, 3, 1) / 2
        self.centres = centres[:, :2]
        height = np.abs(halves[:, :, 2]).sum(1)
        self.bottoms, self.tops = centres[:, 2] - height, centres[:, 2] + height
        self._edges = _ordered(halves[:, :, :2])
        self.corners = _corners(self.centres, self._edges)

    def __len__(self) -> int:
        return len(self.centres)

    def distances(self, index: int, x: Array, y: Array) -> Array:
        """Metres from points to a footprint, 0 inside; `x` and `y` are broadcast against each other."""
        x, y = x - self.centres[index, 0], y - self.centres[index, 1]
        edges = self._edges[index]
        lengths = np.hypot(edges[:, 0], edges[:, 1])
        flat = lengths > UPRIGHT * max(lengths.max(), UPRIGHT)
        if flat.sum() == 2 and abs(edges[flat][0] @ edges[flat][1]) < UPRIGHT * lengths[flat].prod():
            beyond = [
                np.maximum(np.abs(x * (e[0] / n) + y * (e[1] / n)) - n, 0)
                for e, n in zip(edges[flat], lengths[flat], strict=True)
            ]
            return np.hypot(*beyond)
        return _polygon_distances(self.corners[index] - self.centres[index], x, y)

    def gaps(self) -> Array:
        """Metres between every two footprints, (n, n); 0 where they overlap."""
        if not len(self):
            return np.zeros((0, 0))
        starts, ends = self.corners, np.roll(self.corners, -1, axis=1)
        edge = ends - starts  # (n, 6, 2)
        square = np.maximum((edge**2).sum(-1), 1e-300)
        offset = self.corners[:, None, :, None] - starts[None, :, None]  # (n, other, corner, edge, 2)
        along = np.clip((offset * edge[None, :, None]).sum(-1) / square[None, :, None], 0, 1)
        distance = np.linalg.norm(offset - along[..., None] * edge[None, :, None], axis=-1).min((2, 3))
        return np.where(self._overlap(), 0.0, np.minimum(distance, distance.T))

    def sides(self, index: int) -> Array:
        """Unit directions from the centre to the sides that one can stand at, (side, 2), the same after any turn."""
        flat = self._axes[index, :, :2]
        length = np.linalg.norm(flat, axis=1)
        directions = flat[length > SIDE] / length[length > SIDE, None]
        return np.concatenate([directions, -directions])

    def _overlap(self) -> NDArray[np.bool_]:
        """Whether no edge's line separates two footprints, (n, n)."""
        normals = np.stack([-self._edges[..., 1], self._edges[..., 0]], axis=-1)  # (n, 3, 2)
        between = self.centres[None] - self.centres[:, None]
        offset = np.abs(np.einsum("iad,ijd->ija", normals, between))
        reach = np.abs(np.einsum("iad,jkd->ijak", normals, self._edges)).sum(-1)
        own = np.abs(np.einsum("iad,ikd->iak", normals, self._edges)).sum(-1)
        apart = (offset > reach + own[:, None]).any(-1)
        return ~(apart | apart.T)


def _ordered(edges: Array) -> Array:
    """Half edges (n, 3, 2) turned into the upper half plane and sorted by direction."""
    flip = (edges[..., 1] < 0) | ((edges[..., 1] == 0) & (edges[..., 0] < 0))
    upper = np.where(flip[..., None], -edges, edges)
    order = np.argsort(np.arctan2(upper[..., 1], upper[..., 0]), axis=1, kind="stable")
    return np.take_along_axis(upper, order[..., None], axis=1)


def _corners(centres: Array, edges: Array) -> Array:
    """(n, 6, 2) counter-clockwise, from half edges in order."""
    first = -edges.sum(1, keepdims=True)
    half = np.concatenate([first, first + 2 * np.cumsum(edges, axis=1)[:, :2]], axis=1)
    return centres[:, None] + np.concatenate([half, -half], axis=1)


def _polygon_distances(corners: Array, x: Array, y: Array) -> Array:
    """Distances from points to a convex polygon (corner, 2), counter-clockwise."""
    nearest = np.hypot(x - corners[0, 0], y - corners[0, 1])
    inside = np.ptp(corners, axis=0).max() > UPRIGHT
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        dx, dy = bx - ax, by - ay
        square = dx * dx + dy * dy
        if square < UPRIGHT**2:
            continue
        px, py = x - ax, y - ay
        along = np.clip((px * dx + py * dy) / square, 0, 1)
        nearest = np.minimum(nearest, np.hypot(px - along * dx, py - along * dy))
        inside = inside & (dx * py - dy * px >= 0)
    return np.where(inside, 0.0, nearest)
