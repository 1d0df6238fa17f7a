"""Where a person looks during a walk: at what has not been seen yet, ahead while walking, never long at a bare wall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from .shapes import Array
from .world import World

STEP = 0.5
"""Seconds between two decisions."""
SECTOR = 15.0
"""Degrees between two directions of gaze."""
DIRECTIONS = round(360 / SECTOR)
HALF_VIEW = 28.0
"""Degrees on either side of the gaze within which an object counts as looked at."""
SEEN_AGAIN = 0.12
"""Worth of looking at what was seen before, in comparison with what was not."""
OPENNESS = 1.2
"""Worth of a view over `FAR` metres of floor or more."""
FAR = 4.0
NEAR_WALL = 1.3
"""Metres; a wall straight ahead within this distance is not looked at."""
WALL_PRICE = 3.0
ASIDE_PRICE = 8.0
HORIZON, COMMITTED = 12, 2
TURNING = 0.35
"""Price of turning by one sector."""
ASIDE = 100.0
"""Degrees by which a walking person looks aside at most."""
MOST_SECTORS = 1
"""Sectors that the gaze turns in one step at most: 30 degrees per second."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What there is to look at in a home."""

    centres: Array
    """(object, 2) metres."""
    floor: shapely.Polygon
    reach: float
    """Metres up to which an object is looked at."""

    @classmethod
    def of(cls, world: World, reach: float) -> Surroundings:
        """The surroundings that a home offers; ceiling lights and rugs need no looking at."""
        centres = [o.centre[:2] for o in world.objects if o.span[0] < 2.0 and o.span[1] > 0.1]
        return cls(np.array(centres, float).reshape(-1, 2), world.floor(), reach)

    def visible(self, here: Array) -> Array:
        """Which objects are within reach and not behind a wall, (object,)."""
        lines = shapely.linestrings(np.stack([np.broadcast_to(here, self.centres.shape), self.centres], axis=1))
        behind = shapely.length(shapely.difference(lines, self.floor))
        return (np.linalg.norm(self.centres - here, axis=1) <= self.reach) & (behind < 0.3)

    def in_view(self, here: Array) -> Array:
        """Which objects each direction of gaze shows, (direction, object)."""
        bearings = np.degrees(np.arctan2(self.centres[:, 1] - here[1], self.centres[:, 0] - here[0]))
        away = np.abs((bearings[None] - _angles()[:, None] + 180) % 360 - 180)
        return (away <= HALF_VIEW) & self.visible(here)

    def depth(self, here: Array) -> Array:
        """Metres of free sight to the wall in each direction, (direction,)."""
        angles = np.radians(_angles())
        ends = here + 2 * FAR * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        rays = shapely.linestrings(np.stack([np.broadcast_to(here, ends.shape), ends], axis=1))
        crossing = shapely.intersection(rays, self.floor.boundary)
        return np.minimum(np.nan_to_num(shapely.distance(shapely.points(here), crossing), nan=2 * FAR), 2 * FAR)


def _angles() -> Array:
    return SECTOR * np.arange(DIRECTIONS)


def look_around(surroundings: Surroundings, places: Array, headings: Array) -> Array:
    """The gaze at every step of a walk as an unwrapped yaw in degrees, (step,).

    The person plans `HORIZON` steps ahead, by dynamic programming over directions, follows the plan for `COMMITTED`
    steps, and then plans anew, with what was seen in the meantime worth less.

    Args:
        surroundings: what there is to see.
        places: (step, 2) where the person is.
        headings: (step,) degrees in which the person walks, NaN where standing.
    """
    views = [surroundings.in_view(place) for place in places]
    base = np.array([_worth_of_direction(surroundings, *step) for step in zip(places, headings, strict=True)])
    seen = np.zeros(len(surroundings.centres), bool)
    chosen: list[int] = []
    while len(chosen) < len(places):
        now = len(chosen)
        value = np.where(seen, SEEN_AGAIN, 1.0)
        worth = base[now : now + HORIZON] + [view @ value for view in views[now : now + HORIZON]]
        plan = _best_turns(worth, chosen[-1] if chosen else None)[:COMMITTED]
        for step, direction in enumerate(plan, start=now):
            seen |= views[step][direction]
        chosen += plan
    return np.degrees(np.unwrap(np.radians(SECTOR * np.array(chosen))))


def _worth_of_direction(surroundings: Surroundings, place: Array, heading: float) -> Array:
    """What each direction of gaze is worth apart from objects, (direction,)."""
    sight = surroundings.depth(place)
    worth = OPENNESS * np.minimum(sight, FAR) / FAR - WALL_PRICE * (sight < NEAR_WALL)
    if not np.isfinite(heading):
        return worth
    aside = np.abs((_angles() - heading + 180) % 360 - 180)
    return worth - np.where(aside <= ASIDE, 0.01 * aside, ASIDE_PRICE)


def _best_turns(worth: Array, start: int | None) -> list[int]:
    """The directions of most worth, (step,), that turn by at most `MOST_SECTORS` from one step to the next."""
    total = worth[0].copy()
    if start is not None:
        away = np.abs((np.arange(DIRECTIONS) - start + DIRECTIONS // 2) % DIRECTIONS - DIRECTIONS // 2)
        total = np.where(away <= MOST_SECTORS, total - TURNING * away, -np.inf)
    came: list[Array] = []
    for value in worth[1:]:
        shifts = range(-MOST_SECTORS, MOST_SECTORS + 1)
        options = np.stack([np.roll(total, shift) - TURNING * abs(shift) for shift in shifts])
        best = options.argmax(0)
        came.append((np.arange(DIRECTIONS) - np.array(list(shifts))[best]) % DIRECTIONS)
        total = options.max(0) + value
    chosen = [int(total.argmax())]
    for before in reversed(came):
        chosen.append(int(before[chosen[-1]]))
    return chosen[::-1]
