"""How far apart are two objects?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlm3r.qa.items import Item
from vlm3r.qa.rules import STRICT, Rules
from vlm3r.qa.sampling import in_random_order, pick
from vlm3r.scenes.graph import SceneGraph


@dataclass(frozen=True)
class ObjectAbsDistance:
    """Metres, to 0.1, between the nearest points of two single objects. Slots: `first`, `second`."""

    rules: Rules = STRICT
    min_distance: float = 0.2
    """Least rounded distance in metres."""

    name = "object_abs_distance"
    question_types = ("object_abs_distance",)

    def candidates(self, graph: SceneGraph) -> Iterator[Mapping[str, Any]]:
        """One row per pair of categories with boxes: `objects` (2 categories), `distance`, `value`, `eligible`.

        Distances are between the nearest instances; only pairs of single categories are eligible.
        """
        known = [c for c, members in enumerate(graph.members) if len(members)]
        single = np.isin(np.arange(len(graph.categories)), graph.category_of[self._objects(graph)])
        values = np.round(graph.category_distances, 1)
        for position, a in enumerate(known):
            for b in known[position + 1 :]:
                yield {
                    "objects": (graph.categories[a], graph.categories[b]),
                    "distance": float(graph.category_distances[a, b]),
                    "value": float(values[a, b]),
                    "eligible": bool(single[a] and single[b] and values[a, b] >= self.min_distance),
                }

    def items(self, graph: SceneGraph, rng: np.random.Generator, limit: int) -> Iterator[Item]:
        """At most `limit` questions, one per pair, its two objects in random order."""
        objects = self._objects(graph)
        first, second = (objects[k] for k in np.triu_indices(len(objects), 1))
        values = np.round(graph.distances[first, second], 1)
        valid = np.flatnonzero(values >= self.min_distance)
        chosen = valid[pick(rng, len(valid), limit)]
        a, b = in_random_order(rng, first[chosen], second[chosen])
        names = graph.names
        for i, j, value in zip(a.tolist(), b.tolist(), values[chosen].tolist(), strict=True):
            yield Item(
                question_type=self.name,
                slots={"first": names[i], "second": names[j]},
                answer=value,
                objects=(i, j),
                details={"distance": float(graph.distances[i, j])},
            )

    def _objects(self, graph: SceneGraph) -> np.ndarray:
        return graph.singles[self.rules.askable(graph)[graph.singles]]
