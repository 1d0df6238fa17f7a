"""Standing at one object and facing another, where is a third?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3r.qa.items import Item
from vlm3r.qa.rules import STRICT, Rules
from vlm3r.qa.sampling import Indices, Mask, pick
from vlm3r.scenes.graph import SceneGraph
from vlm3r.scenes.schema import Array


@dataclass(frozen=True)
class Sectors:
    """A division of the circle around the standing place, counter-clockwise from the facing direction."""

    bounds: tuple[float, ...]
    """Degrees where one sector ends and the next begins; 0 always is a boundary."""
    words: tuple[str, ...]
    """Answer per sector."""

    def of(self, angles: Array) -> Indices:
        """Sector of each angle in [0, 360)."""
        return np.searchsorted(np.array(self.bounds), angles, side="right")

    def margin(self, angles: Array) -> Array:
        """Degrees from each angle in [0, 360) to the nearest boundary."""
        bounds = np.array([0.0, *self.bounds, 360.0])
        return np.abs(angles[..., None] - bounds).min(-1)


QUADRANTS = Sectors((90.0, 180.0, 270.0), ("front-left", "back-left", "back-right", "front-right"))
SIDES = Sectors((135.0, 225.0), ("left", "back", "right"))


@dataclass(frozen=True)
class Difficulty:
    """One version of the question."""

    name: str
    question_type: str
    sectors: Sectors
    options: tuple[str, ...]
    """Words that may be the answer; triples with another word are left out."""


DIFFICULTIES = (
    Difficulty("easy", "object_rel_direction_v3", SIDES, ("left", "right")),
    Difficulty("medium", "object_rel_direction_v2", SIDES, ("left", "right", "back")),
    Difficulty("hard", "object_rel_direction_v1", QUADRANTS, QUADRANTS.words),
)


@dataclass(frozen=True)
class _Triples:
    """Ordered triples of single objects that pass the distance gate."""

    objects: Indices
    """(triple, 3) standing, facing, queried."""
    angles: Array
    """(triple,) degrees in [0, 360) from the facing direction to the queried object."""
    sectors: Mapping[str, NDArray[np.int8]]
    """Difficulty -> (triple,) sector of the answer, -1 where the question must not be asked."""


@dataclass(frozen=True)
class RelativeDirection:
    """The direction of the queried object's centre in the floor plane. Slots: `standing`, `facing`, `queried`."""

    rules: Rules = STRICT
    difficulties: tuple[Difficulty, ...] = DIFFICULTIES
    min_distance: float = 0.30
    max_distance: float = 5.0
    """Metres within which all three distances between the objects must lie."""
    margin: float = 10.0
    """Degrees that the direction must keep from every boundary, on either side."""
    stray_corners: int = 2
    """Corners of the queried box that may lie in another sector than its centre."""

    name = "object_rel_direction"

    @property
    def question_types(self) -> tuple[str, ...]:
        """One type per difficulty."""
        return tuple(d.question_type for d in self.difficulties)

    def candidates(self, graph: SceneGraph) -> Iterator[Mapping[str, Any]]:
        """One row per ordered triple that passes the gate: `objects` (3 categories), `angle`, an answer or None each
        for `easy`, `medium` and `hard`.
        """
        triples = self._triples(graph)
        names = graph.names
        words = [(*d.sectors.words, None) for d in self.difficulties]  # the last for a sector of -1
        sectors = [triples.sectors[d.name].tolist() for d in self.difficulties]
        for row, (objects, angle) in enumerate(zip(triples.objects.tolist(), triples.angles.tolist(), strict=True)):
            answers = {d.name: w[s[row]] for d, w, s in zip(self.difficulties, words, sectors, strict=True)}
            yield {"objects": tuple(names[o] for o in objects), "angle": angle, **answers}

    def items(self, graph: SceneGraph, rng: np.random.Generator, limit: int) -> Iterator[Item]:
        """At most `limit` questions per difficulty, one per ordered triple."""
        triples = self._triples(graph)
        names = graph.names
        for difficulty in self.difficulties:
            sectors = triples.sectors[difficulty.name]
            valid = np.flatnonzero(sectors >= 0)
            for row in valid[pick(rng, len(valid), limit)].tolist():
                objects = triples.objects[row].tolist()
                standing, facing, queried = (names[o] for o in objects)
                yield Item(
                    question_type=difficulty.question_type,
                    slots={"standing": standing, "facing": facing, "queried": queried},
                    answer=difficulty.sectors.words[sectors[row]],
                    options=difficulty.options,
                    objects=tuple(objects),
                    details={"angle": float(triples.angles[row])},
                )

    def _triples(self, graph: SceneGraph) -> _Triples:
        objects = graph.singles[self.rules.askable(graph)[graph.singles]]
        distances = graph.distances[np.ix_(objects, objects)]
        centres = graph.boxes.centres[objects, :2]
        apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1) > max(self.rules.min_horizontal, 1e-9)
        gate = (distances >= self.min_distance) & (distances <= self.max_distance)
        np.fill_diagonal(gate, False)
        parts = [self._seen_from(graph, objects, position, gate, apart) for position in range(len(objects))]
        if not parts:
            none = {d.name: np.zeros(0, np.int8) for d in self.difficulties}
            return _Triples(np.zeros((0, 3), np.intp), np.zeros(0), none)
        return _Triples(
            np.concatenate([p.objects for p in parts]),
            np.concatenate([p.angles for p in parts]),
            {d.name: np.concatenate([p.sectors[d.name] for p in parts]) for d in self.difficulties},
        )

    def _seen_from(self, graph: SceneGraph, objects: Indices, position: int, gate: Mask, apart: Mask) -> _Triples:
        """The triples that stand at one object; `gate` and `apart` are relations of `objects`."""
        facing, queried = np.nonzero(gate & gate[position][:, None] & gate[position][None])
        clear = apart[position, facing] & apart[position, queried]
        standing = objects[position]
        b, c = objects[facing], objects[queried]
        ahead = graph.bearings[standing, b]
        angles = _turn(graph.bearings[standing, c] - ahead)
        corners = _turn(graph.corner_bearings[standing, c] - ahead[:, None])  # (triple, 8)
        sectors = {d.name: self._sectors(d, angles, corners, clear) for d in self.difficulties}
        return _Triples(np.stack([np.full(len(b), standing), b, c], axis=1), angles, sectors)

    def _sectors(self, difficulty: Difficulty, angles: Array, corners: Array, clear: Mask) -> NDArray[np.int8]:
        """Sectors of the answers (triple,), -1 where a boundary is too close or the word is no option."""
        sectors = difficulty.sectors
        own = sectors.of(angles)
        stray = (sectors.of(corners) != own[:, None]).sum(1)
        offered = np.array([w in difficulty.options for w in sectors.words])[own]
        valid = clear & offered & (stray <= self.stray_corners) & (sectors.margin(angles) >= self.margin)
        return np.where(valid, own, -1).astype(np.int8)


def _turn(degrees: Array) -> Array:
    """The same angles in [0, 360)."""
    turned = np.mod(degrees, 360.0)
    return np.where(turned >= 360.0, 0.0, turned)
