"""The empty room: floor, ceiling, walls with window and door, skirting and curtains.

Each wall is built in its own frame: x runs along it from its left end (seen from inside), and the room is at -y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .furniture import BRASS, WHITE
from .geometry import Material, Patch, Solid, box, picture, placed, rod, sheet, surface

WALL = Material("#efe8db", "plaster", 0.8)
CEILING = Material("#f6f4ef", "plaster", 0.8)
FLOOR = Material("#c99a6b", "planks", 1 / 2.4, 0.55)
FRAME = Material("#f4f2ed", "plain", 1.0, 0.25)
REVEAL = 0.14


@dataclass(frozen=True)
class Opening:
    """A rectangular hole in a wall, in the wall's frame: `left`..`right` along it, `low`..`high` above the floor."""

    left: float
    right: float
    low: float
    high: float


def wall(length: float, height: float, opening: Opening | None = None) -> Solid:
    """A wall as flat sheets around at most one opening."""
    if opening is None:
        return [_panel(0, length, 0, height)]
    o = opening
    pieces = [(0, o.left, 0, height), (o.right, length, 0, height), (o.left, o.right, 0, o.low)]
    return [_panel(*piece) for piece in (*pieces, (o.left, o.right, o.high, height))]


def _panel(left: float, right: float, low: float, high: float) -> Patch:
    return sheet((left, 0, low), (right - left, 0, 0), (0, 0, high - low), WALL)


def window(opening: Opening, panes: int) -> Solid:
    """Reveal, sill, frame and glazing bars of a window, and the bright view behind it (the last patch)."""
    o = opening
    width, height = o.right - o.left, o.high - o.low
    solid = [
        sheet((o.left, 0, o.low), (0, REVEAL, 0), (0, 0, height), WALL, 0.04),
        sheet((o.right, REVEAL, o.low), (0, -REVEAL, 0), (0, 0, height), WALL, 0.04),
        sheet((o.left, REVEAL, o.high), (width, 0, 0), (0, -REVEAL, 0), WALL, 0.04),
    ]
    middle, depth = (o.left + o.right) / 2, REVEAL - 0.03
    solid += box((middle, 0.03, o.low - 0.002), (width + 0.10, 0.24, 0.035), FRAME, 0.006, 0.04)
    for z in (o.low + 0.04, o.high - 0.025):
        solid += box((middle, depth, z), (width, 0.05, 0.05), FRAME, 0.005, 0.04)
    for k in range(panes + 1):
        x = o.left + 0.025 + k * (width - 0.05) / panes
        solid += box((x, depth, (o.low + o.high) / 2), (0.05, 0.048, height - 0.05), FRAME, 0.005, 0.04)
    view = Material("#ffffff", "outside", emission=1.25)
    return [*solid, picture((o.left - 1.2, 0.8, o.low - 0.9), (width + 2.4, 0, 0), (0, 0, height + 1.8), view)]


def curtain(left: float, right: float, low: float, high: float, folds: int) -> Solid:
    """A pleated curtain hanging 6 to 12 cm in front of the wall."""
    x = np.linspace(left, right, 14 * folds + 1)[:, None]
    z = np.linspace(low, high, int((high - low) / 0.06))[None, :]
    phase = 2 * np.pi * folds * (x - left) / (right - left)
    y = -0.09 + 0.03 * np.sin(phase + 0.25 * np.sin(3 * z)) + 0 * z
    points = np.stack(np.broadcast_arrays(x + 0.01 * np.sin(2 * phase), y, z), -1)
    return [surface(points, Material("#e9dfcc", "fabric", 1.4))]


def curtain_rail(left: float, right: float, height: float) -> Solid:
    """A brass rail with two knobs and two brackets, 9 cm in front of the wall."""
    solid = rod((left, -0.09, height), (right, -0.09, height), 0.012, BRASS)
    for x in (left, right):
        solid += box((x, -0.09, height), (0.05, 0.045, 0.045), BRASS, 0.02)
    for x in (left + 0.12, right - 0.12):
        solid += rod((x, 0, height), (x, -0.09, height), 0.008, BRASS)
    return solid


def door(width: float = 0.88, height: float = 2.06) -> Solid:
    """A closed panel door in its casing, flat against the wall plane y = 0 and centred on x = 0."""
    leaf = Material("#e9e4d9", "plain", 1.0, 0.25)
    solid = box((0, -0.006, height / 2 + 0.003), (width, 0.016, height - 0.006), leaf, 0.003)
    for low, high in ((0.16, 0.88), (1.02, 1.92)):
        for side in (-1, 1):
            centre = (side * 0.205, -0.016, (low + high) / 2)
            solid += box(centre, (0.29, 0.012, high - low), leaf, 0.006)
            solid += box((centre[0], -0.024, centre[2]), (0.21, 0.010, high - low - 0.08), leaf, 0.005)
    for side in (-1, 1):
        solid += box(
            (side * (width / 2 + 0.045), -0.017, height / 2 + 0.04), (0.09, 0.034, height + 0.08), WHITE, 0.006
        )
    solid += box((0, -0.017, height + 0.045), (width, 0.033, 0.09), WHITE, 0.006)
    handle = (width / 2 - 0.07, 1.02)
    solid += box((handle[0], -0.018, handle[1]), (0.04, 0.012, 0.17), BRASS, 0.004)
    solid += rod((handle[0], -0.02, handle[1]), (handle[0], -0.065, handle[1]), 0.009, BRASS)
    return solid + rod((handle[0], -0.06, handle[1]), (handle[0] - 0.12, -0.06, handle[1]), 0.009, BRASS)


def skirting(start: float, stop: float) -> Solid:
    """A skirting board along the wall from `start` to `stop`."""
    return box(((start + stop) / 2, -0.007, 0.045), (stop - start, 0.014, 0.09), WHITE, 0.005, 0.06)


def floor_and_ceiling(width: float, depth: float, height: float) -> Solid:
    """The floor (upwards) and the ceiling (downwards) of a rectangular room."""
    floor = sheet((0, 0, 0), (width, 0, 0), (0, depth, 0), FLOOR, step=0.025)
    return [floor, sheet((0, 0, height), (0, depth, 0), (width, 0, 0), CEILING, step=0.08)]


def wall_frames(width: float, depth: float) -> dict[str, tuple[tuple[float, float, float], float]]:
    """Offset and yaw that put a solid built in a wall's frame onto each wall of the room."""
    return {
        "north": ((0, depth, 0), 0),
        "west": ((0, 0, 0), 90),
        "south": ((width, 0, 0), 180),
        "east": ((width, depth, 0), -90),
    }


def on_wall(solid: Solid, frame: tuple[tuple[float, float, float], float]) -> Solid:
    """The solid moved from a wall's frame into the room."""
    return placed(solid, *frame)
