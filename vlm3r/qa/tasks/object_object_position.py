"""Is one object nearer or farther, left or right, up or down of another in one frame?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3r.qa.items import Item
from vlm3r.qa.rules import STRICT, Rules
from vlm3r.qa.sampling import Indices, in_random_order, pick
from vlm3r.scenes.graph import SceneGraph


@dataclass(frozen=True)
class Relation:
    """One camera axis along which two objects can be apart."""

    name: str
    axis: int
    """Camera axis: 0 right, 1 down, 2 forward."""
    lower: str
    higher: str
    """Answer where the first object has the smaller or the greater coordinates."""

    @property
    def question_type(self) -> str:
        """Name of the question type."""
        return f"obj_obj_relative_pos_{self.name}"


RELATIONS = (
    Relation("nf", 2, "Near", "Far"),
    Relation("lr", 0, "Left", "Right"),
    Relation("ud", 1, "Up", "Down"),
)


@dataclass(frozen=True)
class ObjectObjectPosition:
    """The position of a first object relative to a second, both alone of their category in the frame.

    Slots: `first`, `second`, `frame`, `total`. The boxes' extents along a camera axis must be apart by a gap.
    """

    rules: Rules = STRICT
    relations: tuple[Relation, ...] = RELATIONS
    gap: float = 0.15
    """Metres between the extents, exclusive."""

    name = "obj_obj_relative_pos"

    @property
    def question_types(self) -> tuple[str, ...]:
        """One type per relation."""
        return tuple(r.question_type for r in self.relations)

    def candidates(self, graph: SceneGraph) -> Iterator[Mapping[str, Any]]:
        """One row per frame and pair: `frame_id`, `instance_ids` (2), and `nf`, `lr`, `ud` of the first relative to the
        second, or None.
        """
        frames, first, second = self._pairs(graph)
        signs = [self._signs(graph, r, frames, first, second).tolist() for r in self.relations]
        for row, (f, a, b) in enumerate(zip(frames.tolist(), first.tolist(), second.tolist(), strict=True)):
            words = {r.name: self._word(r, s[row]) for r, s in zip(self.relations, signs, strict=True)}
            objects = graph.scene.objects
            yield {
                "frame_id": graph.scene.seen_frames[f].frame_id,
                "instance_ids": (objects[a].instance_id, objects[b].instance_id),
                **words,
            }

    def items(self, graph: SceneGraph, rng: np.random.Generator, limit: int) -> Iterator[Item]:
        """At most `limit` questions per relation, one per frame and pair, in random order of the two objects."""
        pairs = self._pairs(graph)
        names, total = graph.names, str(len(graph.shown))
        for relation in self.relations:
            valid = np.flatnonzero(self._signs(graph, relation, *pairs))
            chosen = valid[pick(rng, len(valid), limit)]
            frames = pairs[0][chosen]
            first, second = in_random_order(rng, pairs[1][chosen], pairs[2][chosen])
            signs = self._signs(graph, relation, frames, first, second)
            for f, a, b, sign in zip(frames.tolist(), first.tolist(), second.tolist(), signs.tolist(), strict=True):
                yield Item(
                    question_type=relation.question_type,
                    slots={"first": names[a], "second": names[b], "frame": str(f + 1), "total": total},
                    answer=relation.higher if sign > 0 else relation.lower,
                    options=(relation.lower, relation.higher),
                    objects=(a, b),
                    frames=(f + 1,),
                )

    def _pairs(self, graph: SceneGraph) -> tuple[Indices, Indices, Indices]:
        """Frames and the two objects of every pair, (pair,) each."""
        allowed = self.rules.in_frames(graph)
        first, second = np.triu_indices(allowed.shape[1], 1)
        frames, pairs = np.nonzero(allowed[:, first] & allowed[:, second])
        return frames, first[pairs], second[pairs]

    def _signs(
        self, graph: SceneGraph, relation: Relation, frames: Indices, first: Indices, second: Indices
    ) -> NDArray[np.int64]:
        """(pair,) -1 where the first object's coordinates are clearly smaller, 1 greater, 0 neither."""
        extents = graph.cameras.extents[:, :, relation.axis]  # (frame, object, 2)
        a, b = extents[frames, first], extents[frames, second]
        signs = (a[:, 0] - b[:, 1] > self.gap).astype(int) - (b[:, 0] - a[:, 1] > self.gap)
        camera = graph.scene.intrinsics
        if self.rules.picture_gap is not None and relation.axis < 2 and camera is not None:
            boxes = graph.sightings.boxes[graph.shown[frames]]
            rows = np.arange(len(frames))
            apart = boxes[rows, first] - boxes[rows, second]
            middles = (apart[:, relation.axis] + apart[:, relation.axis + 2]) / 2
            gap = self.rules.picture_gap * (camera.width, camera.height)[relation.axis]
            signs[(np.sign(middles) != signs) | (np.abs(middles) < gap)] = 0
        return signs

    @staticmethod
    def _word(relation: Relation, sign: int) -> str | None:
        return {-1: relation.lower, 0: None, 1: relation.higher}[sign]
