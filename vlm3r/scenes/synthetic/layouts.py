"""Outlines of rooms: single rooms of several shapes, and homes cut into rooms with walls between them."""

from __future__ import annotations

from typing import cast

import numpy as np
import shapely
from shapely import affinity

WALL_THICKNESS = 0.12
"""Of the walls between rooms, metres."""

Unit = list[tuple[str, shapely.Polygon]]
"""What one set of walls encloses: the use and outline of its rooms, several of them in an open plan."""

SINGLE_USES = {"living": 5, "bedroom": 5, "kitchen": 3, "office": 3, "dining": 2, "bathroom": 1}
AREAS = {
    "living": (14.0, 44.0),
    "bedroom": (10.0, 28.0),
    "kitchen": (9.0, 22.0),
    "office": (9.0, 24.0),
    "dining": (11.0, 26.0),
    "bathroom": (5.5, 11.0),
    "hall": (5.0, 9.0),
}
"""Least and greatest floor area by use, square metres."""
SMALLEST_HOME = 8.0
LAYOUTS = {"single": 9, "open": 4, "two": 4, "corner": 3, "three": 4, "open and one": 3}
"""How often each kind of home is drawn, relative to the others."""
COMPANIONS = {
    "two": (("living", "kitchen"), ("living", "bedroom"), ("bedroom", "bathroom"), ("living", "office"),
            ("living", "dining"), ("kitchen", "dining"), ("bedroom", "office")),
    "corner": (("living", "bathroom"), ("bedroom", "bathroom"), ("living", "kitchen"), ("living", "hall")),
    "three": (("living", "bedroom", "kitchen"), ("living", "bedroom", "bathroom"), ("living", "office", "kitchen"),
              ("living", "dining", "kitchen"), ("living", "bedroom", "hall")),
    "open": (("living", "kitchen"), ("living", "dining"), ("dining", "kitchen")),
    "open and one": (("living", "kitchen", "bedroom"), ("living", "kitchen", "office"),
                     ("living", "kitchen", "bathroom"), ("living", "dining", "bedroom")),
}  # fmt: skip


def draw_units(rng: np.random.Generator) -> list[Unit]:
    """The enclosed units of a home, each with one or more rooms; the lower left corner is near the origin."""
    layout = _pick(rng, LAYOUTS)
    if layout == "single":
        return [_single(rng)]
    uses = COMPANIONS[layout][int(rng.integers(len(COMPANIONS[layout])))]
    areas = [_area(use, rng) for use in uses]
    if layout == "open":
        outline = _shaped(sum(areas), rng, narrowest=3.2)
        return [_zones(outline, uses, areas, rng)]
    if layout == "two":
        first, second = _cut(_rectangle(sum(areas), rng), areas[0] / sum(areas))
        units = [[(uses[0], first)], [(uses[1], second)]]
    elif layout == "corner":
        units = [[(use, part)] for use, part in zip(uses, _corner_cut(areas, rng), strict=True)]
    elif layout == "three":
        first, rest = _cut(_rectangle(sum(areas), rng), areas[0] / sum(areas))
        parts = [first, *_cut(rest, areas[1] / (areas[1] + areas[2]))]
        units = [[(use, part)] for use, part in zip(uses, parts, strict=True)]
    else:
        first, second = _cut(_rectangle(sum(areas), rng), (areas[0] + areas[1]) / sum(areas))
        return [_zones(_inset(first), uses[:2], areas[:2], rng), [(uses[2], _inset(second))]]
    return [[(use, _inset(part)) for use, part in unit] for unit in units]


def _pick(rng: np.random.Generator, weights: dict[str, int]) -> str:
    names = list(weights)
    share = np.array([weights[name] for name in names], float)
    return names[int(rng.choice(len(names), p=share / share.sum()))]


def _area(use: str, rng: np.random.Generator) -> float:
    low, high = AREAS[use]
    return low + (high - low) * float(rng.beta(1.6, 2.4))


def _single(rng: np.random.Generator) -> Unit:
    use = _pick(rng, SINGLE_USES)
    area = max(_area(use, rng), SMALLEST_HOME)
    if use == "living" and rng.random() < 0.2:
        area *= 1.6  # a loft
    return [(use, _shaped(area, rng, narrowest=2.4))]


def _rectangle(area: float, rng: np.random.Generator, longest: float = 1.7) -> shapely.Polygon:
    """A rectangle of the given area whose long side is at most `longest` times the short one."""
    width = np.sqrt(area * rng.uniform(1.0, longest))
    depth = area / width
    if rng.random() < 0.5:
        width, depth = depth, width
    return shapely.box(0, 0, float(width), float(depth))


