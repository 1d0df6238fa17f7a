"""Which routes to ask about, and which wrong answers to offer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from vlm3r.qa.routes.routes import Route, RouteFinder, Verdict
from vlm3r.qa.routes.turns import BACK, LEFT, RIGHT, TURNS

ONE_BLANK, MORE_BLANKS = 3, 4
"""Numbers of options."""
LONE_JOINT = (False, 1)
"""Pattern of a single turn on the way. One never turns back there, so two of its three options are plausible."""
LONE_JOINT_COST = 2
"""Such a route counts as this many when patterns are made equally frequent."""
FAILURE_COST = 0.1
"""The same for a route that fails the checks, so that no time is lost on patterns that a scene hardly has."""


class Tally:
    """How often patterns, sequences of turns, turns and goals were used."""

    def __init__(self) -> None:
        self._patterns: defaultdict[tuple[bool, int], float] = defaultdict(float)
        self._sequences: Counter[tuple[bool, tuple[int, ...]]] = Counter()
        self._words = np.zeros(len(TURNS))
        self._goals: Counter[int] = Counter()

    def most_wanted(self, routes: Sequence[Route]) -> int:
        """Position of the first route with the least used pattern, then sequence; then evening out the turns most."""
        left = range(len(routes))
        for uses in (
            lambda route: self._patterns[route.pattern],
            lambda route: self._sequences[route.turn_first, route.words],
            self._spread_with,
        ):
            values = [uses(routes[i]) for i in left]
            least = min(values)
            left = [i for i, value in zip(left, values, strict=True) if value == least]
        return left[0]

    def _spread_with(self, route: Route) -> float:
        """How unequal the turns are once the route is used."""
        after = self._words + np.bincount(route.words, minlength=len(TURNS))
        return float(after @ after - after.sum() ** 2 / len(TURNS))

    def least_used_goal(self, routes: Sequence[Route]) -> int:
        """Position of the first route whose goal was least used."""
        return min(range(len(routes)), key=lambda i: self._goals[routes[i].goal])

    def reject(self, route: Route) -> None:
        """Note that a route failed the checks."""
        self._patterns[route.pattern] += FAILURE_COST

    def count(self, route: Route) -> None:
        """Note that a route is used."""
        self._patterns[route.pattern] += LONE_JOINT_COST if route.pattern == LONE_JOINT else 1
        self._sequences[route.turn_first, route.words] += 1
        self._words += np.bincount(route.words, minlength=len(TURNS))
        self._goals[route.goal] += 1


def balanced_routes(finder: RouteFinder, routes: Sequence[Route], limit: int) -> Iterator[tuple[Route, Verdict]]:
    """At most `limit` routes that pass all checks, chosen so that the words of a question do not give its answer away.

    Patterns come equally often, within a pattern every sequence of turns, over all every turn, then every goal, as far
    as the scene allows. The order of `routes` decides what is left open.
    """
    groups: dict[tuple[bool, tuple[int, ...]], list[Route]] = {}
    for route in routes:
        groups.setdefault((route.turn_first, route.words), []).append(route)
    tally = Tally()
    while groups and limit > 0:
        key = list(groups)[tally.most_wanted([group[0] for group in groups.values()])]
        route = groups[key].pop(tally.least_used_goal(groups[key]))
        if not groups[key]:
            del groups[key]
        verdict = finder.check(route)
        if verdict.problem is not None:
            tally.reject(route)
            continue
        tally.count(route)
        limit -= 1
        yield route, verdict


def turn_list(words: Sequence[int]) -> str:
    """The turns as an option states them."""
    return ", ".join(TURNS[word] for word in words)


def options(route: Route, rng: np.random.Generator) -> tuple[str, ...]:
    """The right turns and wrong ones, in random order: three for one blank, otherwise four."""
    wrong = [words for words in plausible_turns(*route.pattern) if words != route.words]
    count = (ONE_BLANK if len(route.words) == 1 else MORE_BLANKS) - 1
    chosen = [route.words, *(wrong[i] for i in rng.permutation(len(wrong))[:count])]
    return tuple(turn_list(chosen[i]) for i in rng.permutation(len(chosen)))


def plausible_turns(turn_first: bool, blanks: int) -> list[tuple[int, ...]]:
    """Every sequence that can be an answer, so that none is ruled out by its words alone.

    One turns back only before the first leg; a single blank has all three turns in any case, as in VSI-Bench.
    """
    on_the_way = (LEFT, RIGHT)
    first = (BACK, LEFT, RIGHT) if turn_first or blanks == 1 else on_the_way
    return list(product(first, *[on_the_way] * (blanks - 1)))
