"""Parametric surfaces: every solid is a list of `Patch`, a regular grid of points with normals and texture coordinates.

Grids (rather than loose triangles) keep the light bake simple: it stores one value per grid point and can smooth along
rows and columns. Lengths are metres, z is up, and texture coordinates count metres times `Material.scale`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

Array = np.ndarray

SHARP = 0.005
"""Edges of boxes rounded by less than this many metres are built sharp: nobody sees the difference at two metres."""


def linear_rgb(hex_colour: str) -> tuple[float, float, float]:
    """Linear-light RGB in 0..1 of an sRGB colour such as `#c08040`."""
    srgb = [int(hex_colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in srgb)
    return red, green, blue


@dataclass(frozen=True)
class Material:
    """How a patch looks: its colour times a texture, plus gloss (0..1) and emitted light."""

    colour: str = "#ffffff"
    texture: str = "plain"
    scale: float = 1.0
    gloss: float = 0.0
    emission: float = 0.0


@dataclass(frozen=True)
class Patch:
    """A grid of surface points: `points` and `normals` are (rows, columns, 3), `uv` is (rows, columns, 2)."""

    points: Array
    normals: Array
    uv: Array
    material: Material


Solid = list[Patch]


def rotation(axis: str, degrees: float) -> Array:
    """3x3 rotation matrix about a coordinate axis, counter-clockwise seen from its positive end."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def placed(solid: Solid, offset: Sequence[float] | Array = (0, 0, 0), turn: Array | float = 0.0) -> Solid:
    """The solid turned (by a matrix, or by a yaw in degrees) about the origin and then moved by `offset`."""
    matrix = turn if isinstance(turn, np.ndarray) else rotation("z", turn)
    move = np.asarray(offset, float)
    return [replace(p, points=p.points @ matrix.T + move, normals=p.normals @ matrix.T) for p in solid]


def bounds(solid: Solid) -> tuple[Array, Array]:
    """Lowest and highest coordinates of a solid, each (3,)."""
    points = np.concatenate([p.points.reshape(-1, 3) for p in solid])
    return points.min(0), points.max(0)


def sheet(
    corner: Sequence[float], edge_u: Sequence[float], edge_v: Sequence[float], material: Material, step=0.05
) -> Patch:
    """A flat parallelogram whose normal is `edge_u` x `edge_v`; texture coordinates are metres from `corner`."""
    u, v = np.asarray(edge_u, float), np.asarray(edge_v, float)
    length_u, length_v = np.linalg.norm(u), np.linalg.norm(v)
    a = np.linspace(0, 1, max(2, int(np.ceil(length_u / step)) + 1))[:, None, None]
    b = np.linspace(0, 1, max(2, int(np.ceil(length_v / step)) + 1))[None, :, None]
    points = np.asarray(corner, float) + a * u + b * v
    normal = np.cross(u, v) / np.linalg.norm(np.cross(u, v))
    uv = np.concatenate(np.broadcast_arrays(a * length_u, b * length_v), axis=-1) * material.scale
    return Patch(points, np.broadcast_to(normal, points.shape), uv, material)


def picture(corner: Sequence[float], edge_u: Sequence[float], edge_v: Sequence[float], material: Material) -> Patch:
    """A flat parallelogram that shows the whole texture once, upright where `edge_v` points up."""
    flat = sheet(corner, edge_u, edge_v, material, step=0.08)
    rows, columns = flat.points.shape[:2]
    uv = np.stack(np.meshgrid(np.linspace(0, 1, rows), np.linspace(1, 0, columns), indexing="ij"), -1)
    return replace(flat, uv=uv)


def surface(points: Array, material: Material, uv: Array | None = None) -> Patch:
    """A curved sheet through a grid of points, with normals and texture coordinates (arc length) from the grid."""
    du, dv = np.gradient(points, axis=0), np.gradient(points, axis=1)
    normals = np.cross(du, dv)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    if uv is None:
        length_u = np.cumsum(np.linalg.norm(du, axis=-1), axis=0)
        length_v = np.cumsum(np.linalg.norm(dv, axis=-1), axis=1)
        uv = np.stack([length_u, length_v], -1) * material.scale
    return Patch(points, normals, uv, material)


def _box_lines(half: float, radius: float, step: float) -> Array:
    """Grid lines along one axis of a box face: even in the middle, at even angles over the rounded edge."""
    inner = half - radius
    middle = np.linspace(-inner, inner, max(2, int(np.ceil(2 * inner / step)) + 1))
    if radius < SHARP:
        return middle
    count = 1 if radius < 0.012 else 2 if radius < 0.025 else 4
    fillet = inner + radius * np.tan(np.linspace(0, np.pi / 4, count + 1))[1:]
    return np.concatenate([-fillet[::-1], middle, fillet])


