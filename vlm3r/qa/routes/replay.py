"""Walking by the words of a question, to see where they lead.

Nothing here knows how a route was found: a walker has a grid, a place, a heading and instructions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from vlm3r.qa.routes.grid import FloorPlan, Grid, Indices, Mask
from vlm3r.qa.routes.rules import RouteRules
from vlm3r.qa.routes.turns import BACK, LEFT, NONE, RIGHT, TURNS, turn_angles, turn_range, turn_words, turned
from vlm3r.scenes.schema import Array

PLAIN_TURNS: Final = {BACK: 180.0, LEFT: 90.0, RIGHT: -90.0, NONE: 0.0}
"""Degrees by which one turns who does not see the next landmark on that side."""


@dataclass(frozen=True, eq=False)
class Instructions:
    """A question in numbers: walk until a landmark, several times, with a turn before each leg."""

    start: Array
    """(2,) metres."""
    heading: Array
    """(2,) unit direction in which the walker looks at the start."""
    targets: tuple[int, ...]
    """Landmark that ends each leg, a position in `Grid.landmarks`."""
    turn_first: bool
    """Whether there is a blank before the first leg; there is one before every other."""

    @property
    def blanks(self) -> int:
        """Number of turns to be filled in."""
        return len(self.targets) - (not self.turn_first)


@dataclass(frozen=True, eq=False)
class Walkers:
    """Several walkers at the same point of the instructions."""

    at: Array
    """(walker, 2)"""
    heading: Array
    """(walker, 2)"""
    on_route: Mask
    """(walker,) whether every leg so far ended at its landmark, not at an obstacle."""


def replay_problem(plan: FloorPlan, grid: Grid, text: Instructions, answer: Sequence[int]) -> str | None:
    """Why the question must not be asked with this answer (numbers of `TURNS`), or None.

    Only the right words may lead to the goal, whether or not a literal walker met the landmarks on the way. And from
    where the right walk stands at a blank, no heading that a wrong word allows may point at the next landmark, be there
    furniture between or not.
    """
    every = np.array(list(product(range(len(TURNS)), repeat=text.blanks)), np.intp)
    right = (every == np.array(answer, np.intp)).all(1)
    walkers = _all_legs(plan, grid, text, every)
    goal = int(grid.landmarks[text.targets[-1]])
    arrived = plan.footprints.distances(goal, walkers.at[:, 0], walkers.at[:, 1]) <= plan.rules.end
    if not (walkers.on_route & arrived)[right].all():
        return "the answer does not lead to the goal"
    if arrived[~right].any():
        return "other turns lead to the goal"
    if _other_reading(plan, grid, text, answer):
        return "another turn points at a landmark"
    return None


def _all_legs(plan: FloorPlan, grid: Grid, text: Instructions, words: Indices) -> Walkers:
    """One walker for each row of words (walker, blank), after the last leg."""
    walkers = _at_start(text, len(words))
    for leg in range(len(text.targets)):
        walkers = _leg(plan, grid, text, leg, walkers, words)
    return walkers


def _at_start(text: Instructions, count: int) -> Walkers:
    return Walkers(np.tile(text.start, (count, 1)), np.tile(text.heading, (count, 1)), np.ones(count, bool))


def _leg(plan: FloorPlan, grid: Grid, text: Instructions, leg: int, walkers: Walkers, words: Indices) -> Walkers:
    """The walkers after one leg.

    Each heads for the landmark if the word allows it, and turns by exactly a quarter or a half otherwise; then it walks
    until the landmark or, if it does not come to it, as far as it can.
    """
    blank = leg - (not text.turn_first)
    word = words[:, blank] if blank >= 0 else np.full(len(words), NONE)
    target = text.targets[leg]
    offset = plan.footprints.centres[grid.landmarks[target]] - walkers.at
    towards = offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-9)
    aimed = turn_words(turn_angles(walkers.heading, towards), plan.rules) == word
    plain = turned(walkers.heading, np.array([PLAIN_TURNS[w] for w in word.tolist()]))
    heading = np.where(aimed[:, None], towards, plain)
    reached, open_way = grid.march(
        grid.free, walkers.at, heading, np.full(len(words), target), 2 * plan.rules.longest_leg
    )
    met = np.isfinite(reached)
    at = walkers.at + np.where(met, reached, open_way)[:, None] * heading
    return Walkers(at, heading, walkers.on_route & met)


def _other_reading(plan: FloorPlan, grid: Grid, text: Instructions, answer: Sequence[int]) -> bool:
    """Whether, at any blank of the right walk, some heading of a wrong word points at the next landmark."""
    walkers = _at_start(text, 1)
    for leg, target in enumerate(text.targets):
        blank = leg - (not text.turn_first)
        if blank >= 0:
            fan = np.concatenate([_fan(word, plan.rules) for word in PLAIN_TURNS if word not in (NONE, answer[blank])])
            tried = turned(walkers.heading, fan)
            starts, targets = np.tile(walkers.at, (len(tried), 1)), np.full(len(tried), target)
            if np.isfinite(grid.march(grid.inside, starts, tried, targets, plan.rules.longest_leg + 1)[0]).any():
                return True
        walkers = _leg(plan, grid, text, leg, walkers, np.array([answer], np.intp))
    return False


def _fan(word: int, rules: RouteRules) -> Array:
    """Turns that a word allows, in degrees."""
    low, high = turn_range(word, rules)
    return np.linspace(low, high, int(np.ceil((high - low) / rules.fan)) + 1)
