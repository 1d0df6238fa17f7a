"""Floor plans drawn from a seed: rooms, the walls around them, and the doorways that join them.

Each wall has its own frame: x runs along it from its left end (seen from inside the room), the room is at -y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Literal, cast

import numpy as np
import shapely

from .layouts import WALL_THICKNESS, draw_units
from .shapes import rotation
from .world import Point, RoomShape

MIN_HEIGHT, MAX_HEIGHT = 2.4, 2.9
PASSAGE_HEIGHT = 2.1
NARROW_PASSAGE, WIDE_PASSAGE = 0.95, 1.6
PASSAGE_MARGIN = 0.15
"""Wall that stays on either side of a doorway."""
TOUCHING = 2e-3


@dataclass(frozen=True)
class Opening:
    """A rectangular hole in a wall, in the wall's frame: `left`..`right` along it, `low`..`high` above the floor."""

    left: float
    right: float
    low: float
    high: float
    kind: Literal["window", "door", "passage", "open"] = "passage"
    """`passage` is a doorway without a door; `open` is where an open plan has no wall at all."""


@dataclass(frozen=True)
class Wall:
    """One side of a room: its left end seen from inside, its direction as a yaw in degrees, and its holes."""

    room: int
    start: Point
    yaw: float
    length: float
    outer: bool
    openings: tuple[Opening, ...] = ()

    @property
    def frame(self) -> tuple[tuple[float, float, float], float]:
        """Offset and yaw that put a solid built in the wall's frame into the home."""
        return (*self.start, 0.0), self.yaw

    def to_home(self, along: float, out: float = 0.0) -> Point:
        """The point `along` metres from the left end and `out` metres beyond the wall (negative: in the room)."""
        x, y = np.asarray(self.start) + rotation("z", self.yaw)[:2, :2] @ (along, out)
        return float(x), float(y)

    def strip(self, left: float, right: float, near: float, far: float) -> shapely.Polygon:
        """The floor between `left` and `right` along the wall, and from `near` to `far` metres into the room."""
        corners = ((left, -near), (right, -near), (right, -far), (left, -far))
        return shapely.Polygon([self.to_home(*corner) for corner in corners])

    def solid_stretches(self, lowest: float = 0.0, highest: float = 10.0) -> list[tuple[float, float]]:
        """Parts of the wall, as (left, right), without a hole between two heights."""
        edges, at = [], 0.0
        for hole in sorted(self.openings, key=lambda o: o.left):
            if hole.low < highest and hole.high > lowest:
                edges.append((at, hole.left))
                at = max(at, hole.right)
        return [(a, b) for a, b in [*edges, (at, self.length)] if b - a > 1e-6]


@dataclass(frozen=True)
class FloorPlan:
    """Rooms with their walls and the floor of the doorways between them; metres."""

    rooms: tuple[RoomShape, ...]
    walls: tuple[Wall, ...]
    passages: tuple[tuple[Point, ...], ...]
    height: float


def draw_plan(rng: np.random.Generator) -> FloorPlan:
    """A plan of one to three rooms, all reachable; windows and doors are still to be cut."""
    rooms: list[RoomShape] = []
    for unit in draw_units(rng):
        rooms += [RoomShape(use, corners(polygon)) for use, polygon in unit]
    height = round(float(rng.uniform(MIN_HEIGHT, MAX_HEIGHT)), 2)
    walls = [wall for number, room in enumerate(rooms) for wall in _sides(number, room)]
    holes: list[list[Opening]] = [[] for _ in walls]
    passages = _join(rooms, walls, holes, height, rng)
    cut = [
        Wall(w.room, w.start, w.yaw, w.length, _is_outer(w, walls), tuple(sorted(h, key=lambda o: o.left)))
        for w, h in zip(walls, holes, strict=True)
    ]
    return FloorPlan(tuple(rooms), tuple(cut), tuple(passages), height)


def corners(polygon: shapely.Polygon) -> tuple[Point, ...]:
    """The outline counter-clockwise to a millimetre, without points on straight sides."""
    plain = cast(shapely.Polygon, polygon.simplify(1e-4))
    ring = shapely.geometry.polygon.orient(plain).exterior.coords[:-1]
    points = [(round(x, 3) + 0.0, round(y, 3) + 0.0) for x, y in ring]
    return tuple(points)


