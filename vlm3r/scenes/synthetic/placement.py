"""Furnishing: which pieces each room gets, in which order they are placed, and what is wrong with the result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from .catalogue import KINDS
from .catalogue.kind import Kind
from .furnish import ESSENTIAL, Wish, draw_wishes, object_budgets
from .openings import Fitting
from .placement_rules import propose, unplaced
from .placement_space import FloorGrid, Item, Keepout, Space, is_walkable, solid_size
from .plan import FloorPlan, Wall
from .shapes import Solid
from .world import Unfurnishable

CROWDED = 0.42
"""Share of a room's floor that may be covered."""
FEWEST_OBJECTS, FEWEST_IN_ROOM = 8, 2
DOOR_STICKS_OUT = 0.035
"""Metres of a door, handle included, that stand before the wall."""
DOORWAY_DEPTH, WINDOW_DEPTH = 0.7, 0.35
"""Metres before a doorway and before a window that stay free."""
MATCHING = frozenset({"kitchen counter", "kitchen cabinet", "curtain", "stool", "towel", "table lamp"})
"""Kinds whose pieces in one room are alike; what stands around something is alike in any case."""
NEEDED = 2.5
"""Weight from which on a piece that fits nowhere is replaced by another design, which may be smaller."""
TRIES = 6
"""Designs that are tried before a piece is given up."""


def furnish(plan: FloorPlan, fittings: Sequence[Fitting], rng: np.random.Generator) -> list[Item]:
    """The furniture of a home, doors and windows first; every item stands where it may.

    Raises:
        Unfurnishable: a room stays too empty, or one cannot walk through the home.
    """
    space = _empty(plan, fittings)
    budgets = object_budgets(plan.rooms, [room.area for room in space.rooms], rng)
    for room in rng.permutation(len(plan.rooms)).tolist():
        _furnish_room(space, room, plan.rooms[room].use, budgets[room], rng)
    _check(space, plan)
    return space.items


def _empty(plan: FloorPlan, fittings: Sequence[Fitting]) -> Space:
    rooms = [shapely.Polygon(room.polygon) for room in plan.rooms]
    doorways = [shapely.Polygon(passage) for passage in plan.passages]
    floor = shapely.union_all([shape.buffer(1e-3, join_style="mitre") for shape in (*rooms, *doorways)])
    if not isinstance(floor, shapely.Polygon):
        raise Unfurnishable("the rooms are not connected")
    space = Space(rooms, list(plan.walls), plan.height, FloorGrid(floor, rooms))
    if not is_walkable(space.grid.clear, space.grid.rooms):
        raise Unfurnishable("the rooms are too narrow")
    for fitting in fittings:
        wall, hole, kind = plan.walls[fitting.wall], fitting.hole, KINDS[fitting.category]
        number = space.add(_fitted(fitting, wall))
        area = wall.strip(hole.left, hole.right, 0.0, kind.clear_front or WINDOW_DEPTH)
        space.keepouts.append(Keepout(area, hole.low, hole.high, number, strict=True))
    for wall in plan.walls:
        for hole in wall.openings:
            if hole.kind == "passage":
                area = wall.strip(hole.left - 0.08, hole.right + 0.08, 0.0, DOORWAY_DEPTH)
                space.keepouts.append(Keepout(area, hole.low, hole.high, strict=True))
    return space


def _fitted(fitting: Fitting, wall: Wall) -> Item:
    """A window or door in its hole: within the wall, but for what a door has in front of its leaf."""
    size = solid_size(fitting.solid)
    out = float(size[1]) / 2 + (0.002 if fitting.hole.kind == "window" else -DOOR_STICKS_OUT)
    x, y = wall.to_home((fitting.hole.left + fitting.hole.right) / 2, out)
    kind = KINDS[fitting.category]
    return Item(kind, fitting.solid, size, (x, y, fitting.hole.low), wall.yaw, wall.room, wall=wall)


def _furnish_room(space: Space, room: int, use: str, budget: int, rng: np.random.Generator) -> None:
    """Place what a room wishes for, the most wanted first, until it has as many objects as it should."""
    present = {item.kind.category for item in space.items}
    wishes = draw_wishes(use, space.rooms[room].area, present, rng)
    while wishes and (left := budget - len(space.room_items(room))) > 0:
        taken = 1 + int(np.searchsorted(np.cumsum([wish.copies for wish in wishes]), left))
        _place_wishes(space, room, wishes[:taken], rng)
        wishes = wishes[taken:]


