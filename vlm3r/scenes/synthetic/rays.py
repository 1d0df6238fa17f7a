"""Rays against the triangles of a mesh, by embreex."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlm3r.errors import UserError

from .shapes import Array

END = 0.999
"""Share of a shadow ray that must be free: its target does not shadow itself."""


class RayScene:
    """Triangles, ready to be hit by rays; arrays of rays are (..., 3) and answers have the leading shape."""

    def __init__(self, position: Array, triangles: Array) -> None:
        """Takes vertices (vertex, 3) and vertex numbers (triangle, 3).

        Raises:
            UserError: embreex is not installed.
        """
        try:
            from embreex import rtcore_scene
            from embreex.mesh_construction import TriangleMesh
        except ImportError as error:
            raise UserError(f"synthetic rooms need the package embreex ({error}); run: pip install embreex") from error
        self._scene: Any = rtcore_scene.EmbreeScene(robust=True)  # pyright: ignore[reportAttributeAccessIssue]
        self._empty = len(triangles) == 0
        if not self._empty:
            TriangleMesh(self._scene, np.ascontiguousarray(position[triangles], np.float32))

    def free(self, origins: Array, rays: Array) -> Array:
        """Whether nothing lies between each origin and the end of its ray."""
        if self._empty or not rays.size:
            return np.ones(rays.shape[:-1], bool)
        reach = np.full(rays.size // 3, END, np.float32)
        hit = self._scene.run(_flat(origins), _flat(rays), dists=reach, query="OCCLUDED")
        return (np.asarray(hit) < 0).reshape(rays.shape[:-1])

    def first(self, origins: Array, rays: Array) -> Array:
        """Number of the first triangle on each ray, -1 for none."""
        if self._empty or not rays.size:
            return np.full(rays.shape[:-1], -1, np.int32)
        return np.asarray(self._scene.run(_flat(origins), _flat(rays))).reshape(rays.shape[:-1])

    def nearest(self, origins: Array, rays: Array) -> tuple[Array, Array, Array]:
        """First triangle on each ray (-1 for none), weights of its corners (..., 3), distance in lengths of the ray."""
        shape = rays.shape[:-1]
        if self._empty or not rays.size:
            return np.full(shape, -1, np.int32), np.zeros((*shape, 3)), np.zeros(shape)
        found = self._scene.run(_flat(origins), _flat(rays), output=True)
        u, v = found["u"], found["v"]
        weights = np.stack([1 - u - v, u, v], axis=-1)
        return found["primID"].reshape(shape), weights.reshape(*shape, 3), found["tfar"].reshape(shape)


def _flat(rays: Array) -> Array:
    return np.ascontiguousarray(rays, np.float32).reshape(-1, 3)
