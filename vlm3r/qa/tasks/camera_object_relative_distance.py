"""Which of several objects is nearest to the camera in one frame?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlm3r.qa.items import Item
from vlm3r.qa.rules import STRICT, Rules
from vlm3r.qa.sampling import Chains, Indices, pick
from vlm3r.scenes.graph import SceneGraph


@dataclass(frozen=True)
class Version:
    """One version of the question."""

    question_type: str
    options: int
    decimals: int
    """Decimals to which distances are rounded before they are compared."""


VERSIONS = (
    Version("camera_obj_rel_dist_v1", options=4, decimals=2),
    Version("camera_obj_rel_dist_v2", options=3, decimals=1),
    Version("camera_obj_rel_dist_v3", options=2, decimals=1),
)


@dataclass(frozen=True)
class CameraObjectRelativeDistance:
    """The nearest to the camera of all objects that are alone of their category in the frame, among 4, 3 or 2 of them.

    Slots: `frame`, `total`; the choices are the options. Rounded distances of the options differ pairwise by a gap.
    """

    rules: Rules = STRICT
    versions: tuple[Version, ...] = VERSIONS
    min_distance: float = 0.5
    """Metres from which on, inclusive, an object takes part."""
    gap: float = 0.15
    """Metres by which rounded distances must differ, inclusive."""

    name = "camera_obj_rel_dist"

    @property
    def question_types(self) -> tuple[str, ...]:
        """One type per version."""
        return tuple(v.question_type for v in self.versions)

    def candidates(self, graph: SceneGraph) -> Iterator[Mapping[str, Any]]:
        """One row per frame with two or more objects: `frame_id`, `instance_ids` (nearest first), `distances`, `sets`
        (number of options -> valid option sets), `eligible`.
        """
        for f, objects in self._frames(graph):
            sets = {v.options: self._chains(graph, f, objects, v).total for v in self.versions}
            yield {
                "frame_id": graph.scene.seen_frames[f].frame_id,
                "instance_ids": [graph.scene.objects[o].instance_id for o in objects],
                "distances": graph.cameras.distances[f, objects].tolist(),
                "sets": sets,
                "eligible": any(sets.values()),
            }

    def items(self, graph: SceneGraph, rng: np.random.Generator, limit: int) -> Iterator[Item]:
        """At most `limit` questions per version, one per frame with a random valid option set."""
        frames = list(self._frames(graph))
        for version in self.versions:
            chains = [(f, objects, self._chains(graph, f, objects, version)) for f, objects in frames]
            valid = [entry for entry in chains if entry[2].total]
            for position in pick(rng, len(valid), limit).tolist():
                f, objects, sets = valid[position]
                chosen = objects[sets[rng.integers(sets.total, size=1)][0]].tolist()
                yield Item(
                    question_type=version.question_type,
                    slots={"frame": str(f + 1), "total": str(len(graph.shown))},
                    answer=graph.names[chosen[0]],
                    options=tuple(graph.names[o] for o in chosen),
                    objects=tuple(chosen),
                    frames=(f + 1,),
                    details={"distances": graph.cameras.distances[f, chosen].tolist()},
                )

    def _frames(self, graph: SceneGraph) -> Iterator[tuple[int, Indices]]:
        """Each frame with the objects that take part, nearest first."""
        distances = graph.cameras.distances
        allowed = self.rules.in_frames(graph) & (distances >= self.min_distance)
        for f in np.flatnonzero(allowed.sum(1) > 1).tolist():
            objects = np.flatnonzero(allowed[f])
            yield f, objects[np.argsort(distances[f, objects], kind="stable")]

    def _chains(self, graph: SceneGraph, frame: int, objects: Indices, version: Version) -> Chains:
        """The valid option sets from objects in the order of their distance; each begins with the nearest object."""
        rounded = np.round(graph.cameras.distances[frame, objects], version.decimals)
        before = rounded[None] - rounded[:, None] >= self.gap
        return Chains(before, version.options, np.arange(len(objects)) == 0)
