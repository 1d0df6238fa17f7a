"""Route plans replayed in continuous space: shapely for room and furniture, complex numbers for turns."""

from __future__ import annotations

import cmath
import itertools
import math
import re
from collections.abc import Sequence

import shapely
from shapely.geometry.base import BaseGeometry

from .judge import Judge
from .plain import PlainScene, Solid
from .rows import Asked, mentions
from .solids import footprint

LOW, HIGH = 0.1, 1.5
"""Metres above the floor between which things block a walker."""
RADIUS, GRID = 0.2, 0.05
"""Radius of a walker and the side of the generator's cells, metres."""
REACH = 0.65
"""A leg must end this near to the object that it leads to."""
DOORS = ("door", "door frame", "doorframe", "doorway")
SEAM = 2e-3
"""Metres between outlines that count as touching."""
PASSING, FAN = 0.5, 5
"""Metres from a landmark at which a replay has come upon it; degrees between the headings tried."""
MARGIN = 10.0
"""Degrees that a turn must keep from the boundary between two words."""

_STEP = re.compile(r"\d+\. (?:(Go forward until the )|(\[[^]]*\]))", re.IGNORECASE)
_SECTORS = {"turn left": ((45, 135),), "turn right": ((-135, -45),), "turn back": ((135, 180), (-180, -135))}
_AHEAD = ((-45, 45),)
Path = Sequence[complex]


def route_planning(scene: PlainScene, asked: Asked, judge: Judge) -> None:
    """The answer's turns lead along free legs to the goal; no other option's do."""
    steps = read_steps(scene, asked)
    blanks = sum(step is None for step in steps)
    judge.require(1 <= blanks <= 3, f"{blanks} blanks")
    judge.require(len(asked.options) == (3 if blanks == 1 else 4), f"{len(asked.options)} options, {blanks} blanks")
    plans = {o: [w.strip().lower() for w in o.split(",")] for o in asked.options}
    judge.require(all(len(p) == blanks for p in plans.values()), "an option has another number of turns than blanks")
    judge.require(all(w in _SECTORS for p in plans.values() for w in p), f"unknown turn words in {asked.options}")
    path = [complex(x, y) for x, y in asked.details["polyline"]]
    roles = _roles(scene, asked, steps, judge)
    if roles is None or judge.wrong:
        return
    start, facing, stops = roles
    if not judge.require(len(path) == len(stops) + 1, f"{len(path)} corners for {len(stops)} legs"):
        return
    _check_legs(scene, path, start, stops, judge)
    heading = complex(*facing.centre[:2]) - path[0]
    turns = _turns(path, heading)
    truths = {option: _fits(steps, turns, plan) for option, plan in plans.items()}
    judge.choice(str(asked.answer), dict(truths))
    _check_margins(steps, turns, judge)
    walkable = walkable_plan(scene).buffer(-RADIUS / 2)
    for option, plan in plans.items():
        reaches = _reaches(walkable, steps, path, heading, stops, plan)
        judge.require(reaches == truths[option], f"option {option!r} {'also' if reaches else 'never'} reaches the goal")


def read_steps(scene: PlainScene, asked: Asked) -> list[str | None]:
    """The actions that the text lists: a category to walk to, or None for a blank."""
    found = list(_STEP.finditer(asked.text))
    steps: list[str | None] = []
    for match, after in zip(found, [*(m.start() for m in found[1:]), len(asked.text)], strict=True):
        named = mentions(scene, asked.text[match.end() : after])
        steps.append(None if match.group(2) else named[0])
    return steps


def _roles(
    scene: PlainScene, asked: Asked, steps: list[str | None], judge: Judge
) -> tuple[Solid, Solid, list[Solid]] | None:
    """Start, facing and the ends of the legs, as the text names them; None if it does not fit the row."""
    first = _STEP.search(asked.text)
    named = mentions(scene, asked.text[: first.start() if first else 0])
    stops = [step for step in steps if step is not None]
    if not judge.require(len(named) >= 3 and bool(stops), "text names no start, facing object and goal"):
        return None
    categories = (named[0], named[1], *stops)
    judge.require(stops[-1] == named[2], f"last step leads to {stops[-1]}, the goal is {named[2]}")
    judge.require(all(scene.is_single(c) for c in categories), f"{categories} are not all unique")
    asked_for = tuple(s.category for s in asked.solids(scene))
    judge.require(categories == asked_for, f"text names {categories}, row {asked_for}")
    return scene.of(named[0])[0], scene.of(named[1])[0], [scene.of(c)[0] for c in stops]


