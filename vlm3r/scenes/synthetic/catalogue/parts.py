"""Building blocks that several pieces of furniture share, and `settled`, which every builder's result goes through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..shapes import Array, Material, Patch, Solid, bounds, box, lathe, placed, surface

Span = tuple[float, float]
Point = Sequence[float] | Array


def settled(solid: Solid) -> Solid:
    """The solid standing on z = 0 with its box centred on the z axis."""
    low, high = bounds(solid)
    return placed(solid, (-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -low[2]))


def block(x: Span, y: Span, z: Span, material: Material, radius: float = 0.0) -> Solid:
    """A box between two coordinates along each axis, with edges rounded by `radius`."""
    low, high = np.array([x, y, z], float).T
    return box(((low + high) / 2).tolist(), (high - low).tolist(), material, radius, step=0.12)


def corners(half_x: float, half_y: float) -> list[tuple[float, float]]:
    """The four corners (x, y) of a rectangle about the origin."""
    return [(sx * half_x, sy * half_y) for sx in (-1, 1) for sy in (-1, 1)]


def bar_grip(x: Span, y: float, z: float, material: Material) -> Solid:
    """A horizontal bar handle before a front at `y`, with its two stand-offs."""
    solid = block(x, (y - 0.036, y - 0.024), (z - 0.006, z + 0.006), material)
    for side in (x[0] + 0.012, x[1] - 0.012):
        solid += block((side - 0.005, side + 0.005), (y - 0.026, y), (z - 0.005, z + 0.005), material)
    return solid


def tube(path: Sequence[Point], radius: float | Sequence[float], material: Material, around: int = 6) -> Solid:
    """A round bar along a polyline, with closed ends; `radius` is one number or one per point of the path."""
    centre = np.asarray(path, float)  # (point, 3)
    radii = np.broadcast_to(np.asarray(radius, float), len(centre))
    forward = np.gradient(centre, axis=0)
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    helper = np.eye(3)[np.abs(forward).mean(0).argmin()]
    side = np.cross(helper, forward)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(forward, side)
    turn = np.linspace(0, 2 * np.pi, around + 1)[:, None, None]
    normals = np.cos(turn) * side + np.sin(turn) * up  # (around + 1, point, 3)
    points = centre + radii[:, None] * normals
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(centre, axis=0), axis=1))])
    uv = np.stack(np.broadcast_arrays(length, turn[..., 0] * radii.max()), -1) * material.scale
    solid = [Patch(points, normals, uv, material)]
    for end, sign in ((0, -1.0), (-1, 1.0)):
        rim = points[:, end][:: int(sign)]
        cap = np.stack([np.broadcast_to(centre[end], rim.shape), rim])
        facing = np.broadcast_to(sign * forward[end], cap.shape)
        solid.append(Patch(cap, facing, np.broadcast_to(uv[:1, end], (*cap.shape[:2], 2)), material))
    return solid


def ring(centre: Point, radius: float, thickness: float, material: Material, axis: str = "z") -> Solid:
    """A closed round hoop about a coordinate axis: `radius` to the middle of the bar, which is `thickness` thick."""
    turn = np.linspace(0, 2 * np.pi, 21)[:, None]
    around = np.linspace(0, 2 * np.pi, 6)[None, :]
    reach = radius + thickness / 2 * np.cos(around)
    points = np.stack(
        np.broadcast_arrays(reach * np.cos(turn), reach * np.sin(turn), thickness / 2 * np.sin(around)), -1
    )
    normals = np.stack(
        np.broadcast_arrays(np.cos(around) * np.cos(turn), np.cos(around) * np.sin(turn), np.sin(around) + 0 * turn), -1
    )
    uv = np.stack(np.broadcast_arrays(radius * turn, thickness * around), -1) * material.scale
    order = {"x": [2, 0, 1], "y": [1, 2, 0], "z": [0, 1, 2]}[axis]
    return [Patch(points[..., order] + np.asarray(centre, float), normals[..., order], uv, material)]


def ball(centre: Point, radii: float | Sequence[float], material: Material, around: int = 12) -> Solid:
    """A sphere or, with three radii, an ellipsoid."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, around // 2 + 1)
    (unit,) = lathe([(np.cos(a), np.sin(a)) for a in angle], material, around, smooth=True)
    r = np.broadcast_to(np.asarray(radii, float), 3)
    normals = unit.normals / r
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return [replace(unit, points=unit.points * r + np.asarray(centre, float), normals=normals)]


def round_top(outline: Sequence[tuple[float, float]], material: Material, around: int = 24) -> Solid:
    """A disc as `lathe` makes it from `(radius, height)` points, with the texture straight across its level faces."""
    solid = lathe(outline, material, around=around)
    flat = [bool((np.abs(p.normals[..., 2]) > 0.9).all()) for p in solid]
    return [replace(p, uv=p.points[..., :2] * material.scale) if f else p for p, f in zip(solid, flat, strict=True)]


def turned(profile: Sequence[tuple[float, float]], material: Material, at: Sequence[float] = (0, 0, 0)) -> Solid:
    """A smooth surface of revolution (vase, bowl, shade) through `(radius, height)` points, moved to `at`."""
    return placed(lathe(profile, material, around=16, smooth=True), at)


def draped(points: Array, material: Material, thickness: float) -> Solid:
    """A curved sheet with a thickness: the grid `points` (row, column, 3) faces the viewer; back and edges close it."""
    front = surface(points, material)
    p, q = front.points, front.points - thickness * front.normals
    edges = [np.stack(pair) for pair in ((q[0], p[0]), (p[-1], q[-1]))]
    edges += [np.stack(pair, axis=1) for pair in ((q[:, 0], p[:, 0]), (p[:, -1], q[:, -1]))]
    return [front, surface(q[::-1], material), *(surface(edge, material) for edge in edges)]
