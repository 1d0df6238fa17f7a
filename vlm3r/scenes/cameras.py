"""The cameras of a scene's frames as arrays, related to its boxes and to each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vlm3r.scenes.boxes import BoxArray
from vlm3r.scenes.schema import Array, Frame


class Cameras:
    """Camera poses of `frames` and what they say of `boxes`; rows of frames without a usable pose are NaN."""

    def __init__(self, frames: Sequence[Frame], boxes: BoxArray) -> None:
        lost = np.full((4, 4), np.nan)
        poses = np.array([lost if f.pose is None else f.pose for f in frames], float).reshape(-1, 4, 4)
        self.usable: NDArray[np.bool_] = np.asarray(np.isfinite(poses).all((1, 2)))
        """(frame,) whether the frame has a pose."""
        poses[~self.usable] = np.nan
        self.centres: Array = poses[:, :3, 3]
        """(frame, 3) world coordinates."""
        self.rotations: Array = poses[:, :3, :3]
        """(frame, 3, 3) camera-to-world."""
        self._boxes = boxes

    def __len__(self) -> int:
        return len(self.centres)

    @cached_property
    def distances(self) -> Array:
        """Metres from each camera to the nearest point of each box, (frame, object); 0 inside."""
        return self._boxes.distances_to_points(self.centres)

    @cached_property
    def extents(self) -> Array:
        """Least and greatest coordinate of each box in camera axes, (frame, object, axis, 2)."""
        local = np.einsum("focd,fdk->fock", self._boxes.corners()[None] - self.centres[:, None, None], self.rotations)
        return np.stack([local.min(2), local.max(2)], axis=-1)

    @cached_property
    def displacements(self) -> Array:
        """[i, j]: camera j's centre in camera i's axes, metres, (frame, frame, 3)."""
        return np.einsum("ijd,idk->ijk", self.centres[None] - self.centres[:, None], self.rotations)
