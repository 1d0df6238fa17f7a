"""The room-centred tasks, decided without the project's geometry."""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
import shapely
import trimesh
from shapely import affinity

from .judge import Judge
from .plain import Array, PlainScene
from .rows import Asked
from .solids import TOLERANCE, category_distance, object_distance, surface_points

EXACT = 1e-6
MARGIN = 10.0
"""Degrees that a direction must keep from a boundary."""
_FAR = 1e4
_ANGULAR = 1e-3
"""Degrees within which a direction cannot be decided."""

_SECTORS = {
    "v1": {"front-left": (0, 90), "back-left": (90, 180), "back-right": (180, 270), "front-right": (270, 360)},
    "v2": {"left": (0, 135), "back": (135, 225), "right": (225, 360)},
}
_SECTORS["v3"] = _SECTORS["v2"]


def object_counting(scene: PlainScene, asked: Asked, judge: Judge) -> None:
    """The number of different instances of the category, all of which have to be asked objects."""
    categories = {s.category for s in asked.solids(scene)}
    if not judge.require(len(categories) == 1, f"counts several categories {sorted(categories)}"):
        return
    (category,) = categories
    known = {s.key for s in scene.of(category)}
    judge.require(asked.answer == len(known), f"{len(known)} instances, answered {asked.answer}")
    judge.require(scene.counts[category] == len(known), f"an instance of {category} has no box")
    judge.require(set(asked.objects) == known, f"asked objects {sorted(asked.objects)}, instances {sorted(known)}")
    judge.require(len(known) >= 2, "a single object is counted")


def object_size_estimation(scene: PlainScene, asked: Asked, judge: Judge) -> None:
    """The longest edge of the box that trimesh fits around points of the object's surface."""
    (solid,) = asked.solids(scene)
    _, extents = trimesh.bounds.oriented_bounds(surface_points(solid, 3))
    judge.number(asked.answer, 100 * float(max(extents)), 0, 100 * EXACT, "longest edge in cm")


def room_size_estimation(scene: PlainScene, asked: Asked, judge: Judge) -> None:
    """The area of the union of the outlines, else the area that the file states."""
    area = scene.area if scene.rooms is None else scene.rooms.area
    if judge.require(area is not None, "no area known"):
        judge.number(asked.answer, float(area or 0), 1, 1e-5, "floor area")


def object_abs_distance(scene: PlainScene, asked: Asked, judge: Judge) -> None:
    """The distance between two boxes, at least 0.2 m after rounding."""
    a, b = asked.solids(scene)
    distance = object_distance(scene, a, b)
    judge.number(asked.answer, distance, 1, TOLERANCE, f"distance {a.category} - {b.category}")
    judge.at_least(distance, 0.15, TOLERANCE, "distance")


def object_rel_distance(scene: PlainScene, asked: Asked, judge: Judge) -> None:
    """The nearest category to the primary one; all choices apart by more than the limit."""
    primary = asked.solids(scene)[0].category
    judge.require(scene.is_single(primary), f"{primary} is not unique")
    judge.require(len(asked.options) == {"1": 4, "2": 3, "3": 2}[asked.kind[-1]], "wrong number of options")
    unknown = [o for o in asked.options if not scene.of(o)]
    if not judge.require(not unknown and primary not in asked.options, f"options {asked.options} of {primary}"):
        return
    distances = {o: category_distance(scene, primary, o) for o in asked.options}
    least_gap = 0.30 if (scene.area or 0) > 40 else 0.15
    pairs = itertools.combinations(distances.values(), 2)
    judge.at_least(min(distances.values()), 0.15, TOLERANCE, f"smallest distance to {primary}")
    judge.at_least(min(abs(x - y) for x, y in pairs), least_gap, TOLERANCE, "gap between choices")
    _require_nearest_seen(scene, primary, asked.options, judge)
    for option in asked.options:
        complete = len(scene.of(option)) == scene.counts[option]
        judge.require(complete, f"an instance of {option} has no box")
    nearest = min(distances.values())
    truths = {o: None if TOLERANCE > d - nearest > 0 else bool(d == nearest) for o, d in distances.items()}
    judge.choice(str(asked.answer), truths)


def _require_nearest_seen(scene: PlainScene, primary: str, options: tuple[str, ...], judge: Judge) -> None:
    """The instance that decides a category's distance must be in some frame."""
    if not scene.has_sightings:
        return
    seen = {key for number in scene.numbers for key in scene.visible(scene.seen(number))}
    (one,) = scene.of(primary)
    for option in options:
        nearest = min(scene.of(option), key=lambda s: object_distance(scene, one, s))
        judge.require(nearest.key in seen, f"the nearest {option} {nearest.key} is not to be seen in the frames")


