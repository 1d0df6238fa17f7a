"""A furnished home as flat vertex arrays: what the light bake reads and both renderers draw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from .shapes import Array, Patch, linear_rgb
from .world import World

STRAIGHT = 1e-5
"""How far a row may be from the line between its neighbours (metres, normals, texture units) and still be left out."""
SLIGHT_TURN = 0.06
"""The same for the normals of a line that is left out within a tolerance: about 20 degrees between its neighbours."""

OVERLAP = 2e-4
"""Metres by which walls, floors and ceilings reach past their borders: no crack between them shows the outside."""
BROAD = 0.05
"""Metres along both sides from which a patch of the shell counts as one of these; the edges of strips would show."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """All patches of a home, thinned and concatenated. Identity 0 is the shell, 1 + i is object i of the world."""

    position: Array  # (vertex, 3)
    normal: Array  # (vertex, 3)
    uv: Array  # (vertex, 2)
    colour: Array  # (vertex, 3), linear
    style: Array  # (vertex, 4): texture layer, gloss, emission, identity
    triangles: Array  # (triangle, 3) vertex numbers
    runs: Array  # (run, 3): identity, first triangle, triangle count of neighbouring patches with one owner
    opaque: int  # triangles before this number block light; the rest is the view behind the windows
    shapes: Array  # (patch, 2): rows and columns of each patch, in the order of the vertices
    textures: tuple[str, ...]  # names of the texture layers in use


def world_mesh(world: World, spacing: float, tolerance: float = 0.0) -> Mesh:
    """The mesh of a world; flat stretches keep about one grid line every `spacing` metres; the view comes last."""
    owned = [(patch, 0) for patch in world.shell]
    owned += [(patch, 1 + i) for i, thing in enumerate(world.objects) for patch in thing.solid]
    solid_count = len(owned)
    patches = thinned([patch for patch, _ in owned], spacing, tolerance) + thinned(world.view, np.inf)
    owned += [(patch, 0) for patch in world.view]
    identity = np.array([owner for _, owner in owned])
    shapes = np.array([p.points.shape[:2] for p in patches])
    counts = shapes.prod(axis=1)
    names = tuple(sorted({p.material.texture for p in patches}))
    layer = {name: number for number, name in enumerate(names)}
    looks = [(layer[p.material.texture], p.material.gloss, p.material.emission) for p in patches]
    style = np.column_stack([np.array(looks, np.float32), identity]).astype(np.float32)
    tint = np.array([linear_rgb(p.material.colour) for p in patches], np.float32)
    starts = np.cumsum(counts) - counts
    triangles = [start + grid_triangles(*shape) for start, shape in zip(starts.tolist(), shapes.tolist(), strict=True)]
    triangle_counts = 2 * (shapes - 1).prod(axis=1)
    return Mesh(
        position=_joined(_widened([p.points for p in patches], len(world.shell))),
        normal=_joined([p.normals for p in patches]),
        uv=_joined([p.uv for p in patches]),
        colour=np.repeat(tint, counts, axis=0),
        style=np.repeat(style, counts, axis=0),
        triangles=np.concatenate(triangles).astype(np.int32),
        runs=_runs(identity, triangle_counts),
        opaque=int(triangle_counts[:solid_count].sum()),
        shapes=shapes,
        textures=names,
    )


def _widened(grids: Sequence[Array], shell: int) -> list[Array]:
    """The grids of points; the broad ones of the first `shell` with borders moved outwards, in the surface."""
    result = list(grids)
    for number, grid in enumerate(grids[:shell]):
        sides = np.linalg.norm(grid[-1, 0] - grid[0, 0]), np.linalg.norm(grid[0, -1] - grid[0, 0])
        if min(sides) < BROAD:
            continue
        points = np.array(grid)
        for lines in (points, points.swapaxes(0, 1)):
            for border, inner in ((0, 1), (-1, -2)):
                outward = lines[border] - lines[inner]
                length = np.linalg.norm(outward, axis=-1, keepdims=True)
                lines[border] += OVERLAP * outward / np.maximum(length, 1e-9)
        result[number] = points
    return result


def _joined(grids: Sequence[Array]) -> Array:
    return np.concatenate([grid.reshape(-1, grid.shape[-1]) for grid in grids]).astype(np.float32)


def thinned(patches: Sequence[Patch], spacing: float, tolerance: float = 0.0) -> list[Patch]:
    """The same surfaces without the grid lines that lie on a straight stretch less than `spacing` metres long.

    Border lines and every line that shapes the surface by more than `tolerance` metres stay.
    """
    result = list(patches)
    for members in grouped([p.points.shape[:2] for p in patches]):
        stacked = [np.concatenate([patches[i].points, patches[i].normals, patches[i].uv], axis=-1) for i in members]
        values = np.stack(stacked)  # (patch, row, column, 8)
        rows = _kept_lines(values, spacing, tolerance)
        columns = _kept_lines(values.swapaxes(1, 2), spacing, tolerance)
        for i, row, column in zip(members, rows, columns, strict=True):
            if not (row.all() and column.all()):
                p, pick = patches[i], np.ix_(row, column)
                result[i] = replace(p, points=p.points[pick], normals=p.normals[pick], uv=p.uv[pick])
    return result


def grouped(shapes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Numbers of the entries of equal shape, so that they can be computed together."""
    members: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, shape in enumerate(shapes):
        members[tuple(shape)].append(number)
    return list(members.values())


