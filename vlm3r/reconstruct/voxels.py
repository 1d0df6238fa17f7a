"""A coloured point cloud that grows frame by frame in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BITS = 21
_HALF = 1 << (_BITS - 1)
_MASK = (1 << _BITS) - 1
_COLUMNS = 11  # weight, weighted position (3), colour (3) and normal (3), number of points


@dataclass(frozen=True)
class PointCloud:
    """One point per occupied voxel."""

    positions: NDArray[np.float32]
    """(point, 3) metres, in the first camera's frame."""

    colours: NDArray[np.uint8]
    """(point, 3) RGB."""

    confidence: NDArray[np.float32]
    """(point,) mean confidence of the pixels in the voxel."""

    normals: NDArray[np.float32]
    """(point, 3) unit normals towards the cameras that saw the point; zero where unknown."""

    def __len__(self) -> int:
        return len(self.positions)


class VoxelGrid:
    """Averages points in cubic voxels, weighted by confidence; memory grows with occupied voxels, not with points.

    Sums are kept, so the result does not depend on the order or grouping of `add` calls (beyond rounding). Voxel edges
    lie at multiples of the voxel size, so doubling the size merges whole voxels and gives just what the larger size
    would have given from the start.
    """

    def __init__(self, voxel_size: float, max_voxels: int) -> None:
        """An empty grid.

        Args:
            voxel_size: edge of a voxel in metres.
            max_voxels: number of occupied voxels above which the voxel size doubles.
        """
        if not voxel_size > 0 or not np.isfinite(voxel_size):
            raise ValueError(f"voxel_size must be positive, got {voxel_size}")
        self.voxel_size = float(voxel_size)
        self.max_voxels = max_voxels
        self.coarsenings = 0
        self._reach = _HALF * self.voxel_size  # fixed, so that what is out of reach does not depend on order
        self._keys = np.zeros(0, np.int64)  # sorted; _rows[i] is the row of _sums that belongs to _keys[i]
        self._rows = np.zeros(0, np.int64)
        self._sums = np.zeros((0, _COLUMNS))

    def __len__(self) -> int:
        return len(self._keys)

    def add(
        self,
        positions: NDArray[np.floating],
        colours: NDArray[np.uint8],
        confidence: NDArray[np.floating],
        normals: NDArray[np.floating],
    ) -> int:
        """Adds points and returns how many were left out: not finite, of no weight, or over a million voxels away.

        Args:
            positions: (point, 3) metres.
            colours: (point, 3) RGB.
            confidence: (point,) weights, positive.
            normals: (point, 3) unit or zero.
        """
        inside = np.isfinite(positions).all(-1) & np.isfinite(confidence) & (confidence > 0)
        inside[inside] = (np.abs(positions[inside]) < self._reach).all(-1)
        weight = np.asarray(confidence[inside], np.float64)[:, None]
        position = np.asarray(positions[inside], np.float64)
        parts = [weight, weight * position, weight * colours[inside], weight * normals[inside], np.ones_like(weight)]
        keys, sums = _group(_pack(np.floor(position / self.voxel_size).astype(np.int64)), np.concatenate(parts, 1))
        self._merge(keys, sums)
        while len(self) > self.max_voxels and self._coarsen():
            pass
        return int(len(inside) - inside.sum())

    def _merge(self, keys: NDArray[np.int64], sums: NDArray[np.float64]) -> None:
        place = np.searchsorted(self._keys, keys)
        known = np.zeros(len(keys), bool)
        within = place < len(self._keys)
        known[within] = self._keys[place[within]] == keys[within]
        self._sums[self._rows[place[known]]] += sums[known]
        new, count = ~known, len(self._keys)
        needed = count + int(new.sum())
        if needed > len(self._sums):
            grown = np.zeros((max(needed, len(self._sums) * 3 // 2), _COLUMNS))
            grown[:count] = self._sums[:count]
            self._sums = grown
        self._sums[count:needed] = sums[new]
        self._keys = np.insert(self._keys, place[new], keys[new])
        self._rows = np.insert(self._rows, place[new], np.arange(count, needed))

    def _coarsen(self) -> bool:
        """Doubles the voxel size; False if that no longer merges anything (every voxel touches the origin)."""
        cells = _unpack(self._keys)
        if ((cells == 0) | (cells == -1)).all():
            return False
        self._keys, self._sums = _group(_pack(cells >> 1), self._sums[self._rows])
        self._rows = np.arange(len(self._keys))
        self.voxel_size *= 2
        self.coarsenings += 1
        return True

    def cloud(self) -> PointCloud:
        """The cloud so far, in an order that depends only on positions."""
        sums = self._sums[self._rows]
        weight = sums[:, :1]
        normals = sums[:, 7:10] / weight
        length = np.linalg.norm(normals, axis=-1, keepdims=True)
        return PointCloud(
            positions=(sums[:, 1:4] / weight).astype(np.float32),
            colours=np.clip(np.round(sums[:, 4:7] / weight), 0, 255).astype(np.uint8),
            confidence=(sums[:, 0] / sums[:, 10]).astype(np.float32),
            normals=np.where(length > 1e-6, normals / np.maximum(length, 1e-6), 0).astype(np.float32),
        )


def _pack(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number (voxel,) per cell (voxel, 3); coordinates in [-2^20, 2^20)."""
    shifted = cells + _HALF
    return (shifted[:, 0] << 2 * _BITS) | (shifted[:, 1] << _BITS) | shifted[:, 2]


def _unpack(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The cells (voxel, 3) of packed keys (voxel,)."""
    return np.stack([keys >> 2 * _BITS, (keys >> _BITS) & _MASK, keys & _MASK], -1) - _HALF


def _group(keys: NDArray[np.int64], rows: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Sorted distinct keys and the sums of their rows."""
    if not len(keys):
        return keys, rows
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], rows[order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    return keys[starts], np.add.reduceat(rows, starts, axis=0)