def walkable_plan(scene: PlainScene) -> BaseGeometry:
    """The floor that furniture leaves free: outlines, joined by doorways and doors, which all stand open."""
    doors = [footprint(s) for s in scene.solids if s.category in DOORS]
    pieces = [*(shapely.Polygon(o) for _, o in scene.outlines), *doors]
    floor = shapely.union_all([p.buffer(SEAM, join_style="mitre") for p in pieces])
    blocking = []
    for solid in scene.solids:
        if solid.category in DOORS:
            continue
        height = abs(solid.axes[:, 2]) @ solid.size / 2
        if solid.centre[2] - height < HIGH and solid.centre[2] + height > LOW:
            blocking.append(footprint(solid))
    return floor.difference(shapely.union_all(blocking))


def _check_legs(scene: PlainScene, path: Path, start: Solid, stops: list[Solid], judge: Judge) -> None:
    free = walkable_plan(scene)
    roomy = free.buffer(-(RADIUS - GRID * math.sqrt(2)))
    for a, b in itertools.pairwise(path):
        leg = shapely.LineString([(a.real, a.imag), (b.real, b.imag)])
        if judge.require(bool(free.covers(leg)), "a leg leaves the room or crosses furniture"):
            judge.require(bool(roomy.covers(leg)), "a leg passes too close to a wall or furniture")
        judge.require(leg.length >= 0.5, f"a leg is {leg.length:.2f} m long")
    for point, solid in zip(path, [start, *stops], strict=True):
        gap = footprint(solid).distance(shapely.Point(point.real, point.imag))
        judge.require(gap <= REACH, f"stops {gap:.2f} m from {solid.category}")


def _turns(path: Path, heading: complex) -> list[float]:
    """Degrees to the left by which the walker turns before each leg."""
    turns = []
    for a, b in itertools.pairwise(path):
        turns.append(math.degrees(cmath.phase((b - a) / heading)))
        heading = b - a
    return turns


def _before_legs(steps: list[str | None]) -> list[bool]:
    """For every leg whether a blank stands before it."""
    return [i > 0 and steps[i - 1] is None for i, step in enumerate(steps) if step is not None]


def _words(steps: list[str | None], plan: Sequence[str]) -> list[str | None]:
    """The turn word before each leg, None for straight on."""
    left = list(plan)
    return [left.pop(0) if blank else None for blank in _before_legs(steps)]


def _sectors(word: str | None) -> Sequence[tuple[float, float]]:
    return _AHEAD if word is None else _SECTORS[word]


def _fits(steps: list[str | None], turns: list[float], plan: Sequence[str]) -> bool:
    """Whether every turn lies in the sector of its word."""
    words = _words(steps, plan)
    return all(
        any(low <= turn <= high for low, high in _sectors(word)) for word, turn in zip(words, turns, strict=True)
    )


def _check_margins(steps: list[str | None], turns: list[float], judge: Judge) -> None:
    for turn, blank in zip(turns, _before_legs(steps), strict=True):
        nearest = min(abs(abs(turn) - 45), abs(abs(turn) - 135))
        judge.at_least(nearest, MARGIN, 1e-6, f"distance of a turn of {turn:.1f} degrees from a boundary")
        judge.require(blank or abs(turn) < 45, f"a turn of {turn:.1f} degrees has no step")


def _reaches(
    free: BaseGeometry,
    steps: list[str | None],
    path: Path,
    heading: complex,
    stops: list[Solid],
    plan: Sequence[str],
) -> bool:
    """Whether somebody who follows the words from the corners of the path comes upon each landmark straight ahead."""
    for i, (word, stop) in enumerate(zip(_words(steps, plan), stops, strict=True)):
        planned = (path[i + 1] - path[i]) / heading
        angles = [math.degrees(cmath.phase(planned)), *range(-180, 180, FAN)]
        tried = [
            a
            for a in angles
            if any(low + MARGIN * (low > -180) <= a <= high - MARGIN * (high < 180) for low, high in _sectors(word))
        ]
        target = footprint(stop)
        if not any(_arrives(free, path[i], heading * cmath.rect(1, math.radians(a)), target) for a in tried):
            return False
        heading = path[i + 1] - path[i]
    return True


def _arrives(free: BaseGeometry, start: complex, direction: complex, target: shapely.Polygon) -> bool:
    """Whether going straight until something is in the way comes within reach of the target."""
    far = start + direction / abs(direction) * 50
    ray = shapely.LineString([(start.real, start.imag), (far.real, far.imag)])
    open_part = ray.intersection(free)
    here = shapely.Point(start.real, start.imag)
    pieces = [g for g in getattr(open_part, "geoms", [open_part]) if g.distance(here) < 1e-6]
    return bool(pieces) and target.distance(pieces[0]) <= PASSING