def _place_wishes(space: Space, room: int, wishes: Sequence[Wish], rng: np.random.Generator) -> None:
    """Place furniture by size, each piece followed by what stands around it, then what lies, stands on it and hangs."""
    around = [wish for wish in wishes if wish.kind.place == "around"]
    for number in space.room_items(room):
        _accompany(space, number, around, rng)
    anchors = [wish for wish in wishes if wish.kind.place in ("wall", "corner", "free")]
    items = {wish.kind.category: unplaced(wish.kind, wish.kind.build(rng), room) for wish in anchors}
    anchors.sort(key=lambda w: -float(np.prod(items[w.kind.category].size[:2])) - 0.6 * w.kind.weight)
    for copy in range(max((wish.copies for wish in anchors), default=0)):
        for kind in (wish.kind for wish in anchors if copy < wish.copies):
            if _coverage(space, room) > CROWDED:
                break
            alike = copy == 0 or kind.category in MATCHING
            number = _place(space, items[kind.category] if alike else unplaced(kind, kind.build(rng), room), [], rng)
            if number is None and copy == 0 and kind.weight >= NEEDED:
                number = _place_another(space, room, kind, rng)
            if number is not None:
                _accompany(space, number, around, rng)
    for wish in wishes:
        if wish.kind.place == "floor_flat":
            rug = _place(space, unplaced(wish.kind, wish.kind.build(rng), room), [], rng)
            if rug is not None:
                space.lift_onto(rug)
    for wish in wishes:
        if wish.kind.place in ("surface", "hung"):
            _dress(space, room, wish, rng)
        elif wish.kind.place == "ceiling":
            _place_another(space, room, wish.kind, rng)


def _coverage(space: Space, room: int) -> float:
    numbers = [n for n in space.room_items(room) if space.items[n].kind.blocks_walking]
    return sum(space.items[n].footprint.area for n in numbers) / space.rooms[room].area


def _place(space: Space, item: Item, references: list[int], rng: np.random.Generator) -> int | None:
    """Put the item at the first place that is free; its number, or None where there is none."""
    anchor = references[0] if references else None
    for candidate, margin in propose(item, space, references, rng):
        if space.accepts(candidate, margin, anchor):
            return space.add(candidate)
    return None


def _accompany(space: Space, anchor: int, wishes: Sequence[Wish], rng: np.random.Generator) -> None:
    """Place what belongs around an item, and what belongs around that; pieces of one kind are alike."""
    owner = space.items[anchor]
    for wish in wishes:
        if owner.kind.category not in wish.kind.on:
            continue
        solid = wish.kind.build(rng)
        for _ in range(wish.copies):
            number = _place(space, unplaced(wish.kind, solid, owner.room), [anchor], rng)
            if number is None:
                break
            _accompany(space, number, wishes, rng)


def _dress(space: Space, room: int, wish: Wish, rng: np.random.Generator) -> None:
    """Put copies of a kind on the furniture of a room or on its walls."""
    kind = wish.kind
    numbers = space.room_items(room)
    references = [n for name in kind.on for n in numbers if space.items[n].kind.category == name]
    if kind.on and not references:
        return
    if kind.place == "hung" and references:  # one over each piece, two beside each window
        spots = [[n] for n in references for _ in range(2 if space.items[n].kind.place == "opening" else 1)]
    else:
        spots = [references[copy:] + references[:copy] for copy in range(wish.copies)]
    design: Solid | None = None
    for spot in spots:
        for _ in range(TRIES if spot is spots[0] and design is None else 1):  # another design may be smaller
            solid = design if design is not None else kind.build(rng)
            if _place(space, unplaced(kind, solid, room), spot, rng) is not None:
                design = solid if kind.category in MATCHING else None
                break


def _place_another(space: Space, room: int, kind: Kind, rng: np.random.Generator) -> int | None:
    """Try several designs: a smaller bed, or a lamp that does not hang too low where there is no table below it."""
    for _ in range(TRIES):
        number = _place(space, unplaced(kind, kind.build(rng), room), [], rng)
        if number is not None:
            return number
    return None


def _check(space: Space, plan: FloorPlan) -> None:
    if len(space.items) < FEWEST_OBJECTS:
        raise Unfurnishable(f"only {len(space.items)} objects found a place")
    for number, room in enumerate(plan.rooms):
        here = [space.items[n].kind for n in space.room_items(number)]
        if sum(kind.place != "opening" for kind in here) < FEWEST_IN_ROOM:
            raise Unfurnishable(f"the {room.use} stays too empty")
        for name in ("ceiling light", *ESSENTIAL[room.use][:1]):
            if all(kind.category != name for kind in here):
                raise Unfurnishable(f"the {room.use} has no place for a {name}")
