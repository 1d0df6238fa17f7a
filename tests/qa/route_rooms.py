"""Rooms with walls and furniture for the tests of route planning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.invented_scenes import make_box, make_scene
from vlm3r.qa.routes.routes import Route, RouteFinder
from vlm3r.qa.routes.rules import RouteRules
from vlm3r.qa.routes.turns import TURNS
from vlm3r.scenes.graph import SceneGraph
from vlm3r.scenes.schema import OrientedBox, Room, RoomOutline, Scene

RULES = RouteRules()
HEIGHTS = {"rug": 0.02, "lamp": 1.5, "shelf": 1.9}


def rectangle(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def block(x: float, y: float, width: float = 0.4, depth: float = 0.4, low: float = 0.0, high: float = 0.8, turn=0.0):
    """A box by its middle in plan, its extent, its heights and its turn about z in degrees."""
    return make_box((x, y, (low + high) / 2), (width, depth, high - low), turn)


def room(outlines, **things: OrientedBox | list[OrientedBox]) -> Scene:
    """A scene with the given outlines (one, or several) and things by category (underscores stand for spaces)."""
    if isinstance(outlines[0][0], float | int):
        outlines = [outlines]
    objects = []
    for name, boxes in things.items():
        objects += [(name.replace("_", " "), box) for box in (boxes if isinstance(boxes, list) else [boxes])]
    shape = Room(area=20.0, outlines=tuple(RoomOutline("", tuple(o)) for o in outlines))
    return replace(make_scene(objects), room=shape)


def furnished(seed: int) -> Scene:
    """A rectangular or L-shaped room with a dozen single things along the walls and some inside, and two chairs."""
    rng = np.random.default_rng([19, seed])
    width, depth = rng.uniform(4.5, 8), rng.uniform(4, 6)
    outline = rectangle(0, 0, width, depth)
    if rng.random() < 0.5:
        x, y = 0.6 * width, 0.6 * depth
        outline = [(0, 0), (width, 0), (width, y), (x, y), (x, depth), (0, depth)]
    names = ["sofa", "desk", "shelf", "plant", "lamp", "bin", "fan", "stool", "table", "piano", "crate", "chair"]
    taken: list[tuple[float, float, float]] = []
    things: dict[str, list[OrientedBox]] = {}
    for name in [*names, "chair"]:
        for _ in range(20):
            size = rng.uniform(0.3, 1.2), rng.uniform(0.3, 0.7)
            reach = float(np.hypot(*size)) / 2
            x, y = rng.uniform(reach, width - reach), rng.uniform(reach, depth - reach)
            if name != "table":  # along a wall
                x, y = ((reach, y), (width - reach, y), (x, reach), (x, 0.6 * depth - reach))[int(rng.integers(4))]
            cut = len(outline) == 6 and x > 0.6 * width - reach and y > 0.6 * depth - reach
            if not cut and all(np.hypot(x - a, y - b) > reach + r for a, b, r in taken):
                taken.append((x, y, reach))
                turn = float(rng.choice([0, 90, 180])) if name != "stool" else float(rng.uniform(0, 360))
                box = block(x, y, *size, high=HEIGHTS.get(name, 0.8), turn=turn)
                things.setdefault(name, []).append(box)
                break
    return room(outline, **things)  # type: ignore[arg-type]


def finder(scene: Scene, rules: RouteRules = RULES) -> RouteFinder:
    return RouteFinder(scene, SceneGraph(scene).singles, rules)


def named(scene: Scene, found: RouteFinder, route: Route) -> tuple[str, ...]:
    """Start, facing and stops by category."""
    return tuple(scene.objects[found.objects[i]].category for i in (route.start, route.facing, *route.stops))


def verdicts(scene: Scene, rules: RouteRules = RULES, seed: int = 0, most: int = 400) -> dict[tuple[str, ...], set]:
    """(start, facing, stops) -> {(turns, problem)} over the starting places, for the first `most` routes."""
    found = finder(scene, rules)
    result: dict[tuple[str, ...], set] = {}
    for route in found.routes(np.random.default_rng(seed))[:most]:
        turns = ", ".join(TURNS[w] for w in route.words)
        result.setdefault(named(scene, found, route), set()).add((turns, found.check(route).problem))
    return result


def answers(scene: Scene, rules: RouteRules = RULES, seed: int = 0, most: int = 400) -> dict[tuple[str, ...], str]:
    """(start, facing, stops) -> turns, of the routes that may be asked; a route with two answers fails."""
    result = {}
    for key, found in verdicts(scene, rules, seed, most).items():
        turns = {turn for turn, problem in found if problem is None}
        assert len(turns) <= 1, f"{key} has the answers {turns}"
        if turns:
            result[key] = turns.pop()
    return result
