"""Daylight through the windows, a low sun, and the lamps of a home."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from .openings import REVEAL
from .placement_space import Item
from .plan import FloorPlan, Wall
from .shapes import Array
from .world import AreaLight, World

SKY = np.array([8.0, 8.6, 9.3])
"""Radiance of a bright sky, linear RGB."""
DAYLIGHT = 0.16
"""Window area over floor area of a room under a bright sky; with more window the sky counts as duller."""
WARM = np.array([1.0, 0.84, 0.64])
"""Colour of lamp light, linear RGB."""
CEILING_POWER, LAMP_POWER = 0.12, 0.03
"""Radiance times area of a ceiling light and of a lamp that stands, per square metre of the room's floor."""
WITHOUT_WINDOW = 2.5
"""How much brighter the lamps of a room without a window are."""
SUN_ASIDE, SUN_HEIGHT = 50.0, (28.0, 48.0)
"""Degrees between the sun and the view from a window, and above the horizon."""


def add_lights(world: World, plan: FloorPlan, items: Sequence[Item], rng: np.random.Generator) -> None:
    """Put sky light into the windows, light under and over the lamps, and the sun before one of the windows."""
    windows = [(wall, hole) for wall in plan.walls for hole in wall.openings if hole.kind == "window"]
    floors = [shapely.Polygon(room.polygon).area for room in plan.rooms]
    panes = np.zeros(len(floors))
    for wall, hole in windows:
        panes[wall.room] += (hole.right - hole.left) * (hole.high - hole.low)
    for wall, hole in windows:
        sky = SKY * min(1.0, DAYLIGHT * floors[wall.room] / panes[wall.room])
        x, y = wall.to_home(hole.left, REVEAL - 0.001)
        east, north = _direction(wall)
        edge = (hole.right - hole.left) * np.array([east, north])
        world.windows.append(
            AreaLight(
                (x, y, hole.low), (float(edge[0]), float(edge[1]), 0.0), (0.0, 0.0, hole.high - hole.low), _rgb(sky)
            )
        )
    for item in items:
        if item.kind.lights:
            brightness = 1.0 if panes[item.room] else WITHOUT_WINDOW
            world.lamps.append(_lamp(item, brightness * floors[item.room]))
    towards = _direction(windows[int(rng.integers(len(windows)))][0]) if windows else (1.0, 0.0)
    azimuth = np.arctan2(towards[1], towards[0]) + np.pi / 2 + np.radians(rng.uniform(-SUN_ASIDE, SUN_ASIDE))
    elevation = np.radians(rng.uniform(*SUN_HEIGHT))
    level = np.cos(elevation)
    world.sun_direction = np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)])


def _direction(wall: Wall) -> tuple[float, float]:
    """The direction from a wall's left end to its right end; the outside is to the left of it."""
    return float(np.cos(np.radians(wall.yaw))), float(np.sin(np.radians(wall.yaw)))


def _lamp(item: Item, floor: float) -> AreaLight:
    """The light that a lamp sends down from the ceiling, or up when it stands."""
    hangs = item.kind.place == "ceiling"
    half = np.minimum(0.4 * item.size[:2], 0.5)
    power = floor * (CEILING_POWER if hangs else LAMP_POWER)
    radiance = power / float(4 * half[0] * half[1])
    x, y = item.at[0] - float(half[0]), item.at[1] - float(half[1])
    u, v = (2 * float(half[0]), 0.0, 0.0), (0.0, 2 * float(half[1]), 0.0)
    colour = _rgb(radiance * WARM)
    if hangs:
        return AreaLight((x, y, item.span[0] - 0.01), v, u, colour)
    return AreaLight((x, y, item.span[1] + 0.01), u, v, colour)


def _rgb(values: Array) -> tuple[float, float, float]:
    red, green, blue = (float(v) for v in values)
    return red, green, blue
