"""The empty home: floors, ceilings, walls with their holes, skirting, doorways, and the view behind the windows.

Each wall is built in its own frame: x runs along it from its left end (seen from inside), and the room is at -y.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import shapely

from .catalogue.finishes import WHITE
from .layouts import WALL_THICKNESS
from .openings import REVEAL
from .plan import TOUCHING, FloorPlan, Opening, Wall
from .shapes import Material, Patch, Solid, box, picture, placed, sheet
from .texture_pictures import VIEWS
from .world import RoomShape, World

PAINTS = ("#efe8db", "#f1efea", "#e6e4dc", "#dfe3e0", "#e9dccb", "#d5dcd8", "#e8d9cf", "#cfd8dd", "#ece5c9")
PAPERS = ("wallpaper_stripes", "wallpaper_damask", "wallpaper_trellis")
CEILING = Material("#f6f4ef", "plaster", 0.8)
PAPERED = 0.2
"""Share of rooms with wallpaper."""
VIEW_EMISSION = 1.25
WOODEN_FLOORS = tuple(
    Material(colour, texture, 1 / 2.4, 0.5)
    for colour in ("#c99a6b", "#a9743f", "#d8b58a", "#8b5e3c")
    for texture in ("planks", "planks_wide", "planks_mixed", "parquet", "herringbone")
)
TILED_FLOORS = tuple(
    Material(colour, texture, scale, 0.4)
    for colour in ("#d9d4ca", "#b9b4aa", "#e6e2da", "#a8aeb0")
    for texture, scale in (("tiles_square", 1 / 1.6), ("tiles_large", 1 / 1.2), ("tiles_hexagon", 1 / 1.2))
)
CARPETS = tuple(
    Material(colour, texture, 1 / 1.2)
    for colour in ("#b8ab98", "#8f959c", "#a58f7d", "#7f8b7c")
    for texture in ("carpet", "carpet_loop")
)
FLOORS = {"kitchen": TILED_FLOORS, "bathroom": TILED_FLOORS, "bedroom": WOODEN_FLOORS + CARPETS,
          "office": WOODEN_FLOORS + CARPETS, "hall": WOODEN_FLOORS + TILED_FLOORS}  # fmt: skip
SPLASH = Material("#e8e6df", "tiles", 1 / 0.9, 0.35)
"""The walls of a bathroom."""
SKIRTING_HEIGHT = 0.09
FLOOR_STEP, WALL_STEP = 0.06, 0.08
"""Metres between grid lines: floors show the edges of sunlight."""
CASING = 0.06
"""Width of the frame around a doorway."""
VIEW_DISTANCE = 4.0
"""Metres from the home to the pictures of the world outside."""
VIEW_HEIGHTS = (-4.5, 7.5)
"""Lower and upper edge of these pictures."""


def build_shell(world: World, plan: FloorPlan, rng: np.random.Generator) -> None:
    """Add everything that is no object to the world: its surfaces and the view from its windows."""
    wooden = _pick(WOODEN_FLOORS, rng)
    outlines = [shapely.Polygon(room.polygon) for room in plan.rooms]
    paints: list[Material] = []
    for number, room in enumerate(plan.rooms):
        floor = wooden if room.use in ("living", "dining") else _pick(FLOORS.get(room.use, WOODEN_FLOORS), rng)
        paint = _paint(room.use, rng)
        open_to = [k for k in range(number) if outlines[k].distance(outlines[number]) < TOUCHING]
        paints.append(paints[open_to[0]] if open_to else paint)
        world.shell += _slabs(room, 0.0, floor, FLOOR_STEP, up=True)
        world.shell += _slabs(room, plan.height, CEILING, 0.12, up=False)
        for wall in plan.walls:
            if wall.room == number:
                material = SPLASH if room.use == "bathroom" else paints[number]
                world.shell += placed(_wall(wall, plan.height, material, floor), *wall.frame)
    world.view += _backdrop(plan, Material("#ffffff", str(rng.choice(VIEWS)), emission=VIEW_EMISSION))


def _paint(use: str, rng: np.random.Generator) -> Material:
    """Paint, or wallpaper where it is dry."""
    colour = str(rng.choice(PAINTS))
    if rng.random() < PAPERED and use not in ("bathroom", "kitchen"):
        return Material(colour, str(rng.choice(PAPERS)), 1 / 1.2)
    return Material(colour, "plaster", 0.8)


def _pick(materials: tuple[Material, ...], rng: np.random.Generator) -> Material:
    return materials[int(rng.integers(len(materials)))]


def _slabs(room: RoomShape, height: float, material: Material, step: float, up: bool) -> Solid:
    """The floor or ceiling of a room as trapezoids between the x coordinates of its corners."""
    outline = shapely.Polygon(room.polygon)
    cuts = sorted({x for x, _ in room.polygon})
    _, low_y, _, high_y = outline.bounds
    patches: Solid = []
    for left, right in pairwise(cuts):
        strip = outline.intersection(shapely.box(left, low_y - 1, right, high_y + 1))
        for part in shapely.get_parts(strip):
            if part.area > 1e-6:
                patches.append(_trapezoid(part, left, right, height, material, step, up))
    return patches


def _trapezoid(
    part: shapely.Polygon, left: float, right: float, height: float, material: Material, step: float, up: bool
) -> Patch:
    ring = np.array(part.exterior.coords)
    ends = []
    for x in (left, right):
        y = ring[np.abs(ring[:, 0] - x) < 1e-6, 1]
        ends.append((float(y.min()), float(y.max())))
    (low_left, high_left), (low_right, high_right) = ends
    tall = max(high_left - low_left, high_right - low_right)
    along = np.linspace(0, 1, 1 + max(1, int(np.ceil((right - left) / step))))[:, None]
    across = np.linspace(0, 1, 1 + max(1, int(np.ceil(tall / step))))[None, :]
    low, high = low_left + along * (low_right - low_left), high_left + along * (high_right - high_left)
    x, y = np.broadcast_arrays(left + along * (right - left), low + across * (high - low))
    points = np.stack([x, y, np.full(x.shape, height)], -1)
    normals = np.broadcast_to(np.array([0.0, 0.0, 1.0 if up else -1.0]), points.shape)
    if not up:
        points = points[:, ::-1]
    return Patch(points, normals, points[..., :2] * material.scale, material)


def _wall(wall: Wall, height: float, material: Material, floor: Material) -> Solid:
    """A wall's surface around its holes, what lines them, and the skirting board, in the wall's frame."""
    holes = wall.openings
    edges = sorted({0.0, wall.length, *(e for hole in holes for e in (hole.left, hole.right))})
    solid: Solid = []
    for left, right in pairwise(edges):
        if right - left < 1e-6:
            continue
        inside = sorted((h.low, h.high) for h in holes if h.left < (left + right) / 2 < h.right)
        at = 0.0
        for low, high in [*inside, (height, height)]:
            if low - at > 1e-6:
                flat = sheet((left, 0, at), (right - left, 0, 0), (0, 0, low - at), material, WALL_STEP)
                solid.append(replace(flat, uv=flat.points[..., [0, 2]] * material.scale))  # runs on beyond the holes
            at = max(at, high)
    for hole in holes:
        solid += _lining(hole, material, floor)
    boards = wall.solid_stretches(0.0, SKIRTING_HEIGHT)
    return solid + [patch for left, right in boards for patch in _skirting(left, right)]


def _lining(hole: Opening, material: Material, floor: Material) -> Solid:
    """The inside of a hole: as deep as a reveal, or to the middle of the wall, where the other room's begins."""
    if hole.kind == "open":
        return []
    depth = WALL_THICKNESS / 2 if hole.kind == "passage" else REVEAL
    width, height = hole.right - hole.left, hole.high - hole.low
    solid = [
        sheet((hole.left, 0, hole.low), (0, depth, 0), (0, 0, height), material, 0.06),
        sheet((hole.right, depth, hole.low), (0, -depth, 0), (0, 0, height), material, 0.06),
        sheet((hole.left, depth, hole.high), (width, 0, 0), (0, -depth, 0), material, 0.06),
    ]
    below = floor if hole.kind == "passage" else material
    solid.append(sheet((hole.left, 0, hole.low), (width, 0, 0), (0, depth, 0), below, 0.06))
    if hole.kind == "door":
        solid.append(sheet((hole.left, depth, hole.low), (width, 0, 0), (0, 0, height), material, 0.2))
    if hole.kind == "passage":
        solid += _casing(hole)
    return solid


