"""How far is the camera from an object in one frame?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlm3r.qa.items import Item
from vlm3r.qa.rules import STRICT, Rules
from vlm3r.qa.sampling import Mask, pick
from vlm3r.scenes.graph import SceneGraph


@dataclass(frozen=True)
class CameraObjectDistance:
    """Metres, to 0.1, from the camera to the nearest point of an object that is alone of its category in the frame.

    Slots: `category`, `frame`, `total`.
    """

    rules: Rules = STRICT
    min_distance: float = 0.2
    max_distance: float = 10.0
    """Metres before rounding, inclusive."""

    name = "camera_obj_abs_dist"
    question_types = ("camera_obj_abs_dist",)

    def candidates(self, graph: SceneGraph) -> Iterator[Mapping[str, Any]]:
        """One row per frame and object: `frame_id`, `instance_id`, `category`, `distance`, `value`, `eligible`."""
        frames, objects = np.nonzero(self.rules.in_frames(graph))
        eligible = self._in_range(graph)[frames, objects].tolist()
        distances = graph.cameras.distances[frames, objects]
        for f, o, distance, value, ok in zip(
            frames.tolist(),
            objects.tolist(),
            distances.tolist(),
            np.round(distances, 1).tolist(),
            eligible,
            strict=True,
        ):
            yield {
                "frame_id": graph.scene.seen_frames[f].frame_id,
                "instance_id": graph.scene.objects[o].instance_id,
                "category": graph.names[o],
                "distance": distance,
                "value": value,
                "eligible": ok,
            }

    def items(self, graph: SceneGraph, rng: np.random.Generator, limit: int) -> Iterator[Item]:
        """At most `limit` questions, one per frame and object."""
        frames, objects = np.nonzero(self.rules.in_frames(graph) & self._in_range(graph))
        chosen = pick(rng, len(frames), limit)
        frames, objects = frames[chosen], objects[chosen]
        distances = graph.cameras.distances[frames, objects]
        names, total = graph.names, str(len(graph.shown))
        for f, o, distance, value in zip(
            frames.tolist(), objects.tolist(), distances.tolist(), np.round(distances, 1).tolist(), strict=True
        ):
            yield Item(
                question_type=self.name,
                slots={"category": names[o], "frame": str(f + 1), "total": total},
                answer=value,
                objects=(o,),
                frames=(f + 1,),
                details={"distance": distance},
            )

    def _in_range(self, graph: SceneGraph) -> Mask:
        """(frame, object) whether the distance is within the bounds."""
        distances = graph.cameras.distances
        return (distances >= self.min_distance) & (distances <= self.max_distance)
