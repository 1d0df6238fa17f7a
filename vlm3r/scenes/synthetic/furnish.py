"""Which pieces each room of a home gets: what belongs in it, in which order it matters, and how many there are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from .catalogue import KINDS
from .catalogue.kind import Kind
from .world import RoomShape

ESSENTIAL = {
    "living": ("sofa", "tv cabinet"),
    "kitchen": ("refrigerator", "stove", "kitchen counter"),
    "bedroom": ("bed", "wardrobe"),
    "bathroom": ("toilet", "washbasin", "bathtub"),
    "office": ("desk", "bookshelf"),
    "dining": ("dining table",),
    "hall": (),
}
"""What a room of each use has before anything else is chosen; it is not that room without the first."""
BELONGING = 2.0
"""Weight from which on a kind comes along with the piece that it stands on or around."""
ROOMY = {
    ("dining table", "living"): 24.0,
    ("dining table", "kitchen"): 12.0,
    ("desk", "living"): 24.0,
    ("desk", "bedroom"): 14.0,
    ("bathtub", "bathroom"): 6.5,
    ("bicycle", "hall"): 6.5,
    ("piano", "hall"): 99.0,
    ("piano", "living"): 22.0,
    ("wardrobe", "hall"): 7.0,
    ("armchair", "bedroom"): 14.0,
}
"""Square metres that a room needs before it gets such a piece."""
SECOND_PIECE = 22.0
"""Square metres from which on a room may have two sofas, beds, desks or the like."""
ELSEWHERE = 0.35
"""How much less readily a kind is chosen when another room of the home has it."""
BARE, FULL, PER_SQUARE_METRE = 9.0, 33, 0.55
"""Objects in a home: about the first, and so many for each square metre, but at most the second."""
FEWEST_IN_ROOM = 4
COLLECTIONS, MORE = 0.25, 3
"""How often there are up to `MORE` more of something small than usual."""


@dataclass(frozen=True)
class Wish:
    """So many pieces of one kind; of a kind that stands around others, so many for each of those."""

    kind: Kind
    copies: int


def object_budgets(rooms: Sequence[RoomShape], areas: Sequence[float], rng: np.random.Generator) -> list[int]:
    """How many objects each room is to have, doors and windows included."""
    total = min((BARE + PER_SQUARE_METRE * sum(areas)) * rng.uniform(0.85, 1.15), FULL)
    shares = np.asarray(areas) ** 0.7 * np.where([room.use == "hall" for room in rooms], 0.7, 1.0)
    return [max(FEWEST_IN_ROOM, round(float(total * share))) for share in shares / shares.sum()]


def draw_wishes(use: str, area: float, present: Collection[str], rng: np.random.Generator) -> list[Wish]:
    """All pieces that a room could have, the most wanted first, each after what it stands on or around.

    Args:
        use: What the room is used for.
        area: Its floor in square metres.
        present: Categories that other rooms of the home have.
        rng: Source of all choices.
    """
    fitting = [k for k in KINDS.values() if use in k.rooms and k.place != "opening" and _has_room(k, use, area)]
    eager = [k.weight * (ELSEWHERE if k.category in present and k.place != "ceiling" else 1.0) for k in fitting]
    order = np.argsort(rng.exponential(size=len(fitting)) / np.array(eager))
    by_chance = [fitting[number] for number in order.tolist()]
    essential = [k for name in ("ceiling light", *ESSENTIAL[use]) for k in fitting if k.category == name]
    wanted: dict[str, Kind] = {}
    for kind in essential:
        _want(kind, wanted, by_chance, rng)
    while kind := next((k for k in by_chance if k.category not in wanted and _has_place(k, wanted)), None):
        _want(kind, wanted, by_chance, rng)
    return [Wish(kind, _copies(kind, area, rng)) for kind in wanted.values()]


def _has_room(kind: Kind, use: str, area: float) -> bool:
    return area >= ROOMY.get((kind.category, use), 0.0)


def _has_place(kind: Kind, wanted: Collection[str]) -> bool:
    """Whether there is what a kind stands on or around; windows and walls always are."""
    return kind.place not in ("surface", "around") or any(name in wanted for name in kind.on)


def _want(kind: Kind, wanted: dict[str, Kind], candidates: Sequence[Kind], rng: np.random.Generator) -> None:
    """Add a kind and, mostly, what belongs to it."""
    wanted.setdefault(kind.category, kind)
    for other in candidates:
        belongs = other.on[:1] == (kind.category,) and other.weight >= BELONGING
        seat = other.place == "around" and other.side == "all"
        if belongs and other.category not in wanted and (seat or rng.random() < 1 - np.exp(-other.weight)):
            _want(other, wanted, candidates, rng)


def _copies(kind: Kind, area: float, rng: np.random.Generator) -> int:
    low, high = kind.count
    if kind.place in ("surface", "hung") and high > 1 and rng.random() < COLLECTIONS:
        high += MORE
    large = kind.place in ("wall", "corner") and kind.blocks_walking
    if large and area < SECOND_PIECE and kind.rooms != frozenset({"kitchen"}):
        return low
    return int(rng.integers(low, high + 1)) if kind.blocks_walking or high <= 3 else int(rng.integers(2, high + 1))
