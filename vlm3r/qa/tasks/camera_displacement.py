"""How far apart are the camera positions of two frames?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlm3r.qa.items import Item
from vlm3r.qa.rules import STRICT, Rules
from vlm3r.qa.sampling import Indices, pick
from vlm3r.scenes.graph import SceneGraph
from vlm3r.scenes.schema import Array


@dataclass(frozen=True)
class CameraDisplacement:
    """Metres, to 0.1, in a straight line between the camera centres of two frames. Slots: `start`, `end`, `total`."""

    rules: Rules = STRICT
    min_step: int = 5
    max_step: int = 30
    """Places between the two frames, inclusive."""
    min_distance: float = 0.2
    max_distance: float = 10.0
    """Metres before rounding, inclusive."""

    name = "camera_displacement"
    question_types = ("camera_displacement",)

    def candidates(self, graph: SceneGraph) -> Iterator[Mapping[str, Any]]:
        """One row per two frames with poses: `frames` (2 frame ids, in order), `distance`, `value`, `eligible`."""
        start, end, distances = frame_pairs(graph)
        eligible = self._eligible(start, end, distances)
        rows = zip(
            start.tolist(), end.tolist(), distances.tolist(), np.round(distances, 1).tolist(), eligible.tolist(),
            strict=True,
        )  # fmt: skip
        frames = graph.scene.seen_frames
        for i, j, distance, value, ok in rows:
            ids = (frames[i].frame_id, frames[j].frame_id)
            yield {"frames": ids, "distance": distance, "value": value, "eligible": ok}

    def items(self, graph: SceneGraph, rng: np.random.Generator, limit: int) -> Iterator[Item]:
        """At most `limit` questions, one per two frames."""
        start, end, distances = frame_pairs(graph)
        valid = np.flatnonzero(self._eligible(start, end, distances))
        chosen = valid[pick(rng, len(valid), limit)]
        start, end, distances = start[chosen], end[chosen], distances[chosen]
        total = str(len(graph.shown))
        for i, j, distance, value in zip(
            start.tolist(), end.tolist(), distances.tolist(), np.round(distances, 1).tolist(), strict=True
        ):
            yield Item(
                question_type=self.name,
                slots={"start": str(i + 1), "end": str(j + 1), "total": total},
                answer=value,
                frames=(i + 1, j + 1),
                details={"distance": distance},
            )

    def _eligible(self, start: Indices, end: Indices, distances: Array) -> np.ndarray:
        steps = end - start
        near = (distances >= self.min_distance) & (distances <= self.max_distance)
        return near & (steps >= self.min_step) & (steps <= self.max_step)


def frame_pairs(graph: SceneGraph) -> tuple[Indices, Indices, Array]:
    """Places (0-based) of every two frames with poses, the earlier first, and metres between the camera centres."""
    usable = np.flatnonzero(graph.cameras.usable)
    first, second = np.triu_indices(len(usable), 1)
    start, end = usable[first], usable[second]
    return start, end, np.linalg.norm(graph.cameras.centres[end] - graph.cameras.centres[start], axis=-1)
