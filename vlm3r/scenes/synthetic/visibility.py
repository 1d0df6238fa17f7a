"""What each frame shows of each object: 2-D box, pixels, median depth, and the visible share of its surface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from vlm3r.scenes.schema import Intrinsics, Sighting

from .mesh import grid_triangles
from .shapes import Array, Solid
from .world import World

POINTS = 256
"""Surface points per object."""
DEPTH_SLACK = 0.004
"""Metres by which a point may lie behind the depth map and still count as shown."""
SLANT_SLACK = 0.2
"""Metres that a slanting surface may add to that at most, for its depth changes within a pixel."""


class Visibility:
    """Measures sightings in the frames of one world. Instance ids are positions in `World.objects` plus one.

    The visible fraction is the share of an object's camera-facing surface, by a seeded sample of points spread evenly
    over its area, that lies inside the picture and is not hidden according to the depth map.
    """

    def __init__(self, world: World, camera: Intrinsics, seed: Sequence[int]) -> None:
        self.camera = camera
        samples = [
            surface_sample(o.solid, POINTS, np.random.default_rng([*seed, i])) for i, o in enumerate(world.objects)
        ]
        self.points = np.array([points for points, _ in samples]).reshape(-1, POINTS, 3)
        self.normals = np.array([normals for _, normals in samples]).reshape(-1, POINTS, 3)

    def sightings(self, pose: Array, depth: Array, instances: Array) -> tuple[Sighting, ...]:
        """The objects in one frame, by ascending instance id.

        Args:
            pose: (4, 4) camera-to-world.
            depth: (height, width) metres along the optical axis.
            instances: (height, width) instance id, 0 for none.
        """
        shown = np.flatnonzero(np.bincount(instances.ravel(), minlength=1 + len(self.points))[1:]) + 1
        if not len(shown):
            return ()
        boxes = ndimage.find_objects(instances)
        pixels = ndimage.sum_labels(np.ones_like(depth), instances, shown)
        middle = ndimage.median(depth, instances, shown)
        fractions = self.fractions(pose, depth, shown - 1)
        result = []
        for number, instance in enumerate(shown.tolist()):
            rows, columns = boxes[instance - 1]
            box = (columns.start, rows.start, columns.stop - 1, rows.stop - 1)
            fraction, metres = round(float(fractions[number]), 4), round(float(middle[number]), 4)
            result.append(Sighting(instance, box, int(pixels[number]), fraction, metres))
        return tuple(result)

    def fractions(self, pose: Array, depth: Array, objects: Array) -> Array:
        """Visible fraction of the given objects (positions in `World.objects`), (object,)."""
        points, normals, eye = self.points[objects], self.normals[objects], pose[:3, 3]
        facing = ((eye - points) * normals).sum(-1) > 0
        x, y, z = np.moveaxis((points - eye) @ pose[:3, :3], -1, 0)  # camera coordinates, each (object, point)
        ahead = z > 1e-6
        safe = np.where(ahead, z, 1.0)
        column = np.floor(self.camera.fx * x / safe + self.camera.cx).astype(int)
        row = np.floor(self.camera.fy * y / safe + self.camera.cy).astype(int)
        inside = ahead & (column >= 0) & (column < self.camera.width) & (row >= 0) & (row < self.camera.height)
        there = depth[np.where(inside, row, 0), np.where(inside, column, 0)]
        slack = DEPTH_SLACK + self._slant(normals @ pose[:3, :3], x / safe, y / safe, safe)
        visible = facing & inside & (z <= there + slack)
        return visible.sum(1) / np.maximum(facing.sum(1), 1)

    def _slant(self, normals: Array, x: Array, y: Array, depth: Array) -> Array:
        """Metres by which depth changes from a pixel's middle to its corner, for planes with normals (..., 3)."""
        towards = np.abs(normals[..., 0] * x + normals[..., 1] * y + normals[..., 2])
        across = np.abs(normals[..., 0]) / self.camera.fx + np.abs(normals[..., 1]) / self.camera.fy
        return np.minimum(0.5 * depth * across / np.maximum(towards, 1e-6), SLANT_SLACK)


def surface_sample(solid: Solid, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Points (count, 3) spread evenly over a solid's surface, and its normals there (count, 3)."""
    corners, normals = [], []
    for patch in solid:
        triangles = grid_triangles(*patch.points.shape[:2])
        corners.append(patch.points.reshape(-1, 3)[triangles])
        normals.append(patch.normals.reshape(-1, 3)[triangles].mean(1))
    corner = np.concatenate(corners)
    a, b = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    area = np.linalg.norm(np.cross(a, b), axis=1)
    chosen = rng.choice(len(area), count, p=area / area.sum())
    u, v = rng.random((2, count, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    return corner[chosen, 0] + u * a[chosen] + v * b[chosen], np.concatenate(normals)[chosen]
