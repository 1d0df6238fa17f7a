"""What is taken in a home: boxes that must not meet, strips to keep free, and floor that has to stay walkable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import shapely
from scipy import ndimage

from .catalogue.kind import Kind, Top
from .plan import Wall
from .shapes import Array, Solid, bounds, rotation
from .world import Point, oriented_rectangle

WALL_GAP = 0.02
"""Between floor-standing furniture and the wall, so that it clears the skirting board; metres."""
HUNG_GAP = 0.002
"""Between what hangs on a wall and the wall."""
BOX_GAP = 0.004
"""Least distance seen from above of boxes that overlap in height."""
LEVEL_GAP = 1e-4
"""Boxes whose heights overlap by less than this only touch."""
WALKING_RADIUS = 0.35
"""Half the width that a walker needs; the camera later keeps a little less."""
CELL = 0.05
"""Edge of a cell of the floor grid, metres."""
STANDING = ("wall", "corner", "free", "around")
"""Places of what stands on the floor, or on a rug."""
LEAST_WALKABLE = 0.8
"""Square metres of every room that one can step on, at least."""


@dataclass(frozen=True)
class Item:
    """One piece of furniture where it stands: the centre of its box's lower face, and its yaw in degrees."""

    kind: Kind
    solid: Solid
    size: Array
    at: tuple[float, float, float]
    yaw: float
    room: int
    support: int | None = None
    wall: Wall | None = None

    @property
    def footprint(self) -> shapely.Polygon:
        """The box seen from above."""
        return oriented_rectangle(np.array(self.at), self.size, self.yaw)

    @property
    def span(self) -> tuple[float, float]:
        """Lowest and highest z."""
        return self.at[2], self.at[2] + float(self.size[2])

    @property
    def front(self) -> Array:
        """The direction that it faces, (2,)."""
        return rotation("z", self.yaw)[:2, :2] @ np.array([0.0, -1.0])

    def beside(self, x: float, y: float) -> Point:
        """The point of the floor at (x, y) of its own frame."""
        turned = rotation("z", self.yaw)[:2, :2] @ (x, y)
        return float(self.at[0] + turned[0]), float(self.at[1] + turned[1])

    def front_strip(self) -> shapely.Polygon | None:
        """The floor before it that has to stay free, if any."""
        if self.kind.clear_front <= 0:
            return None
        half_w, half_d = self.size[0] / 2, self.size[1] / 2
        local = ((-half_w, -half_d), (half_w, -half_d), (half_w, -half_d - self.kind.clear_front))
        return shapely.Polygon([self.beside(*p) for p in (*local, (-half_w, -half_d - self.kind.clear_front))])

    def top(self) -> Top:
        """Where other things may stand on it, in its own frame."""
        return self.kind.top(self.solid)


def solid_size(solid: Solid) -> Array:
    """Width, depth and height of a solid's box, (3,)."""
    low, high = bounds(solid)
    return high - low


def on_rugs(kind: Kind) -> bool:
    """Whether a rug may lie under a piece of furniture, or under part of it."""
    return kind.place in ("free", "around") or kind.category in ("bed", "sofa")


@dataclass(frozen=True)
class Keepout:
    """A space that stays free: its floor area and its heights."""

    area: shapely.Polygon
    low: float = 0.0
    high: float = 2.1
    owner: int | None = None
    """The item that needs it; what belongs to that item may enter."""
    strict: bool = False
    """Whether even what is in nobody's way has to stay out, as before a window."""


class FloorGrid:
    """Distance from each cell of the floor to the nearest wall or obstacle."""

    def __init__(self, floor: shapely.Polygon, rooms: Sequence[shapely.Polygon]) -> None:
        low_x, low_y, high_x, high_y = floor.bounds
        self.x = np.arange(low_x + CELL / 2, high_x, CELL)
        self.y = np.arange(low_y + CELL / 2, high_y, CELL)
        self.points = np.stack(np.meshgrid(self.x, self.y, indexing="ij"), -1)  # (x, y, 2)
        flat = self.points.reshape(-1, 2)
        inside = shapely.contains_xy(floor, flat)
        clear = np.zeros(len(flat))
        clear[inside] = shapely.distance(floor.boundary, shapely.points(flat[inside]))
        self.clear = clear.reshape(self.points.shape[:2])
        self.rooms = [shapely.contains_xy(room, flat).reshape(self.clear.shape) for room in rooms]

    def with_box(self, centre: Sequence[float], size: Array, yaw: float) -> Array:
        """Clearance (x, y) with one more oriented box in the way."""
        return np.minimum(self.clear, rectangle_distance(self.points, np.asarray(centre), size, yaw))


def rectangle_distance(points: Array, centre: Array, size: Array, yaw: float) -> Array:
    """Horizontal distance in metres from points (..., 2) to an oriented rectangle, 0 inside it."""
    local = np.abs((points - centre[:2]) @ rotation("z", yaw)[:2, :2]) - np.asarray(size)[:2] / 2
    return np.hypot(*np.moveaxis(np.maximum(local, 0), -1, 0))