def object_rel_direction(scene: PlainScene, asked: Asked, judge: Judge) -> None:
    """The wedge of the plan, turned so that the facing direction is +y, in which the queried object lies."""
    standing, facing, queried = asked.solids(scene)
    for a, b in itertools.combinations((standing, facing, queried), 2):
        distance = object_distance(scene, a, b)
        judge.at_least(distance, 0.30, TOLERANCE, f"distance {a.category} - {b.category}")
        judge.at_least(-distance, -5.0, TOLERANCE, f"negative distance {a.category} - {b.category}")
    version = asked.kind[-2:]
    sectors = _SECTORS[version]
    words = set(sectors) - ({"back"} if version == "v3" else set())
    judge.require({o.lower() for o in asked.options} == words, f"options are {asked.options}")
    corners = surface_points(queried, 2)[:, :2]
    plan = _facing_up(np.vstack((queried.centre[:2], corners)) - standing.centre[:2], (facing.centre - standing.centre))
    place, corner_places = shapely.Point(plan[0]), shapely.points(plan[1:])
    truths: dict[str, bool | None] = {}
    for option in asked.options:
        wedge = sectors.get(option.lower())
        truths[option] = wedge is not None and bool(_wedge(*wedge).covers(place))
    judge.choice(str(asked.answer), truths)
    wedge = sectors.get(str(asked.answer).lower())
    if wedge is None:
        return
    inner = (wedge[0] + MARGIN, wedge[1] - MARGIN)
    if not _wedge(inner[0] + _ANGULAR, inner[1] - _ANGULAR).covers(place):
        loose = _wedge(inner[0] - _ANGULAR, inner[1] + _ANGULAR).covers(place)
        (judge.undecided if loose else judge.wrong).append("within 10 degrees of a boundary")
    stray = sum(not _wedge(wedge[0] - EXACT, wedge[1] + EXACT).covers(c) for c in corner_places)
    judge.require(stray <= 2, f"{stray} corners lie in another sector")


def _facing_up(offsets: Array, facing: Array) -> Array:
    """Plan offsets (n, 2) turned so that the facing direction points to +y."""
    forward = facing[:2] / np.hypot(*facing[:2])
    right = np.array([forward[1], -forward[0]])
    return offsets @ np.stack((right, forward), axis=1)


@lru_cache(maxsize=64)
def _wedge(start: float, stop: float) -> shapely.Polygon:
    """All points whose direction lies `start`..`stop` degrees counter-clockwise from +y."""
    steps = np.linspace(start, stop, 8)
    ray = shapely.Point(0, _FAR)
    rim = [affinity.rotate(ray, float(angle), origin=shapely.Point(0, 0)).coords[0] for angle in steps]
    return shapely.Polygon([(0, 0), *rim])


def obj_appearance_order(scene: PlainScene, asked: Asked, judge: Judge) -> None:
    """The order of first sightings, from masks where the frame has one, else from the listed sightings."""
    orders = [tuple(part.strip() for part in o.split(",")) for o in asked.options]
    judge.require(len(orders) == 4 and len({frozenset(o) for o in orders}) == 1, "options are no reorderings")
    categories = sorted(set(orders[0]))
    judge.require(len(categories) == 4, f"{len(categories)} categories")
    first = {c: first_seen(scene, c) for c in categories}
    if not judge.require(None not in first.values(), f"never seen: {[c for c, t in first.items() if t is None]}"):
        return
    times = {c: t for c, t in first.items() if t is not None}
    ordered = sorted(times.values())
    gap = min(b - a for a, b in itertools.pairwise(ordered))
    judge.require(gap > 1.0 - 1e-9, f"first sightings are only {gap:.2f} s apart")
    truths = {
        option: all(times[a] < times[b] for a, b in itertools.pairwise(order))
        for option, order in zip(asked.options, orders, strict=True)
    }
    judge.choice(str(asked.answer), dict(truths))
    sampled = [first_seen(scene, c.strip(), in_sampled=True) or 0.0 for c in str(asked.answer).split(",")]
    if any(a >= b for a, b in itertools.pairwise(sampled)):
        judge.undecided.append("the sampled frames do not show this order")


def first_seen(scene: PlainScene, category: str, in_sampled: bool = False) -> float | None:
    """Seconds at which any instance of a category first shows enough pixels, in any frame or in a sampled one."""
    keys = {s.key for s in scene.of(category)}
    for view in map(scene.seen, scene.numbers) if in_sampled else scene.views:
        visible = scene.visible(view)
        if any(visible.get(key, 0) >= scene.least_pixels for key in keys):
            return scene.seconds(view)
    return None
