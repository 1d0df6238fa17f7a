"""Which of several objects is nearest to another one?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlm3r.qa.items import Item
from vlm3r.qa.rules import STRICT, Rules
from vlm3r.qa.sampling import Chains, Indices, Mask, pick
from vlm3r.scenes.graph import SceneGraph
from vlm3r.scenes.schema import Array

TYPES = {4: "object_rel_distance_v1", 3: "object_rel_distance_v2", 2: "object_rel_distance_v3"}


@dataclass(frozen=True)
class RelativeDistance:
    """The nearest of 4, 3 or 2 categories to a single object; of several instances, the nearest counts.

    Slots: `category`; the choices are the options. All distances of the choices differ pairwise by more than a gap.
    """

    rules: Rules = STRICT
    choices: tuple[int, ...] = (4, 3, 2)
    """Numbers of options."""
    min_distance: float = 0.15
    """Metres; no choice may be nearer."""
    gap: float = 0.15
    """Metres by which distances must differ, exclusive."""
    gap_in_large_rooms: float = 0.30
    large_room: float = 40.0
    """Square metres from which on, exclusive, the larger gap applies."""

    name = "object_rel_distance"

    @property
    def question_types(self) -> tuple[str, ...]:
        """One type per number of options."""
        return tuple(TYPES[k] for k in self.choices)

    def candidates(self, graph: SceneGraph) -> Iterator[Mapping[str, Any]]:
        """One row per single object, its option sets only counted, as there can be millions.

        `category`, `choices` (nearest first), `distances`, `gap`, `sets` (number of options -> valid option sets).
        """
        for o, categories in self._primaries(graph):
            distances = graph.distances_to_categories[o, categories]
            sets = {k: Chains(*self._order(graph, distances, k)).total for k in self.choices}
            nearest_first = np.argsort(distances, kind="stable")
            yield {
                "category": graph.names[o],
                "choices": [graph.categories[c] for c in categories[nearest_first]],
                "distances": distances[nearest_first].tolist(),
                "gap": self._gap(graph),
                "sets": sets,
                "eligible": any(sets.values()),
            }

    def items(self, graph: SceneGraph, rng: np.random.Generator, limit: int) -> Iterator[Item]:
        """At most `limit` questions per number of options, each with its own option set."""
        primaries = list(self._primaries(graph))
        for k in self.choices:
            distances = [graph.distances_to_categories[o, categories] for o, categories in primaries]
            chains = [Chains(*self._order(graph, d, k)) for d in distances]
            ends = np.cumsum([c.total for c in chains], dtype=np.int64)
            numbers = pick(rng, int(ends[-1]) if len(ends) else 0, limit)
            owners = np.searchsorted(ends, numbers, side="right")
            sets = np.zeros((len(numbers), k), np.intp)
            for p, (_, categories) in enumerate(primaries):
                mine = owners == p
                sets[mine] = categories[chains[p][numbers[mine] - (ends[p] - chains[p].total)]]
            objects = np.array([o for o, _ in primaries], np.intp)[owners]
            yield from self._questions(graph, objects, sets)

    def _questions(self, graph: SceneGraph, primaries: Indices, sets: Indices) -> Iterator[Item]:
        """Questions on objects (question,) from option sets (question, k) of categories, nearest first."""
        names, categories = graph.names, graph.categories
        instances = graph.nearest_members[primaries[:, None], sets].tolist()
        distances = graph.distances_to_categories[primaries[:, None], sets].tolist()
        for primary, options, objects, metres in zip(
            primaries.tolist(), sets.tolist(), instances, distances, strict=True
        ):
            yield Item(
                question_type=TYPES[len(options)],
                slots={"category": names[primary]},
                answer=categories[options[0]],
                options=tuple(categories[c] for c in options),
                objects=(primary, *objects),
                details={"distances": metres},
            )

    def _primaries(self, graph: SceneGraph) -> Iterator[tuple[int, Indices]]:
        """Each single object with the categories that may be compared."""
        askable = self.rules.askable(graph)
        allowed = self.rules.categories(graph)
        for o in graph.singles[askable[graph.singles]].tolist():
            nearest = graph.nearest_members[o]
            usable = allowed & (nearest >= 0) & askable[nearest]
            usable[graph.category_of[o]] = False
            yield o, np.flatnonzero(usable)

    def _gap(self, graph: SceneGraph) -> float:
        return self.gap_in_large_rooms if (graph.scene.room.area or 0) > self.large_room else self.gap

    def _order(self, graph: SceneGraph, distances: Array, k: int) -> tuple[Mask, int, Mask]:
        """What makes an option set a chain: nearer by more than the gap, the nearest far enough."""
        return distances[None] - distances[:, None] > self._gap(graph), k, distances >= self.min_distance
