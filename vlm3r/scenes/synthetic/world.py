"""A furnished home as renderer and annotations see it: surfaces, named instances with oriented boxes, lights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import shapely

from .shapes import Array, Patch, Solid, bounds, placed, rotation

Point = tuple[float, float]


class Unfurnishable(ValueError):
    """A home that was drawn but breaks a rule; the next attempt draws another one."""


@dataclass(frozen=True)
class Instance:
    """One object: a category, its solid in world coordinates, and its box (centre, size along its own axes, yaw)."""

    category: str
    solid: Solid
    centre: Array
    size: Array
    yaw: float
    blocks_walking: bool
    support: int | None = None
    """Number in `World.objects` of the object that it stands on; None for floor, wall and ceiling."""

    @property
    def footprint(self) -> shapely.Polygon:
        """The box seen from above."""
        return oriented_rectangle(self.centre, self.size, self.yaw)

    @property
    def span(self) -> tuple[float, float]:
        """Lowest and highest z of the box."""
        half = self.size[2] / 2
        return float(self.centre[2] - half), float(self.centre[2] + half)


@dataclass(frozen=True)
class AreaLight:
    """A rectangle that emits evenly over its front: a corner, two edges (normal = u x v) and its radiance (RGB)."""

    corner: tuple[float, float, float]
    edge_u: tuple[float, float, float]
    edge_v: tuple[float, float, float]
    radiance: tuple[float, float, float]


@dataclass(frozen=True)
class RoomShape:
    """One room: what it is used for and its inner outline, counter-clockwise, in metres.

    Rooms of an open plan touch; all others have a wall between them.
    """

    use: str
    polygon: tuple[Point, ...]


@dataclass
class World:
    """A furnished home: its rooms, the fixed shell, the objects, the view behind the windows, and the lights."""

    rooms: list[RoomShape] = field(default_factory=list)
    passages: list[tuple[Point, ...]] = field(default_factory=list)
    """Floor of the doorways through walls."""
    height: float = 2.6
    shell: Solid = field(default_factory=list)
    view: list[Patch] = field(default_factory=list)
    objects: list[Instance] = field(default_factory=list)
    windows: list[AreaLight] = field(default_factory=list)
    lamps: list[AreaLight] = field(default_factory=list)
    sun_direction: Array = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))

    def add(
        self,
        category: str,
        solid: Solid,
        at: tuple[float, ...],
        yaw: float = 0.0,
        blocks: bool = True,
        support: int | None = None,
    ) -> None:
        """Put an object built in its local frame at `at` (x, y and optionally z), turned by `yaw` degrees."""
        offset = np.array([*at, 0.0][:3], float)
        low, high = bounds(solid)
        centre = rotation("z", yaw) @ ((low + high) / 2) + offset
        self.objects.append(Instance(category, placed(solid, offset, yaw), centre, high - low, yaw, blocks, support))

    @property
    def area(self) -> float:
        """Floor area of all rooms in square metres, doorways not counted."""
        return float(shapely.union_all([shapely.Polygon(room.polygon) for room in self.rooms]).area)

    def floor(self) -> shapely.Polygon:
        """All floor that one can see across or walk over: rooms and doorways, connected.

        Raises:
            Unfurnishable: it is not connected.
        """
        outlines = [room.polygon for room in self.rooms] + self.passages
        grown = shapely.union_all([shapely.Polygon(outline).buffer(1e-3, join_style="mitre") for outline in outlines])
        floor = grown.buffer(-1e-3, join_style="mitre")
        if not isinstance(floor, shapely.Polygon):
            raise Unfurnishable("the rooms are not connected")
        return floor


def oriented_rectangle(centre: Array, size: Array, yaw: float) -> shapely.Polygon:
    """The rectangle of width `size[0]` and depth `size[1]` about `centre`, turned by `yaw` degrees."""
    half = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * np.asarray(size)[:2] / 2
    return shapely.Polygon(half @ rotation("z", yaw)[:2, :2].T + np.asarray(centre)[:2])
