"""The demo room: which object stands where, as named instances with oriented boxes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import furniture as f
from . import kitchen as k
from . import shell
from .geometry import Array, Patch, Solid, bounds, placed, rotation

WIDTH, DEPTH, HEIGHT = 6.8, 5.2, 2.6
GAP = 0.02  # between furniture and the wall behind it, so that it clears the skirting board


@dataclass(frozen=True)
class Instance:
    """One object: a category, its solid in world coordinates, and its box (centre, size along its own axes, yaw)."""

    category: str
    solid: Solid
    centre: Array
    size: Array
    yaw: float
    blocks_walking: bool


@dataclass(frozen=True)
class AreaLight:
    """A rectangle that emits evenly over its front: a corner, two edges (normal = u x v) and its radiance (RGB)."""

    corner: tuple[float, float, float]
    edge_u: tuple[float, float, float]
    edge_v: tuple[float, float, float]
    radiance: tuple[float, float, float]


@dataclass
class Room:
    """A furnished room: the fixed shell, the objects, the view behind the windows, and the lights."""

    shell: Solid = field(default_factory=list)
    view: list[Patch] = field(default_factory=list)
    objects: list[Instance] = field(default_factory=list)
    lights: list[AreaLight] = field(default_factory=list)
    sun_direction: Array = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))
    polygon: list[tuple[float, float]] = field(default_factory=list)

    def add(self, category: str, solid: Solid, at: tuple[float, ...], yaw: float = 0.0, blocks: bool = True) -> None:
        """Put an object built in its local frame at `at` (x, y and optionally z), turned by `yaw` degrees."""
        offset = np.array([*at, 0.0][:3], float)
        low, high = bounds(solid)
        centre = rotation("z", yaw) @ ((low + high) / 2) + offset
        self.objects.append(Instance(category, placed(solid, offset, yaw), centre, high - low, yaw, blocks))


def demo_room(seed: int = 0) -> Room:
    """The living room with kitchen corner of the demo video."""
    rng = np.random.default_rng(seed)
    room = Room(polygon=[(0, 0), (WIDTH, 0), (WIDTH, DEPTH), (0, DEPTH)])
    _build_shell(room)
    _living_area(room, rng)
    _kitchen(room)
    _dining_area(room)
    _light(room)
    return room


WEST_WINDOW = shell.Opening(1.35, 3.55, 0.80, 2.25)
EAST_WINDOW = shell.Opening(2.55, 4.35, 0.90, 2.15)


def _build_shell(room: Room) -> None:
    """Floor, ceiling, four walls, two windows, a door, skirting and curtains."""
    frames = shell.wall_frames(WIDTH, DEPTH)
    room.shell += shell.floor_and_ceiling(WIDTH, DEPTH, HEIGHT)
    openings = {"west": WEST_WINDOW, "east": EAST_WINDOW}
    for side, length in (("north", WIDTH), ("west", DEPTH), ("south", WIDTH), ("east", DEPTH)):
        room.shell += shell.on_wall(shell.wall(length, HEIGHT, openings.get(side)), frames[side])
    for side, panes in (("west", 3), ("east", 2)):
        *window, view = shell.window(openings[side], panes)
        offset, yaw = frames[side]
        room.add("window", window, offset, yaw, blocks=False)
        room.view += shell.on_wall([view], frames[side])
    hung = shell.curtain(0.92, 1.42, 0.03, 2.38, 7) + shell.curtain(3.48, 3.98, 0.03, 2.38, 7)
    room.shell += shell.on_wall(hung + shell.curtain_rail(0.85, 4.05, 2.38), frames["west"])
    room.add("door", shell.door(), (4.25, 0.0), 180, blocks=False)
    boards = (
        ("north", 0, 3.2),
        ("west", 0.02, DEPTH),
        ("south", 0, 2.01),
        ("south", 3.09, WIDTH),
        ("east", 1.95, DEPTH - 0.02),
    )
    for side, start, stop in boards:
        room.shell += shell.on_wall(shell.skirting(start, stop), frames[side])


def _living_area(room: Room, rng: np.random.Generator) -> None:
    """Sofa, armchair and coffee table on a rug, with television, shelf, lamp, plant and pictures around them."""
    room.add("rug", f.rug(2.4, 1.7), (1.75, 3.35), blocks=False)
    room.add("sofa", f.sofa(), (1.62, DEPTH - 0.46 - GAP))
    room.add("coffee table", f.coffee_table(), (1.70, 3.45, 0.012))
    room.add("armchair", f.armchair(), (0.78, 2.10), 122)
    room.add("tv cabinet", f.tv_cabinet(), (1.55, 0.20 + GAP + 0.01), 180)
    room.add("television", f.television(), (1.55, 0.24, 0.46), 180, blocks=False)
    room.add("bookshelf", f.bookshelf(rng), (3.05, 0.15 + GAP), 180)
    room.add("floor lamp", f.floor_lamp(), (0.27, 4.82))
    room.add("potted plant", f.potted_plant(rng), (0.42, 0.62))
    for x, z, width, height, art in ((1.25, 1.62, 0.62, 0.82, "landscape"), (2.02, 1.62, 0.62, 0.82, "shapes")):
        room.add("picture", f.framed_picture(width, height, art), (x, DEPTH - 0.002, z), blocks=False)


def _kitchen(room: Room) -> None:
    """Refrigerator, cabinets and stove along the north wall, a sink run along the east wall, a stool in front."""
    back = DEPTH - 0.30 - GAP
    room.add("refrigerator", k.refrigerator(), (3.58, DEPTH - 0.33 - GAP))
    room.add("cabinet", k.base_cabinets(0.66, 1), (4.26, back))
    room.add("stove", k.stove(), (4.90, back))
    room.add("cabinet", k.base_cabinets(1.58, 3), (6.00, back))
    room.add("cabinet", k.base_cabinets(1.30, 2), (WIDTH - 0.30 - 0.01, 3.92), -90)
    room.add("sink", k.sink(), (WIDTH - 0.31, 3.95, k.TOP), -90, blocks=False)
    room.add("hanging cabinet", k.wall_cabinets(0.66, 2), (4.26, DEPTH - 0.002, 1.45), blocks=False)
    room.add("range hood", k.range_hood(), (4.90, DEPTH - 0.002, 1.60), blocks=False)
    room.add("hanging cabinet", k.wall_cabinets(1.57, 4), (6.00, DEPTH - 0.002, 1.45), blocks=False)
    room.shell += [shell.sheet((3.93, DEPTH - 0.004, 0.90), (2.86, 0, 0), (0, 0, 0.72), k.BACKSPLASH, 0.04)]
    room.add("counter things", k.counter_clutter(), (6.00, back + 0.05, k.TOP), blocks=False)
    room.shell += placed(k.ceiling_light(1.2, 0.6), (4.8, 3.5, HEIGHT))
    room.add("stool", f.stool(), (4.90, 3.90))
    room.add("bin", f.waste_bin(), (6.58, 3.05))


def _dining_area(room: Room) -> None:
    """Table with four chairs under a pendant lamp, and a picture on the south wall."""
    x, y = 5.55, 1.55
    room.add("dining table", f.dining_table(), (x, y))
    for dx in (-0.36, 0.36):
        room.add("chair", f.chair(), (x + dx, y + 0.52), 0 if dx > 0 else 6)
        room.add("chair", f.chair(), (x + dx, y - 0.52), 180 if dx < 0 else 172)
    room.add("pendant lamp", f.pendant_lamp(0.95), (x, y, HEIGHT), blocks=False)
    room.add("picture", f.framed_picture(0.9, 0.65, "landscape", f.WALNUT), (x + 0.1, 0.002, 1.55), 180, blocks=False)


def _light(room: Room) -> None:
    """Daylight through both windows, low sun from the west, and the two lamps."""
    sky = (8.0, 8.6, 9.3)
    w, e = WEST_WINDOW, EAST_WINDOW
    outside = shell.REVEAL - 0.001
    room.lights += [
        AreaLight((-outside, w.left, w.low), (0, w.right - w.left, 0), (0, 0, w.high - w.low), sky),
        AreaLight((WIDTH + outside, DEPTH - e.left, e.low), (0, e.left - e.right, 0), (0, 0, e.high - e.low), sky),
    ]
    warm, z = (5.0, 3.9, 2.6), HEIGHT - 0.96
    room.lights.append(AreaLight((5.39, 1.39, z), (0, 0.32, 0), (0.32, 0, 0), warm))
    room.lights.append(AreaLight((4.2, 3.2, HEIGHT - 0.05), (0, 0.6, 0), (1.2, 0, 0), (2.6, 2.4, 2.1)))
    azimuth, elevation = np.radians(24), np.radians(36)
    level = np.cos(elevation)
    room.sun_direction = np.array([-level * np.cos(azimuth), -level * np.sin(azimuth), np.sin(elevation)])
