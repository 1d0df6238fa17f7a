"""In what order do four categories first appear in the video?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from vlm3r.qa.items import Item
from vlm3r.qa.rules import STRICT, Rules
from vlm3r.qa.sampling import Chains, Indices, Mask, pick
from vlm3r.scenes.graph import SceneGraph
from vlm3r.scenes.schema import Array

SEPARATOR = ", "


@dataclass(frozen=True)
class AppearanceOrder:
    """The order of first sightings over all known frames, of which there may be more than a model sees.

    Slots: `categories` (four names in random order). An option is the four names in some order, separated by commas.
    """

    rules: Rules = STRICT
    length: int = 4
    """Categories in a question."""
    options: int = 4
    """Options, the true order among them."""
    gap: float = 1.0
    """Seconds by which first sightings must be apart, exclusive."""
    whole_seconds: bool = True
    """Compare times rounded to whole seconds, as published."""

    name = "obj_appearance_order"
    question_types = ("obj_appearance_order",)

    def candidates(self, graph: SceneGraph) -> Iterator[Mapping[str, Any]]:
        """One row per category that is seen at a known time: `category`, `first_seen` (seconds), `eligible`."""
        times = graph.category_first_times(self.rules.min_share)
        allowed = self._allowed(graph)
        for c in np.flatnonzero(np.isfinite(times)).tolist():
            yield {"category": graph.categories[c], "first_seen": float(times[c]), "eligible": bool(allowed[c])}

    def items(self, graph: SceneGraph, rng: np.random.Generator, limit: int) -> Iterator[Item]:
        """At most `limit` questions, one per set of categories."""
        categories = np.flatnonzero(self._allowed(graph))
        times = graph.category_first_times(self.rules.min_share)
        chains = Chains(self._before(graph, times)[np.ix_(categories, categories)], self.length)
        orders = list(permutations(range(self.length)))[1:]
        first_members = self._first_members(graph)
        for chain in categories[chains[pick(rng, chains.total, limit)]].tolist():
            names = [graph.categories[c] for c in chain]
            others = [orders[k] for k in rng.choice(len(orders), self.options - 1, replace=False).tolist()]
            shuffled = rng.permutation(self.length).tolist()
            yield Item(
                question_type=self.name,
                slots={"categories": SEPARATOR.join(names[k] for k in shuffled)},
                answer=SEPARATOR.join(names),
                options=tuple(SEPARATOR.join(names[k] for k in order) for order in (range(self.length), *others)),
                objects=tuple(first_members[chain].tolist()),
                details={"first_seen": times[chain].tolist()},
            )

    def _allowed(self, graph: SceneGraph) -> Mask:
        """(category,) seen at a known time and, where the rules want it, in a frame that the model sees.

        A name that holds the separator would make a list of names unreadable.
        """
        allowed = np.isfinite(graph.category_first_times(self.rules.min_share))
        allowed &= np.array([SEPARATOR not in name for name in graph.categories], bool)
        if self.rules.require_seen:
            allowed &= self._first_shown(graph) >= 0
        return allowed

    def _before(self, graph: SceneGraph, times: Array) -> Mask:
        """(category, category): one clearly appears before the other."""
        compared = np.round(times) if self.whole_seconds else times
        before = compared[None] - compared[:, None] > self.gap
        if self.rules.same_order_in_frames:
            before &= _less(self._first_shown(graph))
        if self.rules.firm_share:
            before &= _less(graph.category_first_frames(self.rules.firm_share))
        return before

    def _first_shown(self, graph: SceneGraph) -> Indices:
        """(category,) place among the frames that the model sees where it first appears, -1 for nowhere."""
        seen = graph.sightings.seen(self.rules.min_share)[graph.shown]
        frames = [seen[:, m].any(1) for m in graph.members]
        return np.array([f.argmax() if f.any() else -1 for f in frames], np.intp)

    def _first_members(self, graph: SceneGraph) -> Indices:
        """(category,) the instance that appears first, -1 for none."""
        first = graph.sightings.first_frames(self.rules.min_share)
        first = np.where(first < 0, len(graph.scene.frames), first)
        return np.array([m[first[m].argmin()] if len(m) else -1 for m in graph.members], np.intp)


def _less(positions: Indices) -> Mask:
    """[i, j]: both are known, and position i is before position j."""
    known = positions >= 0
    return (positions[:, None] < positions[None]) & known[:, None] & known[None]
