"""Exact distances of oriented boxes, vectorised over all pairs.

Two disjoint boxes come nearest either at a corner of one and a point of the other, or at interior points of two edges,
so the minimum over those finitely many cases is exact. Boxes that intersect are found by the separating-axis theorem.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vlm3r.scenes.schema import CORNER_SIGNS, Array, OrientedBox

Indices = NDArray[np.intp]

PARALLEL = 1e-12
"""Squared sine below which two edges count as parallel; their distance is then found at a corner."""


class BoxArray:
    """Boxes as arrays: `centres` (n, 3), `sizes` (n, 3), `axes` (n, 3, 3) with one axis a row."""

    def __init__(self, boxes: Sequence[OrientedBox]) -> None:
        self.centres = np.array([b.centre for b in boxes], float).reshape(-1, 3)
        self.sizes = np.array([b.size for b in boxes], float).reshape(-1, 3)
        self.axes = np.array([b.axes for b in boxes], float).reshape(-1, 3, 3)

    def __len__(self) -> int:
        return len(self.centres)

    def corners(self) -> Array:
        """World coordinates of all corners, (n, 8, 3)."""
        return np.einsum("ck,nk,nkd->ncd", CORNER_SIGNS, self.sizes, self.axes) + self.centres[:, None]

    def distances_to_points(self, points: Array) -> Array:
        """Metres from each of `points` (p, 3) to each box, (p, n); 0 inside."""
        local = np.einsum("pnd,nkd->pnk", points[:, None] - self.centres, self.axes)
        return np.linalg.norm(np.maximum(np.abs(local) - self.sizes / 2, 0), axis=-1)

    def distances(self) -> Array:
        """Metres between every two boxes, (n, n), symmetric, 0 where they touch or intersect."""
        n = len(self)
        result = np.zeros((n, n))
        first, second = np.triu_indices(n, 1)
        if len(first):
            result[first, second] = result[second, first] = self._pair_distances(first, second)
        return result

    def _pair_distances(self, first: Indices, second: Indices) -> Array:
        corners = self.corners()
        nearest = np.minimum(
            self._corner_distances(corners[first], second), self._corner_distances(corners[second], first)
        )
        nearest = np.minimum(nearest, self._edge_distances(first, second))
        return np.where(self._separated(first, second), nearest, 0.0)

    def _corner_distances(self, corners: Array, box: Indices) -> Array:
        """Least distance of eight corners (pair, 8, 3) to the box of each pair, (pair,)."""
        local = np.einsum("pcd,pkd->pck", corners - self.centres[box][:, None], self.axes[box])
        return np.linalg.norm(np.maximum(np.abs(local) - self.sizes[box][:, None] / 2, 0), axis=-1).min(1)

    def _edges(self, box: Indices) -> tuple[Array, Array]:
        """Middles (pair, 12, 3) and half vectors (pair, 12, 3) of the edges of each pair's box."""
        middles, halves = [], []
        half = self.axes[box] * self.sizes[box][..., None] / 2  # (pair, axis, 3)
        for axis in range(3):
            side, other = half[:, (axis + 1) % 3], half[:, (axis + 2) % 3]
            for a in (-1, 1):
                for b in (-1, 1):
                    middles.append(self.centres[box] + a * side + b * other)
                    halves.append(half[:, axis])
        return np.stack(middles, 1), np.stack(halves, 1)

    def _edge_distances(self, first: Indices, second: Indices) -> Array:
        """Least distance over edge pairs whose common perpendicular meets both edges, (pair,); infinity for none."""
        (p, u), (q, v) = self._edges(first), self._edges(second)
        u, v = u[:, :, None], v[:, None]
        gap = p[:, :, None] - q[:, None]  # (pair, 12, 12, 3)
        uu, vv, uv = (u * u).sum(-1), (v * v).sum(-1), (u * v).sum(-1)
        gu, gv = (gap * u).sum(-1), (gap * v).sum(-1)
        determinant = uu * vv - uv**2
        crossing = determinant > PARALLEL * uu * vv
        safe = np.where(crossing, determinant, 1.0)
        s, t = (uv * gv - vv * gu) / safe, (uu * gv - uv * gu) / safe
        inside = crossing & (np.abs(s) <= 1) & (np.abs(t) <= 1)
        distance = np.linalg.norm(gap + s[..., None] * u - t[..., None] * v, axis=-1)
        return np.where(inside, distance, np.inf).min((1, 2))

    def _separated(self, first: Indices, second: Indices) -> Array:
        """Whether a plane separates the boxes of each pair, (pair,), by the 15 axes of the separating-axis theorem."""
        a, b = self.axes[first], self.axes[second]
        cross = np.cross(a[:, :, None], b[:, None]).reshape(-1, 9, 3)
        candidates = np.concatenate([a, b, cross], axis=1)  # (pair, 15, 3)
        offset = np.abs(np.einsum("pad,pd->pa", candidates, self.centres[second] - self.centres[first]))
        reach = sum(
            np.abs(np.einsum("pad,pkd,pk->pak", candidates, axes, self.sizes[box] / 2)).sum(-1)
            for axes, box in ((a, first), (b, second))
        )
        length = np.linalg.norm(candidates, axis=-1)
        return ((offset > reach) & (length > 1e-6)).any(1)
