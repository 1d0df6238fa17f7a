"""How long is an object's longest edge?"""

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
class ObjectSize:
    """The longest edge of the box of a single object, in whole centimetres. Slots: `category`."""

    rules: Rules = STRICT

    name = "object_size_estimation"
    question_types = ("object_size_estimation",)

    def candidates(self, graph: SceneGraph) -> Iterator[Mapping[str, Any]]:
        """One row per category with boxes: `category`, `value` (cm, of its first box), `eligible` (single only)."""
        valid = set(self._valid(graph))
        for members in graph.members:
            for o in members[:1].tolist():
                yield {"category": graph.names[o], "value": self._centimetres(graph, o), "eligible": o in valid}

    def items(self, graph: SceneGraph, rng: np.random.Generator, limit: int) -> Iterator[Item]:
        """At most `limit` questions, one per single category."""
        valid = self._valid(graph)
        for k in pick(rng, len(valid), limit).tolist():
            o = valid[k]
            yield Item(
                question_type=self.name,
                slots={"category": graph.names[o]},
                answer=self._centimetres(graph, o),
                objects=(o,),
                details={"size": graph.boxes.sizes[o].tolist()},
            )

    def _valid(self, graph: SceneGraph) -> list[int]:
        """The objects to ask about."""
        askable = self.rules.askable(graph)
        return [o for o in graph.singles.tolist() if askable[o] and self._centimetres(graph, o) > 0]

    @staticmethod
    def _centimetres(graph: SceneGraph, position: int) -> int:
        """Rounded in decimal, half to even, as the published values are."""
        return round(100 * graph.scene.objects[position].box.longest_edge)
