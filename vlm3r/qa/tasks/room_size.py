"""How large is the floor of all rooms together?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlm3r.qa.items import Item
from vlm3r.qa.rules import STRICT, Rules
from vlm3r.scenes.graph import SceneGraph


@dataclass(frozen=True)
class RoomSize:
    """Floor area in square metres, to 0.1. No slots. Scenes of unknown area are left out."""

    rules: Rules = STRICT

    name = "room_size_estimation"
    question_types = ("room_size_estimation",)

    def candidates(self, graph: SceneGraph) -> Iterator[Mapping[str, Any]]:
        """At most one row: `value` (m2), `eligible`."""
        if graph.scene.room.area is not None:
            value = round(graph.scene.room.area, 1)
            yield {"value": value, "eligible": value > 0}

    def items(self, graph: SceneGraph, rng: np.random.Generator, limit: int) -> Iterator[Item]:
        """At most one question."""
        for row in self.candidates(graph):
            if row["eligible"] and limit > 0:
                yield Item(
                    question_type=self.name, slots={}, answer=row["value"], details={"area": graph.scene.room.area}
                )
