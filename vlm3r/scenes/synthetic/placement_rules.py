"""Where a piece of furniture may go: candidate positions for every kind of place, in the order of their merit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import shapely

from .catalogue.kind import Kind
from .placement_space import HUNG_GAP, WALL_GAP, Item, Space, solid_size
from .plan import Wall
from .shapes import Solid, rotation

Proposals = Iterator[tuple[Item, float]]
"""Candidates with the margin around them that has to be free."""

TRIES = 30
FACING = {"tv cabinet": "sofa", "tv stand": "sofa"}
"""What stands opposite of what."""
FLANKED = {"bed": 0.6, "sofa": 0.6, "tv cabinet": 0.3}
"""What better has so many metres of wall on either side, for what stands beside it."""
ALIGNED = {"keyboard": ("monitor", 0.0), "computer mouse": ("keyboard", 0.06), "monitor": ("office chair", 0.0)}
"""What lies in line with what, as seen from the front, or so far to the right of it (metres)."""
BEFORE_WINDOW = {"tv cabinet": 6.0, "desk": 2.0, "dresser": 3.0, "kitchen counter": 1.0}
"""How bad it is to stand before a window, which what they carry would hide, in the measure of the other merits."""
SIDE_BY_SIDE = 0.005
"""Gap in a row of kitchen units, metres."""
FRAMING = 0.12
"""Metres of a window that a curtain on either side covers."""
AROUND_ALL_MARGIN = 0.62
"""Space that a table needs around it for its chairs."""
HEAD_ROOM = 2.0
"""Height of the lower edge of a lamp that one can walk under, metres."""
OVER_TABLE = 0.7
"""Metres between a table and the lamp above it."""


def propose(item: Item, space: Space, references: list[int], rng: np.random.Generator) -> Proposals:
    """Candidates for an item that so far stands nowhere.

    Args:
        item: The item, at the origin of its room.
        space: The home so far.
        references: Numbers of the items that it may stand on or around.
        rng: Source of all choices.
    """
    kind = item.kind
    if kind.place == "surface":
        yield from _on_top(item, space, references, rng)
    elif kind.place == "around":
        yield from _around(item, space, references, rng)
    elif kind.place in ("wall", "corner"):
        yield from _sorted(_along_walls(item, space, rng, kind.place == "corner"), _merit(item, space, rng))
    elif kind.place == "hung":
        yield from _hung(item, space, references, rng)
    elif kind.place == "free":
        yield from _free(item, space, AROUND_ALL_MARGIN if kind.supports else 0.1, rng)
    elif kind.place == "floor_flat":
        yield from _flat(item, space, rng)
    elif kind.place == "ceiling":
        yield from _ceiling(item, space, rng)


def unplaced(kind: Kind, solid: Solid, room: int) -> Item:
    """The item before it has a position."""
    return Item(kind, solid, solid_size(solid), (0.0, 0.0, 0.0), 0.0, room)


def _moved(item: Item, x: float, y: float, z: float, yaw: float, **changes: object) -> Item:
    return replace(item, at=(float(x), float(y), float(z)), yaw=_turn(yaw), **changes)  # pyright: ignore[reportArgumentType]


def _turn(yaw: float) -> float:
    """The yaw in [-180, 180), to a millionth of a degree, so that equal directions are equal numbers."""
    return round((yaw + 180) % 360 - 180, 6) + 0.0


def _room_walls(item: Item, space: Space) -> list[Wall]:
    return [wall for wall in space.walls if wall.room == item.room]


def _against(item: Item, wall: Wall, along: float, z: float = 0.0, gap: float = WALL_GAP) -> Item:
    """The item with its back to a wall, its middle at `along` metres from the wall's left end."""
    x, y = wall.to_home(along, -(float(item.size[1]) / 2 + gap))
    return _moved(item, x, y, z, wall.yaw, wall=wall)


