"""Routes of a scene that a question may ask about, and why others may not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vlm3r.qa.routes.grid import FloorPlan, Indices, Mask
from vlm3r.qa.routes.legs import Chains, directions_between, facing_objects, find_landmarks, grow_chains
from vlm3r.qa.routes.path import ShortestWalks, walk_length
from vlm3r.qa.routes.replay import Instructions, replay_problem
from vlm3r.qa.routes.rules import RouteRules
from vlm3r.qa.routes.turns import TURNS, turn_angles, turn_words
from vlm3r.scenes.schema import Array, Scene


@dataclass(frozen=True, eq=False)
class Route:
    """A walk with the turns that it needs. Objects are positions in `Landmarks.objects`."""

    start: int
    facing: int
    stops: tuple[int, ...]
    """Object that ends each leg, the goal last."""
    points: Array
    """(leg + 1, 2) where one stands, start included, metres."""
    angles: tuple[float, ...]
    """Degrees to the left at each blank."""
    words: tuple[int, ...]
    """Numbers of `TURNS`, one per blank."""

    @property
    def turn_first(self) -> bool:
        """Whether the walker does not face the first landmark at the start."""
        return self.facing != self.stops[0]

    @property
    def goal(self) -> int:
        """Where the walk ends."""
        return self.stops[-1]

    @property
    def pattern(self) -> tuple[bool, int]:
        """What two routes share whose words are comparable: a turn before the first leg, and the number of blanks."""
        return self.turn_first, len(self.words)

    @property
    def lengths(self) -> Array:
        """Metres of each leg, (leg,)."""
        return np.linalg.norm(np.diff(self.points, axis=0), axis=1)


@dataclass(frozen=True)
class Verdict:
    """What the checks of a route found."""

    problem: str | None
    """Why it must not be asked, or None."""
    shortest: float | None = None
    """Metres of the shortest walk between its ends, where it was computed."""


class RouteFinder:
    """Routes of one scene between given objects.

    Args:
        scene: any scene.
        objects: positions in `Scene.objects` of those that may be named; each must be the only one of its category.
        rules: what counts as a walk.
    """

    def __init__(self, scene: Scene, objects: Indices, rules: RouteRules) -> None:
        self.rules = rules
        self.plan = FloorPlan(scene, rules)
        self.objects = objects[self.plan.low_enough[objects]] if len(objects) else objects
        self.usable = self.plan.area is not None and len(self.objects) >= 2
        """Whether there is any floor to walk on and anywhere to go."""
        self.floor = None if self.plan.area is None else self.plan.area.source
        """Where the knowledge of the floor comes from."""
        if not self.usable:
            return
        self.grid = self.plan.grid(self.objects, spare=rules.cell)
        self._moved = self.plan.grid(self.objects, shift=0.5)
        self.marks = find_landmarks(self.plan, self.grid, self.objects)
        self._visible = facing_objects(self.grid, self.marks, rules)
        self._walks: ShortestWalks | None = None

    def routes(self, rng: np.random.Generator) -> list[Route]:
        """Routes whose own geometry is clear, in random order, not yet checked for other readings."""
        if not self.usable:
            return []
        found = []
        for chains in grow_chains(self.grid, self.marks, self.rules, rng):
            for row in range(len(chains)):
                found += self._with_headings(chains, row, rng)
        return [found[i] for i in rng.permutation(len(found))]

    def check(self, route: Route) -> Verdict:
        """Whether the route's question has one answer however one reads it."""
        if self._depends_on_place(route):
            return Verdict("the turns depend on where one stands")
        text = Instructions(
            start=route.points[0],
            heading=directions_between(route.points[0], self.marks.centres[route.facing]),
            targets=route.stops,
            turn_first=route.turn_first,
        )
        if problem := replay_problem(self.plan, self._moved, text, route.words):
            return Verdict(problem)
        shortest = self._shortest(route)
        if shortest is None:
            return Verdict("no walk joins its ends")
        if route.lengths.sum() > self.rules.most_detour * shortest:
            return Verdict("a detour", shortest)
        return Verdict(None, shortest)

    def _with_headings(self, chains: Chains, row: int, rng: np.random.Generator) -> Iterator[Route]:
        """The chain with the first landmark ahead, and once for each word that some other object ahead gives."""
        place, stops, points = int(chains.starts[row]), chains.stops[row], chains.points[row]
        start = int(self.marks.owner[place])
        legs = np.diff(points, axis=0)
        joints = turn_angles(legs[:-1], legs[1:])
        words = turn_words(joints, self.rules)
        if 1 <= len(joints) <= self.rules.most_blanks and self._visible[place, stops[0]]:
            yield _route(start, int(stops[0]), stops, points, joints, words)
        if len(joints) + 1 > self.rules.most_blanks:
            return
        ahead = self._other_objects(place, start, stops)
        first = turn_angles(directions_between(points[0], self.marks.centres[ahead]), legs[:1])
        firsts = turn_words(first, self.rules, self.rules.margin)
        for word in range(len(TURNS)):
            if len(able := np.flatnonzero(firsts == word)):
                chosen = able[int(rng.integers(len(able)))]
                yield _route(
                    start,
                    int(ahead[chosen]),
                    stops,
                    points,
                    np.concatenate([first[chosen, None], joints]),
                    np.concatenate([firsts[chosen, None], words]),
                )

    def _other_objects(self, place: int, start: int, stops: Indices) -> Indices:
        """Landmarks that one can look at from a place and that are told apart from all that the route names."""
        able: Mask = self._visible[place] & self.marks.apart[start]
        for stop in stops:
            able = able & self.marks.apart[stop]
        return np.flatnonzero(able)

    def _depends_on_place(self, route: Route) -> bool:
        """Whether the words change for another place by the start, or between the objects' middles."""
        centres = self.marks.centres
        stops = np.array(route.stops)
        if route.words != _words(centres[route.start], centres[route.facing], centres[stops], route, self.rules):
            return True
        for place in self.marks.places[self.marks.owner == route.start]:
            if route.words != _words(place, centres[route.facing], route.points[1:], route, self.rules):
                return True
        return False

    def _shortest(self, route: Route) -> float | None:
        """Metres of the shortest walk between the ends; None where the grid has none."""
        if self._walks is None:
            self._walks = ShortestWalks(self._moved)
        walk = self._walks.walk(route.points[0], route.points[-1])
        return None if walk is None else min(walk_length(walk), float(route.lengths.sum()))


def _route(start: int, facing: int, stops: Indices, points: Array, angles: Array, words: Indices) -> Route:
    return Route(start, facing, tuple(stops.tolist()), points, tuple(angles.tolist()), tuple(words.tolist()))


def _words(start: Array, facing: Array, stops: Array, route: Route, rules: RouteRules) -> tuple[int, ...]:
    """The turns of a walk through the same objects from other points; `stops` (leg, 2)."""
    legs = np.diff(np.concatenate([start[None], stops]), axis=0)
    angles = turn_angles(legs[:-1], legs[1:])
    if route.turn_first:
        angles = np.concatenate([turn_angles(facing - start, legs[0])[None], angles])
    return tuple(turn_words(angles, rules).tolist())
