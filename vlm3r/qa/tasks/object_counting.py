"""How many objects of a category are there?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlm3r.qa.items import Item
from vlm3r.qa.rules import STRICT, Rules
from vlm3r.qa.sampling import pick
from vlm3r.scenes.graph import SceneGraph


@dataclass(frozen=True)
class ObjectCounting:
    """The recorded number of instances. Slots: `category`."""

    rules: Rules = STRICT
    min_count: int = 2
    """Fewer instances are not worth asking for."""

    name = "object_counting"
    question_types = ("object_counting",)

    def candidates(self, graph: SceneGraph) -> Iterator[Mapping[str, Any]]:
        """One row per counted category: `category`, `value`, `eligible`."""
        allowed = self._allowed(graph)
        for index, (category, count) in enumerate(graph.scene.counts.items()):
            yield {"category": category, "value": count, "eligible": bool(allowed[index])}

    def items(self, graph: SceneGraph, rng: np.random.Generator, limit: int) -> Iterator[Item]:
        """At most `limit` questions, one per category."""
        valid = np.flatnonzero(self._allowed(graph))
        for c in valid[pick(rng, len(valid), limit)].tolist():
            yield Item(
                question_type=self.name,
                slots={"category": graph.categories[c]},
                answer=int(graph.counts[c]),
                objects=tuple(graph.members[c].tolist()),
            )

    def _allowed(self, graph: SceneGraph) -> np.ndarray:
        """(category,) whether to ask: every instance must have been seen where the rules want objects seen."""
        allowed = graph.counts >= self.min_count
        if self.rules.complete_counts:
            allowed &= graph.complete
        askable = self.rules.askable(graph)
        return allowed & np.array([askable[m].all() for m in graph.members], bool)