def line_positions(points: Array) -> Array:
    """Mean arc length up to each grid line of grids (patch, line, column, 3), (patch, line) in metres."""
    steps = np.linalg.norm(np.diff(points, axis=1), axis=-1).mean(axis=2)
    return np.pad(np.cumsum(steps, axis=1), [(0, 0), (1, 0)])


def _kept_lines(values: Array, spacing: float, tolerance: float) -> Array:
    """Which lines of grids (patch, line, column, 8) to keep, (patch, line) of bool."""
    patches, lines = values.shape[:2]
    keep = np.ones((patches, lines), bool)
    if lines == 2:
        return keep
    along = line_positions(values[..., :3])
    share = (along[:, 1:-1] - along[:, :-2]) / np.maximum(along[:, 2:] - along[:, :-2], 1e-12)
    between = values[:, :-2] + share[..., None, None] * (values[:, 2:] - values[:, :-2])
    away = np.abs(values[:, 1:-1] - between)
    cell = np.floor(along / spacing + 1e-9)
    exact = away.max(axis=(2, 3)) < STRAIGHT
    straight = exact & (cell[:, 1:-1] == cell[:, :-2])
    flat = (away[..., :3].max(axis=(2, 3)) < tolerance) & (away[..., 3:6].max(axis=(2, 3)) < SLIGHT_TURN) & ~exact
    flat &= np.arange(1, lines - 1) % 2 == 1  # never two neighbours, so that errors do not add up
    keep[:, 1:-1] = ~(straight | (flat & (along[:, 2:] - along[:, :-2] < spacing)))
    return keep


def _runs(identities: Array, triangle_counts: Array) -> Array:
    """Neighbouring patches of one object as (identity, first triangle, triangle count); shell patches stay apart."""
    owners = np.where(identities > 0, identities, -1 - np.arange(len(identities)))
    heads = np.flatnonzero(np.diff(owners, prepend=owners[0] - 1))
    first = (np.cumsum(triangle_counts) - triangle_counts)[heads]
    return np.stack([np.maximum(owners[heads], 0), first, np.add.reduceat(triangle_counts, heads)], axis=1)


@lru_cache(maxsize=4096)
def grid_triangles(rows: int, columns: int) -> Array:
    """Two triangles for every cell of a grid whose points are numbered row by row, (triangle, 3)."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)[None, :]).ravel()
    first = np.stack([corner, corner + columns, corner + columns + 1], 1)
    second = np.stack([corner, corner + columns + 1, corner + 1], 1)
    triangles = np.concatenate([first, second])
    triangles.flags.writeable = False
    return triangles