def _along_walls(item: Item, space: Space, rng: np.random.Generator, ends_only: bool) -> Iterator[Item]:
    """Positions at the ends of free stretches of wall, beside what already stands in a row, and in between."""
    half = float(item.size[0]) / 2
    row = item.kind.rooms == frozenset({"kitchen"})
    if row:
        for number in space.room_items(item.room):
            other = space.items[number]
            if other.wall is not None and other.kind.place == "wall" and other.kind.rooms == item.kind.rooms:
                for side in (-1, 1):
                    x, _ = _on_wall(other, other.wall)
                    reach = side * (float(other.size[0]) / 2 + half + SIDE_BY_SIDE)
                    yield _against(item, other.wall, x + reach)
    stretches = [
        (wall, left, right)
        for wall in _room_walls(item, space)
        for left, right in wall.solid_stretches(0.02, float(item.size[2]))
        if right - left > 2 * half + WALL_GAP
    ]
    for wall, left, right in stretches:
        for end in (left + half + WALL_GAP, right - half - WALL_GAP):
            yield _against(item, wall, end)
    if stretches and not ends_only:
        lengths = np.array([right - left for _, left, right in stretches])
        for pick in rng.choice(len(stretches), TRIES, p=lengths / lengths.sum()).tolist():
            wall, left, right = stretches[pick]
            yield _against(item, wall, float(rng.uniform(left + half, right - half)))


def _on_wall(item: Item, wall: Wall) -> tuple[float, float]:
    """Coordinates of an item's middle along a wall and out of the room."""
    turn = np.radians(wall.yaw)
    offset = np.array(item.at[:2]) - wall.start
    return float(offset @ (np.cos(turn), np.sin(turn))), float(offset @ (-np.sin(turn), np.cos(turn)))


def _sorted(candidates: Iterator[Item], merit: Callable[[Item], float]) -> Proposals:
    for item in sorted(candidates, key=merit, reverse=True):
        yield item, 0.0


def _merit(item: Item, space: Space, rng: np.random.Generator) -> Callable[[Item], float]:
    """How good a position along a wall is; random where nothing speaks for or against it."""
    partners = [space.items[n] for n in space.room_items(item.room)]
    opposite = [p for p in partners if p.kind.category == FACING.get(item.kind.category)]
    row = [p for p in partners if p.wall is not None and p.kind.rooms == item.kind.rooms == frozenset({"kitchen"})]

    def merit(candidate: Item) -> float:
        score = float(rng.random())
        if candidate.kind.category in BEFORE_WINDOW and candidate.wall is not None:
            along, half = _on_wall(candidate, candidate.wall)[0], float(candidate.size[0]) / 2
            score -= BEFORE_WINDOW[candidate.kind.category] * any(
                hole.kind == "window" and hole.left < along + half and hole.right > along - half
                for hole in candidate.wall.openings
            )
        if candidate.kind.category in FLANKED:
            score += min(_side_room(candidate) / FLANKED[candidate.kind.category], 1.0)
        for other in opposite:
            away = np.array(candidate.at[:2]) - other.at[:2]
            ahead, aside = away @ other.front, abs(away @ np.array([-other.front[1], other.front[0]]))
            score += 4 * float(candidate.front @ -other.front) + (1.0 if ahead > 0 else -1.0) - float(aside)
        for other in row:
            near = float(np.hypot(*(np.array(candidate.at[:2]) - other.at[:2])))
            score += 2.0 * (near < (candidate.size[0] + other.size[0]) / 2 + 0.05) - 0.2 * near
        return score

    return merit


def _side_room(item: Item) -> float:
    """Metres of wall, not of doorways, that remain at the tighter side of an item."""
    assert item.wall is not None
    along, half = _on_wall(item, item.wall)[0], float(item.size[0]) / 2
    stretches = item.wall.solid_stretches(0.0, 0.5)
    return max((min(along - half - left, right - along - half) for left, right in stretches), default=0.0)


def _on_top(item: Item, space: Space, references: list[int], rng: np.random.Generator) -> Proposals:
    """Level places on the tops of the items that may carry it."""
    half = item.size[:2] / 2
    for number in references:
        carrier = space.items[number]
        top = carrier.top()
        low, high = np.array(top.low) + half, np.array(top.high) - half
        if (high < low - 1e-3).any():
            continue
        high = np.maximum(high, low)
        aligned = _aligned(item, carrier, space)
        for attempt in range(8):
            x, y = rng.uniform(low, high)
            if aligned is not None and attempt < 4:
                x = np.clip(aligned, low[0], high[0])
            if item.kind.spot != "any":
                x += (0.7 if item.kind.spot == "centre" else 0.0) * ((low[0] + high[0]) / 2 - x)
                level = {"back": high[1], "front": low[1], "centre": (low[1] + high[1]) / 2}[item.kind.spot]
                y += 0.85 * (level - y)
            lean = float(rng.uniform(-12, 12)) if item.kind.spot == "any" and (high - low).min() > 0.1 else 0.0
            at = carrier.beside(float(x), float(y))
            yield _moved(item, *at, carrier.at[2] + top.height, carrier.yaw + lean, support=number), 0.0