def box(
    centre: Sequence[float], size: Sequence[float], material: Material, radius: float = 0.004, step: float = 0.05
) -> Solid:
    """A box with rounded edges as six patches; texture u runs along the longer side of each face."""
    half = np.asarray(size, float) / 2
    radius = float(min(radius, 0.98 * half.min()))
    radius = radius if radius >= SHARP else 0.0
    inner = half - radius
    lines = [_box_lines(h, radius, step) for h in half]
    solid = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            a, b = ((axis + 1) % 3, (axis + 2) % 3) if sign > 0 else ((axis + 2) % 3, (axis + 1) % 3)
            p = np.zeros((len(lines[a]), len(lines[b]), 3))
            p[..., a], p[..., b], p[..., axis] = lines[a][:, None], lines[b][None, :], sign * half[axis]
            core = np.clip(p, -inner, inner)
            outward = p - core
            outward[..., axis] += sign * 1e-9
            normals = outward / np.linalg.norm(outward, axis=-1, keepdims=True)
            long_axis, short_axis = (a, b) if half[a] >= half[b] else (b, a)
            points = core + radius * normals
            uv = (points[..., [long_axis, short_axis]] + half[[long_axis, short_axis]] + centre[axis]) * material.scale
            solid.append(Patch(points + np.asarray(centre, float), normals, uv, material))
    return solid


def lathe(
    profile: Sequence[tuple[float, float]],
    material: Material,
    around: int = 20,
    smooth: bool = False,
    step: float = 0.05,
) -> Solid:
    """A surface of revolution about z of `(radius, height)` points, listed so that outside is on their right."""
    pieces = [profile] if smooth else [profile[i : i + 2] for i in range(len(profile) - 1)]
    theta = np.linspace(0, 2 * np.pi, around + 1)[:, None]
    solid = []
    for piece in pieces:
        outline = np.asarray(piece, float)
        if not smooth:
            count = max(2, int(np.ceil(np.linalg.norm(outline[1] - outline[0]) / step)) + 1)
            outline = outline[0] + np.linspace(0, 1, count)[:, None] * (outline[1] - outline[0])
        slope = np.gradient(outline, axis=0)
        slope /= np.linalg.norm(slope, axis=1, keepdims=True)
        r, z = outline[None, :, 0], outline[None, :, 1]
        points = np.stack(np.broadcast_arrays(r * np.cos(theta), r * np.sin(theta), z), -1)
        out_r, out_z = slope[None, :, 1], -slope[None, :, 0]
        normals = np.stack(np.broadcast_arrays(out_r * np.cos(theta), out_r * np.sin(theta), out_z), -1)
        length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(outline, axis=0), axis=1))])
        uv = np.stack(np.broadcast_arrays(length[None, :], theta * outline[:, 0].max()), -1) * material.scale
        solid.append(Patch(points, normals, uv, material))
    return solid


def rod(
    start: Sequence[float], end: Sequence[float], radius: float, material: Material, tip: float | None = None
) -> Solid:
    """A round bar from `start` to `end`, tapering from `radius` to `tip` when that is given."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(b - a))
    top = radius if tip is None else tip
    solid = lathe([(0, 0), (radius, 0), (top, length), (0, length)], material, around=12)
    z = (b - a) / length
    x = np.cross([0, 1, 0] if abs(z[1]) < 0.9 else [1, 0, 0], z)
    x /= np.linalg.norm(x)
    return placed(solid, a, np.stack([x, np.cross(z, x), z], axis=1))


def pillow(width: float, height: float, thickness: float, material: Material) -> Solid:
    """A scatter cushion standing in the xz plane with its bottom edge at z = 0."""
    t = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 15))
    u, v = np.meshgrid(t, t, indexing="ij")
    puff = thickness / 2 * np.sqrt(np.clip((1 - u**2) * (1 - v**2), 0, 1)) ** 0.8
    pinch_u, pinch_v = 1 - 0.10 * (1 - v**2), 1 - 0.10 * (1 - u**2)
    x, z = width / 2 * u * pinch_u, height / 2 * (1 + v * pinch_v)
    front = surface(np.stack([x, -puff, z], -1), material)
    back = surface(np.stack([-x, puff, z], -1), material)
    return [front, back]
