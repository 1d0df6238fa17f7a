"""Soft light, measured once at the probes of a home: sun, windows and lamps with soft shadows, then diffuse bounces.

Rays are embreex's. All random numbers are seeded, so the same home gives the same light. Emissive surfaces neither
cast shadows nor send light here: `World.lamps` says what they give off, from wherever it is convenient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from .mesh import Mesh
from .probes import Probes
from .rays import RayScene
from .shapes import Array
from .world import AreaLight, World

SUN_IRRADIANCE = np.array([19.0, 16.6, 13.2])
SUN_RADIUS = np.radians(1.3)
"""A hazy sun: wider than the real one, for soft edges."""
SUN_SHARE = 0.5
"""Rays from a probe to the sun, relative to those to a window."""
WINDOW_MARGIN = 0.25
"""Metres beside a window within which a ray to the middle of the sun may pass for its penumbra to matter."""
CHUNK = 1 << 19
"""Rays that are cast at once."""
BURIED = 0.4
"""A probe that sees the back of things in more than this share of directions lies inside one and says nothing."""
SMALLEST_DISTANCE = 0.05
"""Metres below which a light is taken to be so far away, so that the nearest probes do not sparkle."""

_ALONG, _, _UP = np.eye(3, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Light:
    """What reaches each vertex of a mesh."""

    irradiance: Array  # (vertex, 3), RGB
    daylight: Array  # (vertex,): unobstructed share of the windows in front of it, 0..1


@dataclass(frozen=True)
class Effort:
    """How much work the light bake does."""

    light_samples: int
    """Shadow rays from a probe to each window and each lamp."""
    sky_rays: int
    """Rays from a probe that look for what reflects light to it."""
    bounces: int
    """Diffuse reflections."""
    smoothing: int
    """Passes of smoothing over reflected light."""


def bake(world: World, mesh: Mesh, probes: Probes, albedo: Array, effort: Effort, seed: int) -> Light:
    """The light at the vertices of a home's mesh.

    Args:
        world: gives windows, lamps and sun; the sun shines in through the windows only.
        albedo: (vertex, 3) reflected share of light.
        effort: how many rays.
        seed: decides the directions of the rays.

    Raises:
        UserError: embreex is not installed.
    """
    return _Bake(mesh, probes, albedo, seed).light(world, effort)


class _Bake:
    def __init__(self, mesh: Mesh, probes: Probes, albedo: Array, seed: int) -> None:
        self.probes, self.albedo = probes, albedo
        self.rng = np.random.default_rng([seed, 77])
        triangles = mesh.triangles[: mesh.opaque]
        self.blockers = triangles[mesh.style[triangles[:, 0], 2] == 0]
        self.facing = mesh.normal[self.blockers].mean(axis=1)
        self.scene = RayScene(mesh.position, self.blockers)

    def light(self, world: World, effort: Effort) -> Light:
        count = len(self.probes.position)
        reflect, known = self._surroundings(effort.sky_rays)
        sun = self._sun(world, max(1, round(effort.light_samples * SUN_SHARE)))
        soft, seen, whole = np.zeros((count, 3)), np.zeros(count), np.zeros(count)
        for light in world.windows:
            form, open_form = self._area(light, effort.light_samples)
            soft += form[:, None] * np.asarray(light.radiance)
            seen += form
            whole += open_form
        for light in world.lamps:
            soft += self._area(light, effort.light_samples)[0][:, None] * np.asarray(light.radiance)
        direct = self._spread(sun, known, 0) + self._spread(soft, known, 1)
        indirect = np.zeros_like(direct)
        for _ in range(effort.bounces):
            indirect = self._spread(reflect @ (direct + indirect), known, effort.smoothing)
        to_vertices = self.probes.to_vertices
        share = self._spread((seen / np.maximum(whole, 1e-9))[:, None], known, 1)
        return Light((to_vertices @ (direct + indirect)).astype(np.float32), (to_vertices @ share)[:, 0])

    def _spread(self, values: Array, known: Array, passes: int) -> Array:
        """Values (probe, channel) smoothed over known probes; others take their neighbours', or half the median."""
        weight = known.astype(float)[:, None]
        if passes:
            smooth = self.probes.smoothed(weight, passes)
            values = self.probes.smoothed(values * weight, passes) / np.maximum(smooth, 1e-9)
            values, weight = np.where(smooth > 1e-9, values, 0), (smooth > 1e-9).astype(float)
        values = values * weight
        for _ in range(4):
            near = self.probes.smoothed(weight, 1)
            filled = self.probes.smoothed(values, 1) / np.maximum(near, 1e-9)
            values, weight = np.where(weight > 0, values, np.where(near > 0, filled, 0)), (near > 0).astype(float)
        fallback = np.median(values[known], axis=0) / 2 if known.any() else 0.0
        return np.where(weight > 0, values, fallback)

    def _sun(self, world: World, samples: int) -> Array:
        """Direct sunlight at each probe (probe, 3), with the penumbra of a disc of `SUN_RADIUS`."""
        towards = np.asarray(world.sun_direction, float)
        side = np.cross(towards, [0, 0, 1] if abs(towards[2]) < 0.9 else [1, 0, 0])
        side /= np.linalg.norm(side)
        k = np.arange(samples)
        spread, turn = np.tan(SUN_RADIUS) * np.sqrt((k + 0.5) / samples), k * 2.39996
        ring = np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * np.cross(side, towards)
        disc = towards + spread[:, None] * ring
        cosine = self.probes.normal @ towards
        lit = np.zeros(len(cosine), bool)
        for window in world.windows:
            lit |= _through(window, self.probes.position, towards)
        result = np.zeros((len(cosine), 3))
        for ids in _chunks(np.flatnonzero(lit & (cosine > 0)), samples):
            rays = np.broadcast_to(20 * disc, (len(ids), samples, 3))
            share = self.scene.free(self._origins(ids, samples), rays).mean(axis=1)
            result[ids] = (share * cosine[ids])[:, None] * SUN_IRRADIANCE
        return result

    def _area(self, light: AreaLight, samples: int) -> tuple[Array, Array]:
        """Irradiance at each probe from one rectangle of radiance 1, with and without what stands in the way."""
        corner, u, v = (np.asarray(a, np.float32) for a in (light.corner, light.edge_u, light.edge_v))
        normal = np.cross(u, v)
        area = np.linalg.norm(normal)
        normal /= area
        position, facing = self.probes.position, self.probes.normal
        ahead = [np.einsum("pc,pc->p", corner + a * u + b * v - position, facing) > 0 for a in (0, 1) for b in (0, 1)]
        useful = np.flatnonzero(np.any(ahead, axis=0) & ((position - corner) @ normal > 0))
        form, open_form = np.zeros(len(position)), np.zeros(len(position))
        for ids in _chunks(useful, samples):
            at = _stratified(self.rng, len(ids), samples)
            rays = corner + at[..., :1] * u + at[..., 1:] * v - position[ids][:, None]  # (probe, sample, 3)
            square = np.maximum((rays**2).sum(-1), SMALLEST_DISTANCE**2)
            cosines = np.clip(np.einsum("psc,pc->ps", rays, facing[ids]), 0, None) * np.clip(-rays @ normal, 0, None)
            share = np.minimum(area * cosines / square**2, np.pi)
            open_form[ids] = share.mean(axis=1)
            form[ids] = (share * self.scene.free(self._origins(ids, samples), rays)).mean(axis=1)
        return form, open_form

    def _surroundings(self, samples: int) -> tuple[Any, Array]:
        """The sparse matrix (probe, probe) from irradiance to that by one reflection; which probes lie in the open."""
        count = len(self.probes.position)
        hits = np.full((count, samples), -1, np.int32)
        back = np.zeros(count)
        for ids in _chunks(np.arange(count), samples):
            rays = _cosine_directions(self.probes.normal[ids], _stratified(self.rng, len(ids), samples))
            hits[ids] = self.scene.first(self._origins(ids, samples), rays)
            behind = np.einsum("psc,psc->ps", rays, self.facing[hits[ids]]) > 0
            back[ids] = (behind & (hits[ids] >= 0)).mean(axis=1)
        probe, ray = np.nonzero(hits >= 0)
        found = hits[probe, ray]
        met = np.zeros(len(self.blockers), bool)
        met[found] = True
        shown, column = np.flatnonzero(met), (np.cumsum(met) - 1)[found]
        triangles = self.blockers[shown]
        seen = csr_matrix((np.full(len(probe), 1 / samples), (probe, column)), shape=(count, len(shown)))
        corners = (np.repeat(np.arange(len(shown)), 3), triangles.ravel())
        mean = csr_matrix((np.full(3 * len(shown), 1 / 3), corners), shape=(len(shown), len(self.albedo)))
        return _Reflection(seen, mean @ self.probes.to_vertices, self.albedo[triangles[:, 0]]), back < BURIED

    def _origins(self, ids: Array, samples: int) -> Array:
        return np.broadcast_to(self.probes.position[ids][:, None], (len(ids), samples, 3))


