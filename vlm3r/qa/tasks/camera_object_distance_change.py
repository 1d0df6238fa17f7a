"""By how much does the camera's distance to an object change between two frames?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlm3r.qa.items import Item
from vlm3r.qa.rules import STRICT, Rules
from vlm3r.qa.sampling import Indices, Mask, pick
from vlm3r.qa.tasks.camera_displacement import frame_pairs
from vlm3r.scenes.graph import SceneGraph
from vlm3r.scenes.schema import Array


@dataclass(frozen=True)
class CameraObjectDistanceChange:
    """The absolute change in metres, to 0.1, of the distance from the camera to the nearest point of an object.

    Slots: `category`, `start`, `end`, `total`. No published program makes these questions; only their name, and that
    the answer is a number, are known. Here both frames show the object, alone of its category; both distances obey the
    bounds of `camera_obj_abs_dist`, the frames those of `camera_displacement`; and the change can be told from none.
    The answer is unsigned, as the metric is undefined for targets that are not positive.
    """

    rules: Rules = STRICT
    min_change: float = 0.2
    """Metres before rounding, inclusive."""
    min_distance: float = 0.2
    max_distance: float = 10.0
    """Metres of both distances, inclusive."""
    min_step: int = 5
    max_step: int = 30
    """Places between the two frames, inclusive."""

    name = "camera_obj_dist_change"
    question_types = ("camera_obj_dist_change",)

    def candidates(self, graph: SceneGraph) -> Iterator[Mapping[str, Any]]:
        """One row per two frames and object that both show.

        `frames` (2 frame ids, in order), `instance_id`, `category`, `distances` (2), `change` (signed, positive for
        farther), `value`, `eligible`.
        """
        start, end, objects, before, after = self._triples(graph)
        eligible = self._eligible(start, end, before, after)
        frames = graph.scene.seen_frames
        for row, (i, j, o) in enumerate(zip(start.tolist(), end.tolist(), objects.tolist(), strict=True)):
            change = float(after[row] - before[row])
            yield {
                "frames": (frames[i].frame_id, frames[j].frame_id),
                "instance_id": graph.scene.objects[o].instance_id,
                "category": graph.names[o],
                "distances": (float(before[row]), float(after[row])),
                "change": change,
                "value": float(np.round(abs(change), 1)),
                "eligible": bool(eligible[row]),
            }

    def items(self, graph: SceneGraph, rng: np.random.Generator, limit: int) -> Iterator[Item]:
        """At most `limit` questions, one per two frames and object."""
        columns = self._triples(graph)
        valid = np.flatnonzero(self._eligible(columns[0], columns[1], columns[3], columns[4]))
        chosen = valid[pick(rng, len(valid), limit)]
        names, total = graph.names, str(len(graph.shown))
        values = np.round(np.abs(columns[4] - columns[3])[chosen], 1)
        for i, j, o, before, after, value in zip(*(c[chosen].tolist() for c in columns), values.tolist(), strict=True):
            yield Item(
                question_type=self.name,
                slots={"category": names[o], "start": str(i + 1), "end": str(j + 1), "total": total},
                answer=value,
                objects=(o,),
                frames=(i + 1, j + 1),
                details={"distances": [before, after]},
            )

    def _triples(self, graph: SceneGraph) -> tuple[Indices, Indices, Indices, Array, Array]:
        """Start, end (0-based places), object, and the two distances of everything that could be asked."""
        allowed: Mask = self.rules.in_frames(graph)
        start, end, _ = frame_pairs(graph)
        pairs, objects = np.nonzero(allowed[start] & allowed[end])
        start, end = start[pairs], end[pairs]
        distances = graph.cameras.distances
        return start, end, objects, distances[start, objects], distances[end, objects]

    def _eligible(self, start: Indices, end: Indices, before: Array, after: Array) -> Mask:
        steps = end - start
        result = (steps >= self.min_step) & (steps <= self.max_step) & (np.abs(after - before) >= self.min_change)
        for distance in (before, after):
            result &= (distance >= self.min_distance) & (distance <= self.max_distance)
        return result
