"""In which direction has the camera moved between two frames?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3r.qa.items import Item
from vlm3r.qa.rules import STRICT, Rules
from vlm3r.qa.sampling import Indices, pick
from vlm3r.scenes.graph import SceneGraph

WORDS = ("Forward", "Backward", "Left", "Right")


@dataclass(frozen=True)
class Version:
    """One version of the question."""

    question_type: str
    options: int
    threshold: float
    """Metres that the movement must exceed."""


VERSIONS = (
    Version("camera_movement_direction_v1", options=4, threshold=1.0),
    Version("camera_movement_direction_v2", options=3, threshold=0.5),
    Version("camera_movement_direction_v3", options=2, threshold=0.5),
)


@dataclass(frozen=True)
class CameraMovement:
    """The main direction of the straight line between two camera centres, seen in the earlier frame's camera axes.

    Slots: `start`, `end`, `total`. Vertical movement is left aside.
    """

    rules: Rules = STRICT
    versions: tuple[Version, ...] = VERSIONS

    name = "camera_movement_direction"

    @property
    def question_types(self) -> tuple[str, ...]:
        """One type per version."""
        return tuple(v.question_type for v in self.versions)

    def candidates(self, graph: SceneGraph) -> Iterator[Mapping[str, Any]]:
        """One row per two frames with poses: `frames` (2 frame ids, in order), `displacement` (3, metres in the earlier
        camera's axes), and the direction or None beyond 1.0 m (`far`) and beyond 0.5 m (`near`).
        """
        start, end = self._pairs(graph)
        movement = graph.cameras.displacements[start, end]
        far, near = (self._words(graph, start, end, threshold).tolist() for threshold in (1.0, 0.5))
        frames = graph.scene.seen_frames
        for row, (i, j, metres) in enumerate(zip(start.tolist(), end.tolist(), movement.tolist(), strict=True)):
            ids = (frames[i].frame_id, frames[j].frame_id)
            yield {"frames": ids, "displacement": metres, "far": far[row] or None, "near": near[row] or None}

    def items(self, graph: SceneGraph, rng: np.random.Generator, limit: int) -> Iterator[Item]:
        """At most `limit` questions per version, one per two frames; wrong options are random other directions."""
        pairs = self._pairs(graph)
        for version in self.versions:
            words = self._words(graph, *pairs, version.threshold)
            valid = np.flatnonzero(words != "")
            chosen = valid[pick(rng, len(valid), limit)]
            shuffled = rng.permuted(np.tile(np.arange(len(WORDS) - 1), (len(chosen), 1)), axis=1)
            for row, order in zip(chosen.tolist(), shuffled.tolist(), strict=True):
                i, j = int(pairs[0][row]), int(pairs[1][row])
                answer = str(words[row])
                others = [w for w in WORDS if w != answer]
                yield Item(
                    question_type=version.question_type,
                    slots={"start": str(i + 1), "end": str(j + 1), "total": str(len(graph.shown))},
                    answer=answer,
                    options=(answer, *(others[k] for k in order[: version.options - 1])),
                    frames=(i + 1, j + 1),
                    details={"displacement": graph.cameras.displacements[i, j].tolist()},
                )

    def _pairs(self, graph: SceneGraph) -> tuple[Indices, Indices]:
        """Places (0-based) of every two frames with poses, the earlier first."""
        usable = np.flatnonzero(graph.cameras.usable)
        first, second = np.triu_indices(len(usable), 1)
        return usable[first], usable[second]

    def _words(self, graph: SceneGraph, start: Indices, end: Indices, threshold: float) -> NDArray[np.str_]:
        """(pair,) the main direction, empty where the movement is too short or too oblique."""
        movement = graph.cameras.displacements[start, end]
        dx, dz = movement[:, 0], movement[:, 2]
        along = np.abs(dz) >= np.abs(dx)
        larger, smaller = np.where(along, (np.abs(dz), np.abs(dx)), (np.abs(dx), np.abs(dz)))
        words = np.where(along, np.where(dz > 0, WORDS[0], WORDS[1]), np.where(dx < 0, WORDS[2], WORDS[3]))
        return np.where((larger > threshold) & (larger >= self.rules.dominance * smaller), words, "")