@dataclass(frozen=True, eq=False)
class _Reflection:
    """One diffuse reflection: what each probe sees of the triangles that reflect the light at the probes."""

    seen: Any  # sparse (probe, triangle)
    lit: Any  # sparse (triangle, probe)
    albedo: Array  # (triangle, 3)

    def __matmul__(self, irradiance: Array) -> Array:
        return self.seen @ (self.albedo * (self.lit @ irradiance))


def _through(window: AreaLight, points: Array, towards: Array) -> Array:
    """Which points (point, 3) have a window, or its near surroundings, in a direction; (point,) of bool."""
    corner, u, v = (np.asarray(a, float) for a in (window.corner, window.edge_u, window.edge_v))
    normal = np.cross(u, v)
    slope = float(towards @ normal)
    if slope >= 0:
        return np.zeros(len(points), bool)
    distance = (corner - points) @ normal / slope
    offset = points + distance[:, None] * towards - corner
    inside = distance > 0
    for edge in (u, v):
        length = float(np.linalg.norm(edge))
        along = offset @ edge / length
        inside &= (along > -WINDOW_MARGIN) & (along < length + WINDOW_MARGIN)
    return inside


def _stratified(rng: np.random.Generator, count: int, samples: int) -> Array:
    """An even pattern of points in the unit square, shifted at random for each of `count`; (count, samples, 2)."""
    k = np.arange(samples)
    base = np.stack([(k + 0.5) / samples, (k * 0.6180339887) % 1], axis=1).astype(np.float32)
    shifted = base + rng.random((count, 1, 2), np.float32)
    return np.where(shifted < 1, shifted, shifted - 1)


def _cosine_directions(normals: Array, at: Array) -> Array:
    """Directions about normals (probe, 3), as dense as the cosine, by points of the unit square; (probe, sample, 3)."""
    helper = np.where(np.abs(normals[:, 2:]) < 0.9, _UP, _ALONG)
    tangent = np.cross(helper, normals)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    axes = np.stack([tangent, np.cross(normals, tangent), normals], axis=1)
    radius, turn = np.sqrt(at[..., 0]), np.float32(2 * np.pi) * at[..., 1]
    local = np.stack([radius * np.cos(turn), radius * np.sin(turn), np.sqrt(1 - at[..., 0])], axis=-1)
    return local @ axes


def _chunks(ids: Array, samples: int) -> Iterator[Array]:
    """The ids in groups of at most `CHUNK` rays."""
    step = max(1, CHUNK // samples)
    return (ids[start : start + step] for start in range(0, len(ids), step))
