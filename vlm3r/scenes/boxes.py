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

SLACK = 1e-12
"""Metres of rounding that two ways to the same distance may differ by."""
SIDES = np.array([(a, b) for a in (-1, 1) for b in (-1, 1)], float)
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
        apart = self._separation(first, second)
        # A corner that is no farther than the widest separating slab is the nearest point; edges need not be tried.
        open_pairs = np.flatnonzero((apart > 0) & (nearest > apart + SLACK))
        between_edges = self._edge_distances(first[open_pairs], second[open_pairs])
        nearest[open_pairs] = np.minimum(nearest[open_pairs], between_edges)
        return np.where(apart > 0, nearest, 0.0)

    def _corner_distances(self, corners: Array, box: Indices) -> Array:
        """Least distance of eight corners (pair, 8, 3) to the box of each pair, (pair,)."""
        local = np.einsum("pcd,pkd->pck", corners - self.centres[box][:, None], self.axes[box])
        return np.linalg.norm(np.maximum(np.abs(local) - self.sizes[box][:, None] / 2, 0), axis=-1).min(1)

    def _edges(self, box: Indices) -> tuple[Array, Array]:
        """Half vectors (pair, axis, 3) along each axis, and middles of the four edges along it (pair, axis, 4, 3).

        Middles are relative to the box's centre.
        """
        half = self.axes[box] * self.sizes[box][..., None] / 2
        middles = [
            half[:, (k + 1) % 3, None] * SIDES[:, :1] + half[:, (k + 2) % 3, None] * SIDES[:, 1:] for k in range(3)
        ]
        return half, np.stack(middles, axis=1)

    def _edge_distances(self, first: Indices, second: Indices) -> Array:
        """Least distance over edge pairs whose common perpendicular meets both edges, (pair,); infinity for none.

        Arrays are (pair, axis of the first box, axis of the second, edge of the first, edge of the second).
        """
        (u, p), (v, q) = self._edges(first), self._edges(second)
        centre = self.centres[first] - self.centres[second]
        normal = np.cross(u[:, :, None], v[:, None])  # (pair, 3, 3, 3), along the common perpendiculars
        uu, vv, uv = (u * u).sum(-1)[:, :, None], (v * v).sum(-1)[:, None], u @ v.swapaxes(1, 2)
        determinant = uu * vv - uv**2
        crossing = determinant > PARALLEL * uu * vv
        safe = np.where(crossing, determinant, 1.0)[..., None, None]
        gap_u = (u @ centre[..., None])[..., None] - np.einsum("pjbd,pid->pijb", q, u)
        gap_v = (v @ centre[..., None])[:, None] + np.einsum("piad,pjd->pija", p, v)
        gap_u, gap_v = gap_u[..., None, :], gap_v[..., None]
        uu, vv, uv = (x[..., None, None] for x in (uu, vv, uv))
        inside = crossing[..., None, None] & (np.abs(uv * gap_v - vv * gap_u) <= safe)
        inside &= np.abs(uu * gap_v - uv * gap_u) <= safe
        across = (
            np.einsum("piad,pijd->pija", p, normal)[..., None] - np.einsum("pjbd,pijd->pijb", q, normal)[..., None, :]
        )
        across += np.einsum("pd,pijd->pij", centre, normal)[..., None, None]
        return np.where(inside, np.abs(across) / np.sqrt(safe), np.inf).min((1, 2, 3, 4))

    def _separation(self, first: Indices, second: Indices) -> Array:
        """Width in metres of the widest empty slab between each pair, (pair,); 0 or less where boxes intersect.

        The slabs are those of the 15 axes of the separating-axis theorem.
        """
        a, b = self.axes[first], self.axes[second]
        cross = np.cross(a[:, :, None], b[:, None]).reshape(-1, 9, 3)
        candidates = np.concatenate([a, b, cross], axis=1)  # (pair, 15, 3)
        offset = np.abs(np.einsum("pad,pd->pa", candidates, self.centres[second] - self.centres[first]))
        for axes, box in ((a, first), (b, second)):
            offset -= np.einsum("pak,pk->pa", np.abs(candidates @ axes.swapaxes(1, 2)), self.sizes[box] / 2)
        length = np.linalg.norm(candidates, axis=-1)
        return np.where(length > 1e-6, offset / np.maximum(length, 1e-6), -np.inf).max(1)
