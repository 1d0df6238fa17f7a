"""What the catalogue says about a category: how to build one, where it belongs and what may stand on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..shapes import Array, Solid

Room = Literal["living", "kitchen", "bedroom", "bathroom", "office", "dining", "hall"]
Place = Literal["wall", "corner", "free", "surface", "hung", "ceiling", "floor_flat", "around", "opening"]
Side = Literal["all", "front", "beside"]
Spot = Literal["any", "back", "centre", "front"]

ROOMS: frozenset[str] = frozenset(("living", "kitchen", "bedroom", "bathroom", "office", "dining", "hall"))


@dataclass(frozen=True)
class Top:
    """A level rectangle that carries objects, in the frame of its solid: height and the two corners, in metres."""

    height: float
    low: tuple[float, float]
    high: tuple[float, float]


def flat_top(solid: Solid) -> Top:
    """The highest level surface with at least a third of the area of the largest one (a seat, a table top)."""
    heights, areas, corners = [], [], []
    for patch in solid:
        p, level = patch.points, patch.normals[..., 2] > 0.95
        cell = level[:-1, :-1] & level[1:, :-1] & level[:-1, 1:] & level[1:, 1:]
        if not cell.any():
            continue
        across, along = p[1:, 1:] - p[:-1, :-1], p[1:, :-1] - p[:-1, 1:]
        area = np.abs(across[..., 0] * along[..., 1] - across[..., 1] * along[..., 0]) / 2
        ends = np.stack([p[:-1, :-1], p[1:, 1:]])[:, cell]  # (2, cell, 3)
        heights.append(float(p[:-1, :-1][cell][:, 2].max()))
        areas.append(float(area[cell].sum()))
        corners.append((ends[..., :2].min((0, 1)), ends[..., :2].max((0, 1))))
    if not heights:
        raise ValueError("the solid has no level surface")
    levels = np.round(np.asarray(heights) / 0.02).astype(int)
    total = {level: sum(a for a, other in zip(areas, levels, strict=True) if other == level) for level in levels}
    best = max(level for level, area in total.items() if area >= 0.35 * max(total.values()))
    chosen = np.flatnonzero(levels == best)
    low: Array = np.min([corners[i][0] for i in chosen], axis=0)
    high: Array = np.max([corners[i][1] for i in chosen], axis=0)
    height = max(heights[i] for i in chosen)
    if sum(areas[i] for i in chosen) < 0.85 * float(np.prod(high - low)):  # round: the rectangle inside it
        low, high = 0.85 * low + 0.15 * high, 0.15 * low + 0.85 * high
    return Top(height, (float(low[0]), float(low[1])), (float(high[0]), float(high[1])))


@dataclass(frozen=True)
class Kind:
    """One category of the catalogue. Lengths are metres; a missing reference category means: do not place it."""

    category: str
    """Its name in annotations and questions, and its key in `KINDS`."""
    build: Callable[[np.random.Generator], Solid]
    """A new instance: z = 0 is its lowest point, x = y = 0 the centre of its box; it faces -y, its back is at +y."""
    place: Place
    """`wall`: back against a wall. `corner`: back and a side near walls. `free`: anywhere with space around it.
    `surface`: on one of `on`. `hung`: back on a wall, lower edge within `hung`. `ceiling`: its top touches the
    ceiling. `floor_flat`: lies on the floor under other things. `around`: at the `side` of one of `on`.
    `opening`: fills a hole of its width and height in a wall, lower edge within `hung`."""
    rooms: frozenset[str]
    """Uses of a room in which it may appear, out of `ROOMS`."""
    count: tuple[int, int] = (1, 1)
    """Fewest and most instances in one room, or beside each reference object, once it is chosen."""
    weight: float = 1.0
    """How readily it is chosen; 1 is usual, 3 belongs in nearly every such room, 0.3 is rare."""
    blocks_walking: bool = True
    """Whether a person has to walk around it."""
    supports: bool = False
    """Whether other kinds may name it in `on` for `place == "surface"`."""
    top: Callable[[Solid], Top] = flat_top
    """The rectangle on which those stand."""
    clear_front: float = 0.0
    """Depth of the strip before it that has to stay free."""
    on: tuple[str, ...] = ()
    """Reference categories of `surface` and `around`, best first."""
    side: Side = "all"
    """For `around`: at every side facing it, before its front facing it, or beside it with the back aligned."""
    spot: Spot = "any"
    """For `surface`: which part of the top it prefers."""
    hung: tuple[float, float] = (0.0, 0.0)
    """Lowest and highest lower edge above the floor for `hung` and `opening`."""
    lights: bool = False
    """Whether it glows: patches with `Material.emission` above zero are its lit surfaces."""
