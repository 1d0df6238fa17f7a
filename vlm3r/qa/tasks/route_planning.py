"""Which turns lead from one object to another?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlm3r.qa.items import Item
from vlm3r.qa.routes.choose import balanced_routes, options, turn_list
from vlm3r.qa.routes.routes import Route, RouteFinder, Verdict
from vlm3r.qa.routes.rules import USUAL, RouteRules
from vlm3r.qa.rules import STRICT, Rules
from vlm3r.scenes.graph import SceneGraph

SURVEYED = 64
"""Routes whose verdict `candidates` reports; there are too many to list."""
STEP_SEPARATOR, TURN = " | ", "?"
"""How the `steps` slot is written: `? | table | ? | sofa`."""


@dataclass(frozen=True)
class RoutePlanning:
    """The turns of a walk along straight, free legs between objects. Slots: `start`, `facing`, `goal`, `steps`."""

    rules: Rules = STRICT
    walking: RouteRules = USUAL
    """What counts as a walk."""

    name = "route_planning"
    question_types = ("route_planning",)

    def candidates(self, graph: SceneGraph) -> Iterator[Mapping[str, Any]]:
        """Rows of a fixed random sample of the routes: `start`, `facing`, `stops` (categories), `turns`, `angles`,
        `eligible`, and `problem`, which is None for an eligible one.
        """
        finder = self._finder(graph)
        for route in finder.routes(np.random.default_rng(0))[:SURVEYED]:
            problem = finder.check(route).problem
            start, facing, *stops = (graph.names[finder.objects[i]] for i in (route.start, route.facing, *route.stops))
            yield {
                "start": start,
                "facing": facing,
                "stops": tuple(stops),
                "turns": turn_list(route.words),
                "angles": route.angles,
                "eligible": problem is None,
                "problem": problem,
            }

    def items(self, graph: SceneGraph, rng: np.random.Generator, limit: int) -> Iterator[Item]:
        """At most `limit` questions, balanced over the turns."""
        finder = self._finder(graph)
        for route, verdict in balanced_routes(finder, finder.routes(rng), limit):
            yield self._item(graph, finder, route, verdict, rng)

    def _finder(self, graph: SceneGraph) -> RouteFinder:
        nameable = np.array([STEP_SEPARATOR not in name and name != TURN for name in graph.names], bool)
        asked = graph.singles[(self.rules.askable(graph) & nameable)[graph.singles]]
        return RouteFinder(graph.scene, asked, self.walking)

    def _item(
        self, graph: SceneGraph, finder: RouteFinder, route: Route, verdict: Verdict, rng: np.random.Generator
    ) -> Item:
        objects = tuple(int(finder.objects[i]) for i in (route.start, route.facing, *route.stops))
        start, facing, *stops = (graph.names[i] for i in objects)
        steps: list[dict[str, str]] = []
        for leg, stop in enumerate(stops):
            if leg or route.turn_first:
                steps.append({"action": "turn"})
            steps.append({"action": "forward", "until": stop})
        return Item(
            question_type=self.name,
            slots={
                "start": start,
                "facing": facing,
                "goal": stops[-1],
                "steps": STEP_SEPARATOR.join(step.get("until", TURN) for step in steps),
            },
            answer=turn_list(route.words),
            options=options(route, rng),
            objects=objects,
            details={
                "steps": steps,
                "angles": [round(angle, 2) for angle in route.angles],
                "polyline": np.round(route.points, 3).tolist(),
                "lengths": np.round(route.lengths, 3).tolist(),
                "shortest": None if verdict.shortest is None else round(verdict.shortest, 3),
                "floor": finder.floor,
            },
        )
