"""Draws a lit home by casting a ray through every pixel: for machines without OpenGL, and to check it against."""

from __future__ import annotations

import numpy as np

from vlm3r.scenes.schema import Intrinsics

from .pixels import averaged, close_cracks
from .rays import RayScene
from .shading import developed, linear, radiance
from .shapes import Array
from .stage import Stage


class RaycastRenderer:
    """Renders a stage; see `render.Renderer`."""

    backend = "raycast"

    def __init__(self, stage: Stage, camera: Intrinsics, supersample: int = 1) -> None:
        """Builds the ray scene; raises UserError without embreex."""
        self.stage, self.camera, self.factor = stage, camera, supersample
        mesh = stage.mesh
        self.scene = RayScene(mesh.position, mesh.triangles)
        self.attributes = np.concatenate([mesh.normal, mesh.uv, mesh.colour, stage.light], axis=1)
        self.style = mesh.style[mesh.triangles[:, 2]]
        self.levels = _mipmaps(stage.textures)
        self.density = _texel_density(stage)

    def frame(self, pose: Array) -> Array:
        """The picture, uint8 (height, width, RGB)."""
        hit, corner_weights, depth = self._cast(pose, self.factor)
        return self._picture(pose, hit, corner_weights, depth)

    def depth_and_instances(self, pose: Array) -> tuple[Array, Array]:
        """Depth in metres, float32, and instances, int32, each (height, width); 0 where there is nothing."""
        hit, _, depth = self._cast(pose, 1)
        return self._depth_and_instances(hit, depth)

    def capture(self, pose: Array) -> tuple[Array, Array, Array]:
        """Picture, depth and instances, from the same rays unless supersampled."""
        hit, weights, depth = self._cast(pose, self.factor)
        picture = self._picture(pose, hit, weights, depth)
        if self.factor > 1:
            hit, _, depth = self._cast(pose, 1)
        return (picture, *self._depth_and_instances(hit, depth))

    def close(self) -> None:
        """Nothing to give back: memory goes with the object."""

    def _cast(self, pose: Array, factor: int) -> tuple[Array, Array, Array]:
        """Per sample: the triangle hit or -1, the weights of its corners (sample, 3), and the depth in metres."""
        c = self.camera
        x = ((np.arange(c.width * factor) + 0.5) / factor - c.cx) / c.fx
        y = ((np.arange(c.height * factor) + 0.5) / factor - c.cy) / c.fy
        local = np.stack([*np.meshgrid(x, y), np.ones((len(y), len(x)))], axis=-1).reshape(-1, 3)
        rays = local @ np.asarray(pose, float)[:3, :3].T  # length 1 along the optical axis, so distance is depth
        eye = np.broadcast_to(np.asarray(pose, float)[:3, 3], rays.shape)
        return self.scene.nearest(eye, rays)

    def _depth_and_instances(self, hit: Array, depth: Array) -> tuple[Array, Array]:
        shape = (self.camera.height, self.camera.width)
        instances = np.where(hit >= 0, self.style[hit, 3], 0).astype(np.int32)
        metres, instances = np.where(hit >= 0, depth, 0).astype(np.float32).reshape(shape), instances.reshape(shape)
        close_cracks((hit >= 0).reshape(shape), metres, instances)
        return metres, instances

    def _picture(self, pose: Array, hit: Array, weights: Array, depth: Array) -> Array:
        """Shade every sample from the vertex values at the corners of its triangle."""
        c, mesh = self.camera, self.stage.mesh
        pixels, covered = np.zeros((len(hit), 3)), hit >= 0
        seen = np.flatnonzero(covered)
        hit, weights, depth = hit[seen], weights[seen, :, None], depth[seen]
        corners = mesh.triangles[hit]
        at = (self.attributes[corners] * weights).sum(axis=1)
        point = (mesh.position[corners] * weights).sum(axis=1)
        style, normal, eye = self.style[hit], at[:, :3], np.asarray(pose, float)[:3, 3]
        away = np.linalg.norm(point - eye, axis=1)
        slant = np.abs(((point - eye) * normal).sum(axis=1)) / np.maximum(away * np.linalg.norm(normal, axis=1), 1e-9)
        footprint = self.density[hit] * depth / (c.fx * self.factor) / np.sqrt(np.maximum(slant, 0.05))
        albedo = at[:, 5:8] * linear_texels(self.levels, style[:, 0].astype(int), at[:, 3:5], footprint)
        exposed = radiance(albedo, point, normal, at[:, 8:], style[:, 1], style[:, 2], eye, self.stage.panes)
        pixels[seen] = developed(exposed)
        height, width = c.height * self.factor, c.width * self.factor
        samples = (pixels * 255 + 0.5).astype(np.uint8).reshape(height, width, 3)
        close_cracks(covered.reshape(height, width), samples)
        return averaged(samples, self.factor)


def linear_texels(levels: list[Array], layer: Array, uv: Array, footprint: Array) -> Array:
    """Linear colours (pixel, 3) of textures that repeat, bilinear in the level whose texels fit a pixel.

    Args:
        levels: (layer, row, column, RGB) uint8, each half as wide as the one before.
        layer: (pixel,).
        uv: (pixel, 2); u runs along a row, v down the rows.
        footprint: (pixel,) texels of level 0 that a pixel spans.
    """
    level = np.clip(np.rint(np.log2(np.maximum(footprint, 1e-9))), 0, len(levels) - 1).astype(int)
    result = np.empty((len(uv), 3), np.float32)
    for number in np.unique(level).tolist():
        chosen = np.flatnonzero(level == number)
        texels, size = levels[number], levels[number].shape[1]
        place = uv[chosen] * size - 0.5
        low = np.floor(place)
        share, low = (place - low).astype(np.float32), low.astype(int)
        column, row = ((low[:, a] % size, (low[:, a] + 1) % size) for a in (0, 1))
        which = layer[chosen]
        near, far = (
            texels[which, r, column[0]] * (1 - share[:, :1]) + texels[which, r, column[1]] * share[:, :1] for r in row
        )
        result[chosen] = linear(near * (1 - share[:, 1:]) + far * share[:, 1:])
    return result


def _mipmaps(textures: Array) -> list[Array]:
    levels = [textures]
    while (size := levels[-1].shape[1]) > 1 and size % 2 == 0:
        shape = (len(textures), size // 2, 2, size // 2, 2, 3)
        levels.append((levels[-1].reshape(shape).mean(axis=(2, 4), dtype=np.float32) + 0.5).astype(np.uint8))
    return levels


def _texel_density(stage: Stage) -> Array:
    """Texels of a level-0 texture per metre on each triangle, (triangle,)."""
    mesh = stage.mesh
    corner, uv = mesh.position[mesh.triangles], mesh.uv[mesh.triangles]
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
    a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    covered = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    return stage.textures.shape[1] * np.sqrt(covered / np.maximum(area, 1e-12))