def is_walkable(clear: Array, rooms: Sequence[Array], radius: float = WALKING_RADIUS) -> bool:
    """Whether the floor with that much clearance is one piece which reaches every room."""
    free = clear >= radius
    labels = np.asarray(ndimage.label(free, structure=np.ones((3, 3)))[0])  # pyright: ignore[reportIndexIssue]
    if labels.max() != 1:
        return False
    return all((free & room).sum() * CELL**2 >= LEAST_WALKABLE for room in rooms)


@dataclass
class Space:
    """A home while it is being furnished."""

    rooms: list[shapely.Polygon]
    walls: list[Wall]
    height: float
    grid: FloorGrid
    items: list[Item] = field(default_factory=list)
    keepouts: list[Keepout] = field(default_factory=list)
    _footprints: list[shapely.Polygon] = field(default_factory=list)
    _spans: list[tuple[float, float]] = field(default_factory=list)

    def room_items(self, room: int) -> list[int]:
        """Numbers of the items in a room."""
        return [number for number, item in enumerate(self.items) if item.room == room]

    def accepts(self, item: Item, margin: float = 0.0, anchor: int | None = None) -> bool:
        """Whether an item may stand there: inside its room, meeting nothing, leaving the floor walkable.

        Args:
            item: The candidate.
            margin: Extra space around it that must be free of other things on the floor, metres.
            anchor: Number of the item that it belongs to; it may enter the strip that this one keeps free.
        """
        return (
            self._inside(item, margin)
            and self._meets_nothing(item, margin, anchor)
            and (not item.kind.blocks_walking or self._leaves_a_way(item))
        )

    def add(self, item: Item) -> int:
        """Put an accepted item there; its number."""
        number = len(self.items)
        self.items.append(item)
        self._footprints.append(item.footprint)
        self._spans.append(item.span)
        if item.kind.blocks_walking:
            self.grid.clear = self.grid.with_box(item.at, item.size, item.yaw)
        strip = item.front_strip()
        if strip is not None and item.kind.place != "opening":
            self.keepouts.append(Keepout(strip, item.at[2], item.at[2] + max(0.5, float(item.size[2])), number))
        return number

    def lift_onto(self, rug: int) -> None:
        """Raise what stands on a rug by its thickness, with everything on it."""
        area, thickness = self._footprints[rug], self._spans[rug][1]
        for number, item in enumerate(self.items):
            bearer = item if item.support is None else self.items[item.support]
            if bearer.kind.place in STANDING and bearer.footprint.intersects(area):
                self.items[number] = replace(item, at=(*item.at[:2], item.at[2] + thickness))
                self._spans[number] = self.items[number].span

    def _inside(self, item: Item, margin: float) -> bool:
        if item.at[2] < -LEVEL_GAP or item.span[1] > self.height + LEVEL_GAP:
            return False
        if item.wall is not None and item.kind.place != "opening" and not _along(item, item.wall):
            return False
        gap = WALL_GAP if item.at[2] < 0.1 and item.kind.place != "hung" else HUNG_GAP
        room = self.rooms[item.room]
        footprint = item.footprint
        reach = footprint.buffer(margin, join_style="mitre") if margin else footprint
        return bool(room.contains(reach)) and float(shapely.distance(room.boundary, footprint)) >= gap - 1e-6

    def _meets_nothing(self, item: Item, margin: float, anchor: int | None) -> bool:
        footprint = item.footprint
        low, high = item.span
        footprints = np.array(self._footprints, dtype=object)
        spans = np.array(self._spans).reshape(-1, 2)
        level = (spans[:, 0] < high - LEVEL_GAP) & (spans[:, 1] > low + LEVEL_GAP)
        if item.support is not None:
            level[item.support] = False
        if item.kind.place == "floor_flat":
            level &= np.array([not on_rugs(other.kind) for other in self.items], bool)
        if shapely.dwithin(footprints[level], footprint, max(margin, BOX_GAP)).any():
            return False
        strip = item.front_strip()
        if strip is not None:
            standing = np.array([i.kind.blocks_walking for i in self.items], bool) & level
            if shapely.intersects(footprints[standing], strip.buffer(-0.01)).any():
                return False
        for keep in self.keepouts:
            allowed = not (keep.strict or item.kind.blocks_walking) or (keep.owner is not None and keep.owner == anchor)
            meets = keep.low < high - LEVEL_GAP and keep.high > low + LEVEL_GAP
            if not allowed and meets and keep.area.intersects(footprint.buffer(-1e-3)):
                return False
        return True

    def _leaves_a_way(self, item: Item) -> bool:
        return is_walkable(self.grid.with_box(item.at, item.size, item.yaw), self.grid.rooms)


def _along(item: Item, wall: Wall) -> bool:
    """Whether the whole back of an item is at the wall, not beyond one of its ends."""
    turn = np.radians(wall.yaw)
    middle = float((np.array(item.at[:2]) - wall.start) @ (np.cos(turn), np.sin(turn)))
    half = float(item.size[0]) / 2
    return half - 1e-6 <= middle <= wall.length - half + 1e-6
