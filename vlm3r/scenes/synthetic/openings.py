"""Doors and windows: which hole goes into which outer wall, and what fills it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely

from .catalogue import KINDS
from .plan import FloorPlan, Opening, Wall
from .shapes import Solid, bounds

REVEAL = 0.14
"""Depth of the holes for windows and doors, metres."""
END_MARGIN = 0.22
"""Wall that stays between a hole and the end of its wall or another hole, metres."""
HEAD_MARGIN = 0.12
"""Wall that stays above a window, metres."""
OUTLOOK = 1.6
"""Metres before a window that are free of other parts of the home."""
ENTRANCE = ("hall", "living", "kitchen", "dining", "office", "bedroom", "bathroom")
"""Uses of the room with the entrance, the likeliest first."""
WINDOWS = {"living": (2, 3), "bathroom": (1, 1), "hall": (0, 1)}
"""Fewest and most windows by use; all other rooms have one or two."""
SECOND_DOOR = 0.25
"""Share of homes with another door, to a balcony or a store."""


@dataclass(frozen=True, eq=False)
class Fitting:
    """A window or a door in its hole."""

    category: str
    wall: int
    """Number in `FloorPlan.walls`."""
    hole: Opening
    solid: Solid
    """In the catalogue's frame: standing on z = 0, centred, its inner side at -y."""


def cut_openings(plan: FloorPlan, rng: np.random.Generator) -> tuple[FloorPlan, tuple[Fitting, ...]]:
    """The plan with holes for an entrance and windows, and what fills them.

    A plan without an outer wall that is long enough has fewer of them, or none.
    """
    cutter = _Cutter(plan)
    uses = [room.use for room in plan.rooms]
    rooms = sorted(range(len(uses)), key=lambda number: ENTRANCE.index(uses[number]))
    doors = 2 if rng.random() < SECOND_DOOR else 1
    for number in rooms:
        if doors and cutter.cut("door", KINDS["door"].build(rng), number, 0.0, rng):
            doors -= 1
    for number, use in enumerate(uses):
        fewest, most = WINDOWS.get(use, (1, 2))
        design = KINDS["window"].build(rng)
        sill = float(rng.uniform(*KINDS["window"].hung))
        for _ in range(int(rng.integers(fewest, most + 1))):
            cutter.cut("window", design, number, sill, rng)
    return replace(plan, walls=tuple(cutter.walls)), tuple(cutter.fittings)


class _Cutter:
    """Walls into which holes are cut one after another."""

    def __init__(self, plan: FloorPlan) -> None:
        self.walls: list[Wall] = list(plan.walls)
        self.height = plan.height
        self.fittings: list[Fitting] = []
        self.built = shapely.union_all([shapely.Polygon(room.polygon) for room in plan.rooms])

    def cut(self, category: str, design: Solid, room: int, low: float, rng: np.random.Generator) -> bool:
        """Cut one hole of the size of a solid into an outer wall of a room, if there is a place for it."""
        size = bounds(design)[1] - bounds(design)[0]
        width, high = float(size[0]), low + float(size[2])
        if high > self.height - HEAD_MARGIN:
            low, high = low - (high - self.height + HEAD_MARGIN), self.height - HEAD_MARGIN
        places = [
            (number, left, right)
            for number, wall in enumerate(self.walls)
            if wall.outer and wall.room == room
            for left, right in self._free_stretches(wall, width)
        ]
        for pick in _shuffled_by_length([right - left for _, left, right in places], rng):
            number, left, right = places[pick]
            slack = right - left - width
            share = float(rng.beta(3, 3) if category == "window" else rng.choice([0.0, 1.0]))
            start = left + slack * share
            hole = Opening(start, start + width, low, high, "window" if category == "window" else "door")
            if category == "window" and not self._has_outlook(self.walls[number], hole):
                continue
            wall = self.walls[number]
            openings = tuple(sorted((*wall.openings, hole), key=lambda o: o.left))
            self.walls[number] = replace(wall, openings=openings)
            self.fittings.append(Fitting(category, number, hole, design))
            return True
        return False

    def _free_stretches(self, wall: Wall, width: float) -> list[tuple[float, float]]:
        stretches = [(a + END_MARGIN, b - END_MARGIN) for a, b in wall.solid_stretches()]
        return [(a, b) for a, b in stretches if b - a >= width]

    def _has_outlook(self, wall: Wall, hole: Opening) -> bool:
        """Whether no other part of the home stands before a window."""
        return not self.built.intersects(wall.strip(hole.left - 0.4, hole.right + 0.4, -0.05, -OUTLOOK))


def _shuffled_by_length(lengths: Sequence[float], rng: np.random.Generator) -> list[int]:
    """All numbers in random order, those of longer stretches rather first."""
    keys = rng.random(len(lengths)) ** (1 / np.maximum(lengths, 0.1)) if len(lengths) else np.zeros(0)
    return np.argsort(-keys).tolist()
