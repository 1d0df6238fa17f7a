"""The room as flat vertex arrays: what the light bake reads and the renderer uploads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import Array, Patch, linear_rgb
from .room import Room
from .textures import LAYERS


@dataclass
class Mesh:
    """All patches of a room, concatenated. Identity 0 is the shell, 1 + i is object i of the room."""

    patches: list[Patch]
    position: Array  # (vertex, 3)
    sample: Array  # (vertex, 3), the position moved slightly into its patch and off the surface
    normal: Array  # (vertex, 3)
    uv: Array  # (vertex, 2)
    colour: Array  # (vertex, 3), linear
    style: Array  # (vertex, 4): texture layer, gloss, emission, identity
    triangles: Array  # (triangle, 3) vertex numbers
    runs: Array  # (run, 3): identity, first triangle, triangle count of neighbouring patches with one owner
    opaque: int  # triangles before this number block light; the rest is the view behind the windows

    def starts(self) -> list[int]:
        """First vertex number of each patch, and the total at the end."""
        return np.cumsum([0] + [p.points.shape[0] * p.points.shape[1] for p in self.patches]).tolist()


def room_mesh(room: Room) -> Mesh:
    """The mesh of a room; the view behind the windows comes last."""
    owned = [(patch, 0) for patch in room.shell]
    owned += [(patch, 1 + i) for i, thing in enumerate(room.objects) for patch in thing.solid]
    solid_count = len(owned)
    owned += [(patch, 0) for patch in room.view]
    patches = [patch for patch, _ in owned]
    position, sample, normal, uv, colour, style, triangles = [], [], [], [], [], [], []
    start, opaque = 0, 0
    for number, (patch, identity) in enumerate(owned):
        m, count = patch.material, patch.points.shape[0] * patch.points.shape[1]
        position.append(patch.points.reshape(-1, 3))
        sample.append((_inset(patch.points) + 0.003 * patch.normals).reshape(-1, 3))
        normal.append(patch.normals.reshape(-1, 3))
        uv.append(patch.uv.reshape(-1, 2))
        colour.append(np.tile(linear_rgb(m.colour), (count, 1)))
        style.append(np.tile([LAYERS[m.texture], m.gloss, m.emission, identity], (count, 1)))
        triangles.append(start + _grid_triangles(*patch.points.shape[:2]))
        start += count
        opaque += len(triangles[-1]) if number < solid_count else 0
    runs = _runs([identity for _, identity in owned], [len(t) for t in triangles])
    arrays = [np.concatenate(a) for a in (position, sample, normal, uv, colour, style)]
    joined = np.concatenate(triangles).astype(np.int32)
    return Mesh(patches, *(a.astype(np.float32) for a in arrays), joined, runs, opaque)


def _runs(identities: list[int], triangle_counts: list[int]) -> Array:
    """Neighbouring patches of one object as (identity, first triangle, triangle count); shell patches stay apart."""
    counts = np.asarray(triangle_counts)
    owners = np.array([identity or -1 - number for number, identity in enumerate(identities)])
    heads = np.flatnonzero(np.diff(owners, prepend=owners[0] - 1))
    first = (np.cumsum(counts) - counts)[heads]
    return np.stack([np.maximum(owners[heads], 0), first, np.add.reduceat(counts, heads)], axis=1)


def _inset(points: Array, share: float = 0.15) -> Array:
    """Grid points with the border rows and columns moved by `share` of a cell towards the inside."""
    moved = points.copy()
    for axis in (0, 1):
        p = np.moveaxis(moved, axis, 0)
        p[0] += share * (p[1] - p[0])
        p[-1] += share * (p[-2] - p[-1])
    return moved


def _grid_triangles(rows: int, columns: int) -> Array:
    """Two triangles for every cell of a grid whose points are numbered row by row."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)[None, :]).ravel()
    first = np.stack([corner, corner + columns, corner + columns + 1], 1)
    second = np.stack([corner, corner + columns + 1, corner + 1], 1)
    return np.concatenate([first, second])
