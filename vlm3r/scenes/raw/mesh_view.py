"""What a camera would see of a scan's mesh: depth maps and instance masks where none ship."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlm3r.scenes.raw.capture import NO_INSTANCE, Cloud
from vlm3r.scenes.schema import Array, Intrinsics
from vlm3r.scenes.synthetic.rays import RayScene

MAX_EDGE = 640
"""Pixels along the longer edge of what is rendered; larger pictures get smaller maps."""


class MeshView:
    """A mesh, ready to be looked at.

    Raises:
        UserError: embreex is not installed.
    """

    def __init__(self, cloud: Cloud) -> None:
        """Takes a cloud with triangles."""
        assert cloud.triangles is not None
        self._scene = RayScene(cloud.points, cloud.triangles)
        self._instances = None if cloud.instances is None else _of_triangles(cloud.instances[cloud.triangles])

    def render(self, pose: Array, camera: Intrinsics) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
        """Depth `(h, w)` in metres along the optical axis, 0 for nothing, and instance ids, or None without labels."""
        share = min(1.0, MAX_EDGE / max(camera.width, camera.height))
        width, height = max(1, round(camera.width * share)), max(1, round(camera.height * share))
        x = ((np.arange(width) + 0.5) * camera.width / width - camera.cx) / camera.fx
        y = ((np.arange(height) + 0.5) * camera.height / height - camera.cy) / camera.fy
        local = np.stack([*np.meshgrid(x, y), np.ones((height, width))], axis=-1)
        rays = local @ pose[:3, :3].T  # length 1 along the optical axis, so distance is depth
        hit, _, distance = self._scene.nearest(np.broadcast_to(pose[:3, 3], rays.shape), rays)
        depth = np.where(hit >= 0, distance, 0).astype(np.float32)
        mask = None if self._instances is None else np.where(hit >= 0, self._instances[hit], NO_INSTANCE)
        return depth, mask


def _of_triangles(corners: NDArray[np.int64]) -> NDArray[np.int64]:
    """The instance (M,) that most corners (M, 3) of a triangle have; the first corner's where all differ."""
    return np.where(corners[:, 1] == corners[:, 2], corners[:, 1], corners[:, 0])