def _aligned(item: Item, carrier: Item, space: Space) -> float | None:
    """The x in the carrier's frame at which an item is in line with its partner, if that is there."""
    name, aside = ALIGNED.get(item.kind.category, ("", 0.0))
    right = rotation("z", carrier.yaw)[:2, 0]  # of one who faces the carrier's front
    for number in space.room_items(item.room):
        partner = space.items[number]
        offset = np.array(partner.at[:2]) - carrier.at[:2]
        if partner.kind.category == name and np.hypot(*offset) < carrier.size[:2].max():
            shift = aside + (float(partner.size[0] + item.size[0]) / 2 if aside else 0.0)
            return float(offset @ right + shift)
    return None


def _around(item: Item, space: Space, references: list[int], rng: np.random.Generator) -> Proposals:
    """Seats at every side of a table, what stands before something and faces it, or beside it in line with its back."""
    w, d = float(item.size[0]), float(item.size[1])
    for number in references:
        anchor = space.items[number]
        anchor_w, anchor_d = float(anchor.size[0]), float(anchor.size[1])
        places: list[tuple[float, float, float]] = []
        if item.kind.side == "beside":
            gap = float(rng.uniform(0.02, 0.08))
            back = (anchor_d - d) / 2
            places = [(side * ((anchor_w + w) / 2 + gap), back, 0.0) for side in (-1, 1)]
            rng.shuffle(places)
        elif item.kind.side == "front":
            for gap in (0.40, 0.34, 0.46) if item.kind.supports else (0.03, 0.08, 0.15):
                shift = 0.1 * float(rng.uniform(-1, 1)) * anchor_w
                places.append((shift, -(anchor_d + d) / 2 - gap, 0.0 if item.kind.supports else 180.0))
        else:
            places = _seats(anchor_w, anchor_d, w, d, rng)
        for x, y, turn in places:
            yield _moved(item, *anchor.beside(x, y), anchor.at[2], anchor.yaw + turn), 0.0


