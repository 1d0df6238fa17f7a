"""Soft light, computed once per grid point: sun, windows and lamps with soft shadows, then diffuse bounces.

Ray casting is embreex. All random numbers are seeded, so the same room gives the same light.
"""

from __future__ import annotations

import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from scipy.ndimage import gaussian_filter

from .geometry import Array
from .mesh import Mesh
from .room import AreaLight, Room

SUN_IRRADIANCE = np.array([19.0, 16.6, 13.2])
SUN_RADIUS = np.radians(1.3)  # a hazy sun: wider than the real one, for soft edges
CHUNK = 4096


class LightBaker:
    """Irradiance (RGB) at every vertex of a mesh."""

    def __init__(self, mesh: Mesh, room: Room, textures: Array, seed: int = 0) -> None:
        self.mesh, self.room = mesh, room
        self.rng = np.random.default_rng([seed, 77])
        self.blockers = mesh.triangles[: mesh.opaque]
        self.scene = rtcore_scene.EmbreeScene(robust=True)
        TriangleMesh(self.scene, np.ascontiguousarray(mesh.position[self.blockers], np.float32))
        mean = ((textures.astype(np.float32) / 255) ** 2.2).mean(axis=(1, 2))
        self.albedo = mesh.colour * mean[mesh.style[:, 0].astype(int)]

    def irradiance(self, light_samples: int = 32, sky_rays: int = 144, bounces: int = 5) -> Array:
        """Light that reaches each vertex, (vertex, 3): direct light plus `bounces` diffuse reflections."""
        direct = self._sun(24)
        soft = sum(self._area(light, light_samples) for light in self.room.lights)
        direct = self._smoothed(direct, 0.6) + self._smoothed(soft, 1.0)
        seen = self._hemisphere_hits(sky_rays)
        return direct + self._smoothed(self._bounced(direct, seen, bounces), 1.5)

    def _shadow_rays(self, origins: Array, targets: Array) -> Array:
        """1.0 where nothing lies between an origin and its target (direction vectors reach exactly to the target)."""
        rays = np.ascontiguousarray(targets - origins, np.float32)
        reach = np.full(len(rays), 0.999, np.float32)
        blocked = self.scene.run(np.ascontiguousarray(origins, np.float32), rays, dists=reach, query="OCCLUDED")
        return (np.asarray(blocked) < 0).astype(np.float32)

    def _sun(self, samples: int) -> Array:
        """Direct sunlight at each vertex with the penumbra of a disc of `SUN_RADIUS`."""
        towards = self.room.sun_direction
        side = np.cross(towards, [0, 0, 1])
        side /= np.linalg.norm(side)
        up = np.cross(side, towards)
        k = np.arange(samples)
        spread, turn = np.tan(SUN_RADIUS) * np.sqrt((k + 0.5) / samples), k * 2.39996
        disc = towards + spread[:, None] * (np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * up)
        result = np.zeros_like(self.mesh.position)
        cosine = self.mesh.normal @ towards.astype(np.float32)
        lit = np.flatnonzero(cosine > 0)
        for ids in np.array_split(lit, max(1, len(lit) // CHUNK)):
            origins = np.repeat(self.mesh.sample[ids], samples, axis=0)
            targets = origins + 20 * np.tile(disc, (len(ids), 1))
            share = self._shadow_rays(origins, targets).reshape(len(ids), samples).mean(1)
            result[ids] = (share * cosine[ids])[:, None] * SUN_IRRADIANCE
        return result

    def _area(self, light: AreaLight, samples: int) -> Array:
        """Direct light from one rectangle, by jittered stratified samples with visibility."""
        u, v = np.asarray(light.edge_u), np.asarray(light.edge_v)
        area_normal = np.cross(u, v)
        area = np.linalg.norm(area_normal)
        k = np.arange(samples)
        base = np.stack([(k + 0.5) / samples, (k * 0.6180339887) % 1], 1)  # (sample, 2)
        result = np.zeros_like(self.mesh.position)
        vertices = len(self.mesh.position)
        for start in range(0, vertices, CHUNK):
            ids = slice(start, min(start + CHUNK, vertices))
            origins = self.mesh.sample[ids]
            shifted = (base[None] + self.rng.random((len(origins), 1, 2))) % 1
            points = np.asarray(light.corner) + shifted[..., :1] * u + shifted[..., 1:] * v  # (vertex, sample, 3)
            rays = points - origins[:, None]
            square = (rays**2).sum(-1)
            at_vertex = np.einsum("vsc,vc->vs", rays, self.mesh.normal[ids])
            form = (
                np.clip(at_vertex, 0, None)
                * np.clip(-rays @ (area_normal / area), 0, None)
                / np.maximum(square, 1e-3) ** 2
            )
            useful = form > 0
            repeated = np.broadcast_to(origins[:, None], points.shape)
            form[useful] *= self._shadow_rays(repeated[useful], points[useful])
            result[ids] = form.mean(1)[:, None] * area * np.asarray(light.radiance)
        return result

    def _hemisphere_hits(self, rays: int) -> Array:
        """The triangle that each of `rays` cosine-weighted rays from each vertex hits, (vertex, ray), -1 for none."""
        k = np.arange(rays)
        base = np.stack([(k + 0.5) / rays, (k * 0.6180339887) % 1], 1)
        n = self.mesh.normal
        helper = np.where(np.abs(n[:, 2:]) < 0.9, np.array([[0, 0, 1]]), np.array([[1, 0, 0]]))
        tangent = np.cross(helper, n)
        tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
        bitangent = np.cross(n, tangent)
        hits = np.empty((len(n), rays), np.int32)
        for start in range(0, len(n), CHUNK):
            ids = slice(start, min(start + CHUNK, len(n)))
            count = len(n[ids])
            shifted = (base[None] + self.rng.random((count, 1, 2))) % 1
            radius, turn = np.sqrt(shifted[..., 0]), 2 * np.pi * shifted[..., 1]
            local = (radius * np.cos(turn), radius * np.sin(turn), np.sqrt(1 - shifted[..., 0]))
            axes = (tangent[ids], bitangent[ids], n[ids])
            rays_out = sum(a[..., None] * axis[:, None] for a, axis in zip(local, axes, strict=True))
            origins = np.repeat(self.mesh.sample[ids], rays, axis=0)
            flat = np.ascontiguousarray(rays_out.reshape(-1, 3), np.float32)
            hits[ids] = self.scene.run(np.ascontiguousarray(origins), flat).reshape(count, rays)
        return hits

    def _bounced(self, direct: Array, seen: Array, bounces: int) -> Array:
        """Irradiance by diffuse reflection: the mean radiosity of what each vertex sees, iterated."""
        total, indirect = direct, np.zeros_like(direct)
        for _ in range(bounces):
            radiosity = self.albedo * total
            per_triangle = np.concatenate([radiosity[self.blockers].mean(1), np.zeros((1, 3))]).astype(np.float32)
            for start in range(0, len(seen), CHUNK):
                ids = slice(start, start + CHUNK)
                indirect[ids] = per_triangle[seen[ids]].mean(1)
            total = direct + self._smoothed(indirect, 1.5)
        return indirect

    def _smoothed(self, values: Array, sigma: float) -> Array:
        """Values blurred along the grid of each patch; `sigma` is in grid cells."""
        result = np.empty_like(values)
        starts = self.mesh.starts()
        for patch, start, stop in zip(self.mesh.patches, starts[:-1], starts[1:], strict=True):
            grid = values[start:stop].reshape(patch.points.shape)
            result[start:stop] = gaussian_filter(grid, (sigma, sigma, 0), mode="nearest").reshape(-1, 3)
        return result