def _casing(hole: Opening) -> Solid:
    """A flat frame on the wall around a doorway."""
    middle, top = (hole.left + hole.right) / 2, hole.high + CASING / 2
    solid = box((middle, -0.006, top), (hole.right - hole.left + 2 * CASING, 0.012, CASING), WHITE, 0.003, 0.2)
    for x in (hole.left - CASING / 2, hole.right + CASING / 2):
        solid += box((x, -0.006, hole.high / 2), (CASING, 0.012, hole.high), WHITE, 0.003, 0.2)
    return solid


def _skirting(left: float, right: float) -> Solid:
    """A skirting board along a stretch of wall."""
    middle = (left + right) / 2
    return box((middle, -0.007, SKIRTING_HEIGHT / 2), (right - left, 0.014, SKIRTING_HEIGHT), WHITE, 0.005, 0.12)


def _backdrop(plan: FloorPlan, material: Material) -> list[Patch]:
    """The world outside: four bright pictures around the home, which one sees through the windows only."""
    corners = np.array([corner for room in plan.rooms for corner in room.polygon])
    (west, south), (east, north) = corners.min(0) - VIEW_DISTANCE, corners.max(0) + VIEW_DISTANCE
    low, high = VIEW_HEIGHTS
    up = (0.0, 0.0, high - low)
    return [
        picture((west, north, low), (east - west, 0, 0), up, material),
        picture((east, north, low), (0, south - north, 0), up, material),
        picture((east, south, low), (west - east, 0, 0), up, material),
        picture((west, south, low), (0, north - south, 0), up, material),
    ]