def _seats(anchor_w: float, anchor_d: float, w: float, d: float, rng: np.random.Generator) -> list[tuple]:
    """Places (x, y, turn) around a table in its frame: pairs opposite each other first, then the ends."""
    gap = float(rng.uniform(0.02, 0.10))
    long_x = anchor_w >= anchor_d
    length, across = (anchor_w, anchor_d) if long_x else (anchor_d, anchor_w)
    count = max(1, int((length - 0.1) // (w + 0.08)))
    pitch = length / count
    spots = [((k + 0.5) * pitch - length / 2, side * (across + d + 2 * gap) / 2, side) for k in range(count)
             for side in (-1, 1)]  # fmt: skip
    ends = [(side * (length + d + 2 * gap) / 2, 0.0, side) for side in (-1, 1)] if across > w else []
    places = []
    for along, out, side in spots:
        turn = 0.0 if side > 0 else 180.0  # a seat faces -y, so it looks at the table from the +y side
        places.append((along, out, turn) if long_x else (out, along, -90.0 if side > 0 else 90.0))
    for along, out, side in ends:
        places.append((along, out, -90.0 if side > 0 else 90.0) if long_x else (out, along, 0.0 if side > 0 else 180.0))
    return [(x, y, turn + float(rng.uniform(-5, 5))) for x, y, turn in places]


def _hung(item: Item, space: Space, references: list[int], rng: np.random.Generator) -> Proposals:
    """Places on the walls at the right height, above the item that it belongs to if there is one."""
    half = float(item.size[0]) / 2
    low, high = item.kind.hung
    high = min(high, space.height - float(item.size[2]) - 0.03)
    if high < low - 0.15:
        return
    if references:
        for number in references:
            below = space.items[number]
            if below.wall is None:
                continue
            along, _ = _on_wall(below, below.wall)
            if below.kind.place == "opening":
                reach = float(below.size[0]) / 2 + half - FRAMING
                for side in rng.permutation([-1, 1]).tolist():
                    z = float(rng.uniform(low, high))
                    yield _against(item, below.wall, along + side * reach, z, HUNG_GAP), 0.0
            else:
                z = max(float(rng.uniform(min(low, high), high)), below.span[1] + 0.05)
                yield _against(item, below.wall, along, z, HUNG_GAP), 0.0
        return
    stretches = [(wall, left, right) for wall in _room_walls(item, space)
                 for left, right in wall.solid_stretches(low, high + float(item.size[2]))
                 if right - left > 2 * half + 0.1]  # fmt: skip
    if not stretches:
        return
    lengths = np.array([right - left for _, left, right in stretches])
    for pick in rng.choice(len(stretches), TRIES, p=lengths / lengths.sum()).tolist():
        wall, left, right = stretches[pick]
        along = float(rng.uniform(left + half + 0.05, right - half - 0.05))
        yield _against(item, wall, along, float(rng.uniform(min(low, high), high)), HUNG_GAP), 0.0


def _free(item: Item, space: Space, margin: float, rng: np.random.Generator) -> Proposals:
    """Places in the open, straight with the walls, nearer the middle of the room first."""
    room = space.rooms[item.room]
    low_x, low_y, high_x, high_y = room.bounds
    middle = room.representative_point()
    spots = rng.uniform((low_x, low_y), (high_x, high_y), (4 * TRIES, 2))
    spots = spots[shapely.contains_xy(room, spots)]
    order = np.argsort(np.hypot(*(spots - (middle.x, middle.y)).T) + rng.normal(0, 0.5, len(spots)))
    for x, y in spots[order][:TRIES].tolist():
        yield _moved(item, x, y, 0.0, 90.0 * int(rng.integers(4))), margin


def _flat(item: Item, space: Space, rng: np.random.Generator) -> Proposals:
    """Under the low table, before a bed or sofa or under a table, else in the middle of the room or anywhere."""
    room = space.rooms[item.room]
    here = [space.items[n] for n in space.room_items(item.room)]
    spots = [(*table.beside(0, -0.1), table.yaw) for table in here if table.kind.category == "coffee table"]
    big = [thing for thing in here if thing.kind.category in ("bed", "sofa", "dining table", "bathtub")]
    for thing in sorted(big, key=lambda thing: -float(thing.size[0] * thing.size[1])):
        before = -float(thing.size[1] + item.size[1]) / 2
        offsets = (0.0, 0.3) if thing.kind.place == "free" else (before + 0.6, before + 0.3, before - 0.05)
        spots += [(*thing.beside(0, offset), thing.yaw) for offset in offsets]
    spots += [(room.centroid.x, room.centroid.y, 0.0), (room.centroid.x, room.centroid.y, 90.0)]
    low_x, low_y, high_x, high_y = room.bounds
    for x, y in rng.uniform((low_x, low_y), (high_x, high_y), (TRIES, 2)).tolist():
        spots.append((x, y, 90.0 * int(rng.integers(2))))
    for x, y, yaw in spots:
        yield _moved(item, x, y, 0.0, yaw), 0.0


def _ceiling(item: Item, space: Space, rng: np.random.Generator) -> Proposals:
    """Over a dining table; or, if nobody will knock against it, in the middle of the room or near it."""
    z = space.height - float(item.size[2])
    for number in space.room_items(item.room):
        table = space.items[number]
        if table.kind.category == "dining table" and z > table.span[1] + OVER_TABLE:
            yield _moved(item, *table.at[:2], z, table.yaw), 0.0
    if z < HEAD_ROOM:
        return
    circle = shapely.maximum_inscribed_circle(space.rooms[item.room], 0.05)
    x, y = circle.coords[0]
    yaw = 90.0 * int(rng.integers(2))
    for dx, dy in [(0.0, 0.0), *rng.normal(0, 0.5, (8, 2)).tolist()]:
        yield _moved(item, x + dx, y + dy, z, yaw), 0.0