def _shaped(area: float, rng: np.random.Generator, narrowest: float) -> shapely.Polygon:
    """A room of the given area: a rectangle, an L, one with chamfered corners, or one with an alcove."""
    plain = _rectangle(area, rng)
    kind = rng.choice(["rectangle", "L", "chamfer", "alcove"], p=[0.4, 0.3, 0.15, 0.15])
    width, depth = plain.bounds[2:]
    if kind == "L" and min(width, depth) > 1.45 * narrowest:
        cut_w, cut_d = (side * float(rng.uniform(0.25, 0.45)) for side in (width, depth))
        shape = plain.difference(shapely.box(width - cut_w, depth - cut_d, width, depth))
    elif kind == "chamfer":
        cut = float(rng.uniform(0.6, 1.1))
        shape = plain.difference(shapely.Polygon([(width - cut, depth), (width, depth), (width, depth - cut)]))
    elif kind == "alcove":
        span, reach = width * float(rng.uniform(0.4, 0.6)), float(rng.uniform(0.7, 1.2))
        left = float(rng.uniform(0, 1)) * (width - span)
        left = 0.0 if left < 0.5 else width - span if width - span - left < 0.5 else left
        shape = plain.union(shapely.box(left, depth - 0.001, left + span, depth + reach))
    else:
        shape = plain
    turned = affinity.rotate(shape, 90 * int(rng.integers(4)), origin=(0, 0))
    factor = float(np.sqrt(area / turned.area))
    scaled = affinity.scale(turned, factor, factor, origin=(0, 0))
    return cast(shapely.Polygon, affinity.translate(scaled, -scaled.bounds[0], -scaled.bounds[1]))


def _halves(polygon: shapely.Polygon, along_x: bool, at: float) -> tuple[shapely.Polygon, shapely.Polygon]:
    """The parts on either side of a line across x or y; one of several pieces is a multi-polygon."""
    low_x, low_y, high_x, high_y = polygon.bounds
    first = (low_x, low_y, at, high_y) if along_x else (low_x, low_y, high_x, at)
    second = (at, low_y, high_x, high_y) if along_x else (low_x, at, high_x, high_y)
    parts = (shapely.clip_by_rect(polygon, *first), shapely.clip_by_rect(polygon, *second))
    return cast(tuple[shapely.Polygon, shapely.Polygon], parts)


def _cut(polygon: shapely.Polygon, share: float) -> tuple[shapely.Polygon, shapely.Polygon]:
    """A rectangle cut across its longer side, the first part having `share` of it."""
    low_x, low_y, high_x, high_y = polygon.bounds
    along_x = high_x - low_x >= high_y - low_y
    start, stop = (low_x, high_x) if along_x else (low_y, high_y)
    return _halves(polygon, along_x, start + share * (stop - start))


def _corner_cut(areas: list[float], rng: np.random.Generator) -> tuple[shapely.Polygon, shapely.Polygon]:
    """An L and the rectangle in its corner."""
    whole = _rectangle(sum(areas), rng, longest=1.35)
    width, depth = whole.bounds[2:]
    share = areas[1] / sum(areas)
    part_w = float(np.sqrt(share) * rng.uniform(0.9, 1.1))
    corner = shapely.box(width * (1 - part_w), depth * (1 - share / part_w), width, depth)
    return cast(shapely.Polygon, whole.difference(corner)), corner


def _zones(outline: shapely.Polygon, uses: tuple[str, ...], areas: list[float], rng: np.random.Generator) -> Unit:
    """The outline cut in two by an imagined line, without a wall, so that both parts have one piece."""
    low_x, low_y, high_x, high_y = outline.bounds
    along_x = high_x - low_x >= high_y - low_y
    start, stop = (low_x, high_x) if along_x else (low_y, high_y)
    wanted = areas[0] / sum(areas)
    shares = np.linspace(0.3, 0.7, 81)
    cuts = [_halves(outline, along_x, float(start + s * (stop - start))) for s in shares]
    errors = [abs(a.area / outline.area - wanted) if a.geom_type == b.geom_type == "Polygon" else 9 for a, b in cuts]
    first, second = cuts[int(np.argmin(errors))]
    if rng.random() < 0.5 and max(first.area, second.area) < 1.3 * min(first.area, second.area):
        first, second = second, first
    return [(uses[0], first), (uses[1], second)]


def _inset(polygon: shapely.Polygon) -> shapely.Polygon:
    """The inner outline of a cell whose sides are the middles of its walls."""
    return polygon.buffer(-WALL_THICKNESS / 2, join_style="mitre")