def _sides(number: int, room: RoomShape) -> list[Wall]:
    """The walls of a room, one for each side of its outline."""
    closed = [*room.polygon, room.polygon[0]]
    walls = []
    for right, left in pairwise(closed):  # counter-clockwise, so the side's end is at the left hand of one inside
        dx, dy = right[0] - left[0], right[1] - left[1]
        walls.append(Wall(number, left, float(np.degrees(np.arctan2(dy, dx))), float(np.hypot(dx, dy)), True))
    return walls


def _facing(a: Wall, b: Wall) -> tuple[float, float, float] | None:
    """Where wall `b` lies behind wall `a`: (left, right) along `a` and the gap between them; None if it does not."""
    if a.room == b.room or abs((a.yaw - b.yaw) % 360 - 180) > 0.01:
        return None
    turn = rotation("z", a.yaw)[:2, :2]
    ends = (np.array([b.to_home(b.length), b.start]) - a.start) @ turn
    left, right, gap = max(ends[0, 0], 0.0), min(ends[1, 0], a.length), ends[0, 1]
    if right - left < 0.05 or not -TOUCHING < gap < WALL_THICKNESS + TOUCHING:
        return None
    return float(left), float(right), float(max(gap, 0.0))


def _is_outer(wall: Wall, walls: Sequence[Wall]) -> bool:
    return all(_facing(wall, other) is None for other in walls)


def _join(
    rooms: Sequence[RoomShape],
    walls: Sequence[Wall],
    holes: list[list[Opening]],
    height: float,
    rng: np.random.Generator,
) -> list[tuple[Point, ...]]:
    """Open the walls between rooms until all are joined, and some more; the floors of the doorways."""
    group = list(range(len(rooms)))
    shared = []
    for i, j in combinations(range(len(walls)), 2):
        if (contact := _facing(walls[i], walls[j])) is not None:
            shared.append((i, j, contact))
    passages = []
    for i, j, (left, right, gap) in shared:
        if gap <= TOUCHING:
            _open(walls, holes, i, j, Opening(left, right, 0.0, height, "open"))
            group = _merged(group, walls[i].room, walls[j].room)
    for number in rng.permutation(len(shared)).tolist():
        i, j, (left, right, gap) = shared[number]
        joined = group[walls[i].room] == group[walls[j].room]
        room_for_it = right - left - 2 * PASSAGE_MARGIN
        if gap <= TOUCHING or room_for_it < NARROW_PASSAGE or (joined and rng.random() < 0.6):
            continue
        if any(hole.kind == "passage" and hole.right > left and hole.left < right for hole in holes[i]):
            continue
        width = float(rng.uniform(NARROW_PASSAGE, min(WIDE_PASSAGE, room_for_it)))
        start = left + PASSAGE_MARGIN + float(rng.uniform(0, room_for_it - width))
        hole = Opening(start, start + width, 0.0, PASSAGE_HEIGHT)
        _open(walls, holes, i, j, hole)
        group = _merged(group, walls[i].room, walls[j].room)
        floor = ((start, 0), (start, gap), (start + width, gap), (start + width, 0))
        passages.append(corners(shapely.Polygon([walls[i].to_home(*corner) for corner in floor])))
    return passages


def _merged(group: list[int], a: int, b: int) -> list[int]:
    return [group[a] if g == group[b] else g for g in group]


def _open(walls: Sequence[Wall], holes: list[list[Opening]], i: int, j: int, hole: Opening) -> None:
    """Cut a hole into wall `i` and, where it comes out, into wall `j` that faces it."""
    holes[i].append(hole)
    turn = rotation("z", walls[j].yaw)[:2, :2]
    ends = [(np.asarray(walls[i].to_home(x)) - walls[j].start) @ turn for x in (hole.right, hole.left)]
    holes[j].append(Opening(float(ends[0][0]), float(ends[1][0]), hole.low, hole.high, hole.kind))
