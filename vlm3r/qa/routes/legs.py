"""Chains of straight legs from object to object."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vlm3r.qa.routes.grid import FloorPlan, Grid, Indices, Mask
from vlm3r.qa.routes.rules import RouteRules
from vlm3r.qa.routes.turns import BACK, NONE, turn_angles, turn_words
from vlm3r.qa.sampling import pick
from vlm3r.scenes.schema import Array

CHAINS = 160
"""Chains of each number of legs that are kept and prolonged; more are thinned at random."""


@dataclass(frozen=True, eq=False)
class Chains:
    """Walks of the same number of legs. Objects are positions in `Landmarks.objects`."""

    starts: Indices
    """(chain,) row in `Landmarks.places`."""
    stops: Indices
    """(chain, leg) object that ends each leg."""
    points: Array
    """(chain, leg + 1, 2) where one stands, start included."""

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: Indices) -> Chains:
        return Chains(self.starts[rows], self.stops[rows], self.points[rows])


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The objects that routes may name and the places beside them."""

    objects: Indices
    """(landmark,) positions in `Scene.objects`; all else here counts by positions in this."""
    centres: Array
    """(landmark, 2)"""
    apart: Mask
    """(landmark, landmark) far enough from each other to be told apart."""
    owner: Indices = field(default_factory=lambda: np.zeros(0, np.intp))
    """(place,) landmark at which each place lies."""
    places: Array = field(default_factory=lambda: np.zeros((0, 2)))
    """(place, 2) where one can stand."""


def find_landmarks(plan: FloorPlan, grid: Grid, objects: Indices) -> Landmarks:
    """The landmarks with their places: out from the middle of each side, the first free point within reach."""
    rules = plan.rules
    centres = plan.footprints.centres[objects]
    apart = plan.footprints.gaps()[np.ix_(objects, objects)] >= rules.landmark_gap
    sides = [plan.footprints.sides(o) for o in objects.tolist()]
    owner = np.repeat(np.arange(len(objects)), [len(s) for s in sides])
    if not len(owner):
        return Landmarks(objects, centres, apart)
    directions = np.concatenate(sides)
    across = np.linalg.norm(np.ptp(plan.footprints.corners[objects], axis=1), axis=1).max()
    steps = np.arange(0, across / 2 + rules.reach + grid.cell, grid.cell / 2)
    points = centres[owner, None] + steps[:, None] * directions[:, None]  # (place, step, 2)
    rows, columns = grid.cells(points)
    possible = grid.regions[owner[:, None], rows, columns] & grid.free[rows, columns]
    found = np.flatnonzero(possible.any(1))
    return Landmarks(objects, centres, apart, owner[found], points[found, possible.argmax(1)[found]])


def directions_between(start: Array, end: Array) -> Array:
    """Unit vectors (..., 2) from one point to the other; zero where they coincide."""
    offset = end - start
    return offset / np.maximum(np.linalg.norm(offset, axis=-1, keepdims=True), 1e-9)


def facing_objects(grid: Grid, marks: Landmarks, rules: RouteRules) -> Mask:
    """Whether one can look from each place at each landmark with no wall between, (place, landmark)."""
    place, mark = np.nonzero(marks.apart[marks.owner])
    offset = marks.centres[mark] - marks.places[place]
    near = np.linalg.norm(offset, axis=1) <= rules.longest_leg
    place, mark = place[near], mark[near]
    ahead = directions_between(marks.places[place], marks.centres[mark])
    distance, _ = grid.march(grid.inside, marks.places[place], ahead, mark, rules.longest_leg)
    visible = np.zeros((len(marks.places), len(marks.objects)), bool)
    visible[place, mark] = np.isfinite(distance)
    return visible


def grow_chains(grid: Grid, marks: Landmarks, rules: RouteRules, rng: np.random.Generator) -> list[Chains]:
    """Valid chains of 1, 2, ... legs. Each leg heads for its object's middle and stops within reach of it.

    Legs have the permitted length and are free of obstacles, joints are clear turns to the left or right, and no object
    comes twice.
    """
    count = len(marks.places)
    level = Chains(np.arange(count), np.zeros((count, 0), np.intp), marks.places[:, None])
    levels: list[Chains] = []
    while len(levels) < rules.most_legs and len(level):
        level = _prolonged(grid, marks, rules, level)
        level = level[np.sort(pick(rng, len(level), CHAINS))]
        levels.append(level)
    return levels


def _prolonged(grid: Grid, marks: Landmarks, rules: RouteRules, chains: Chains) -> Chains:
    """Every valid chain with one leg more."""
    allowed = marks.apart[marks.owner[chains.starts]]  # (chain, landmark)
    for stop in chains.stops.T:
        allowed = allowed & marks.apart[stop]
    at = chains.points[:, -1]
    far = np.linalg.norm(marks.centres - at[:, None], axis=-1)
    allowed = allowed & (far >= rules.least_leg)
    ahead = directions_between(at[:, None], marks.centres[None])
    if chains.stops.shape[1]:
        before = directions_between(chains.points[:, -2], at)
        words = turn_words(turn_angles(before[:, None], ahead), rules, rules.margin)
        allowed = allowed & (words != NONE) & (words != BACK)
    chain, mark = np.nonzero(allowed)
    ahead = ahead[chain, mark]
    length, _ = grid.march(grid.free, at[chain], ahead, mark, rules.longest_leg + grid.cell)
    good = (length >= rules.least_leg) & (length <= rules.longest_leg)
    chain, mark, ahead, length = chain[good], mark[good], ahead[good], length[good]
    return Chains(
        chains.starts[chain],
        np.concatenate([chains.stops[chain], mark[:, None]], axis=1),
        np.concatenate([chains.points[chain], (at[chain] + length[:, None] * ahead)[:, None]], axis=1),
    )
