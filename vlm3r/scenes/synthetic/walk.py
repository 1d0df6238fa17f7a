"""The walk: a person goes from viewpoint to viewpoint, looks around at each, and films at eye height."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from .gaze import STEP, Surroundings, look_around
from .ground import CELL, Ground, NoWay
from .shapes import Array
from .world import World

TICK = 0.02
"""Seconds between the instants at which the walk is worked out."""


@dataclass(frozen=True)
class WalkSettings:
    """How a person walks and looks."""

    clearance: float = 0.25
    """Metres that stay free around the camera."""
    speed: float = 0.55
    """Mean metres per second between two stops; the peak is half as much again."""
    pause: float = 4.0
    """Seconds of looking around at a stop."""
    shortest: float = 14.0
    """Seconds below which a person stays longer at the stops."""
    eye_height: tuple[float, float] = (1.4, 1.7)
    """Range in metres."""
    pitch: tuple[float, float] = (-17.0, -9.0)
    """Degrees above the horizon between which the gaze moves."""
    reach: float = 6.0
    """Metres up to which an object is looked at."""


MAX_SPEED = 1.0
"""Metres per second."""
MAX_TURN = 60.0
"""Degrees per second."""
LARGE_ROOM = 18.0
"""Square metres from which on a room has one more stop."""
FAR_APART = 2.0
"""Metres between two stops of a room, if need be nearer to walls."""
OPEN_FLOOR = 0.8
"""Clearance in metres that a stop has where the room allows it."""


@dataclass(frozen=True)
class Walk:
    """A finished walk: camera-to-world poses (frame, 4, 4) and their times in seconds (frame,)."""

    poses: Array
    times: Array


def draw_walk(world: World, rng: np.random.Generator, fps: float, settings: WalkSettings | None = None) -> Walk:
    """A collision-free walk that visits every room; its length follows from the home.

    Raises:
        NoWay: the home leaves too little free floor.
    """
    s = settings or WalkSettings()
    ground = Ground.of(world)
    margin = s.clearance + CELL / 2
    stops, ways = _route(world, ground, rng, margin)
    path, marks = _smooth_path(ground, stops, ways, s.clearance)
    travelled = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    t, along, yaw = _motion(world, path, travelled, travelled[marks], s)
    xy = np.stack([np.interp(along, travelled, path[:, k]) for k in (0, 1)], axis=1)
    height = rng.uniform(*s.eye_height)
    pitch = _wandering(rng, len(t), *s.pitch)
    steps = 2 * np.pi * 1.7 * t
    pace = gaussian_filter1d(np.gradient(along, TICK), 0.3 / TICK, mode="nearest") / s.speed
    z = height + 0.010 * np.clip(pace, 0, 1) * np.sin(steps)
    yaw = yaw + np.radians(0.25) * np.sin(steps / 2)
    frames = np.arange(0, t[-1] + 1e-9, 1 / fps)
    values = [np.interp(frames, t, v) for v in (xy[:, 0], xy[:, 1], z, yaw, pitch)]
    walk = Walk(np.stack([look_pose(np.array([x, y, h]), a, p) for x, y, h, a, p in zip(*values, strict=True)]), frames)
    _check(walk, xy, yaw, ground, s)
    return walk


def _motion(world: World, path: Array, travelled: Array, stops: Array, s: WalkSettings) -> tuple[Array, Array, Array]:
    """Time in seconds, metres travelled and yaw in radians at every tick.

    Args:
        world: the home.
        path: (point, 2) the way.
        travelled: (point,) metres travelled up to each point.
        stops: metres travelled up to each stop.
        s: pace and pauses.
    """
    pauses = s.pause * max(1.0, (s.shortest - stops[-1] / s.speed) / (s.pause * len(stops)))
    moments, distances = [0.0], [0.0]
    for number, stop in enumerate(stops):
        if number:
            moments.append(moments[-1] + max((stop - stops[number - 1]) / s.speed, 1.0))
            distances.append(stop)
        moments.append(moments[-1] + pauses)
        distances.append(stop)
    steps = np.ceil(np.array(moments) / STEP - 1e-9).astype(int)
    going = PchipInterpolator(steps * STEP, distances)
    decisions = STEP * np.arange(steps[-1] + 1)
    places = np.stack([np.interp(going(decisions), travelled, path[:, k]) for k in (0, 1)], axis=1)
    headings = np.full(len(decisions), np.nan)
    for a, b in zip(steps[1::2], steps[2::2], strict=False):
        ahead = np.interp(going(decisions[a:b]) + 0.5, travelled, np.arange(len(path)))
        headings[a:b] = [_heading(path, int(index)) for index in ahead]
    gaze = look_around(Surroundings.of(world, s.reach), places, headings)
    t = np.arange(0, decisions[-1] + TICK / 2, TICK)
    yaw = gaussian_filter1d(np.interp(t, decisions, np.radians(gaze)), 0.45 / TICK, mode="nearest")
    return t, going(t), yaw


def _heading(path: Array, index: int) -> float:
    """Degrees of the walking direction at a point of the path."""
    before, after = path[max(index - 15, 0)], path[min(index + 15, len(path) - 1)]
    return float(np.degrees(np.arctan2(after[1] - before[1], after[0] - before[0])))


def look_pose(position: Array, yaw: float, pitch: float) -> Array:
    """Camera-to-world 4x4 (x right, y down, z forward); radians, `yaw` from +x and `pitch` above the horizon."""
    forward = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = right, np.cross(forward, right), forward, position
    return pose


def _wandering(rng: np.random.Generator, count: int, low: float, high: float) -> Array:
    """Angles in radians that drift slowly between two bounds in degrees."""
    noise = gaussian_filter1d(rng.standard_normal(count), 1.2 / TICK, mode="wrap")
    spread = max(float(np.abs(noise).max()), 1e-9)
    return np.radians((low + high) / 2 + (high - low) / 2 * noise / spread)


def _route(world: World, ground: Ground, rng: np.random.Generator, margin: float) -> tuple[Array, list[Array]]:
    """The cells to stop at in order, and the way between each two of them as cells."""
    standable = ground.standable(margin)
    cells = np.flatnonzero(standable)
    positions = ground.positions(cells)
    places, rooms = [], []
    for number, room in enumerate(world.rooms):
        outline = shapely.Polygon(room.polygon)
        members = np.flatnonzero(shapely.contains_xy(outline, positions))
        if not len(members):
            raise NoWay(f"nowhere to stand in the {room.use}")
        wanted = 2 + (outline.area > LARGE_ROOM) if len(world.rooms) == 1 else 1 + (outline.area > LARGE_ROOM)
        clearance = ground.clearance.ravel()[cells[members]]
        for least in (OPEN_FLOOR, (OPEN_FLOOR + margin) / 2, margin):
            open_floor = members[clearance >= min(least, 0.75 * clearance.max())]
            chosen = _spread(positions[open_floor], wanted, rng)
            if wanted == 1 or np.linalg.norm(np.ptp(positions[open_floor[chosen]], axis=0)) >= FAR_APART:
                break
        places += cells[open_floor[chosen]].tolist()
        rooms += [number] * len(chosen)
    if len(places) < 2:
        raise NoWay("too little room to walk")
    costs, ways = ground.ways(np.array(places), margin)
    costs = costs + 4.0 * (np.array(rooms)[:, None] != np.array(rooms)[None])
    order = [int(rng.integers(len(places)))]
    while len(order) < len(places):
        left = [k for k in range(len(places)) if k not in order]
        order.append(min(left, key=lambda k: costs[order[-1], k]))
    legs = [ways[a][places[b]] for a, b in pairwise(order)]
    return np.array([places[k] for k in order]), legs


def _spread(points: Array, count: int, rng: np.random.Generator) -> list[int]:
    """`count` points far from each other, or fewer where they would be closer than a metre."""
    chosen = [int(rng.integers(len(points)))]
    distance = np.linalg.norm(points - points[chosen[0]], axis=1)
    chosen = [int(distance.argmax())]
    distance = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < count and distance.max() > 1.0:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


def _smooth_path(ground: Ground, stops: Array, legs: list[Array], clearance: float) -> tuple[Array, Array]:
    """Floor points (n, 2) a few centimetres apart, as smooth as the clearance allows, and the indices of the stops."""
    pieces, marks = [ground.positions(stops[:1])], [0]
    for leg in legs:
        corners = ground.positions(leg)
        dense = np.concatenate([np.linspace(a, b, 4, endpoint=False) for a, b in pairwise(corners)])
        pieces += [dense[1:], corners[-1:]]
        marks.append(marks[-1] + len(dense))
    rough = np.concatenate(pieces)
    for sigma in (12, 8, 5, 3, 1):
        path = gaussian_filter1d(rough, sigma, axis=0, mode="nearest")
        if ground.exact_clearance(path) >= clearance:
            return path, np.array(marks)
    if ground.exact_clearance(rough) >= clearance:
        return rough, np.array(marks)
    raise NoWay("the way is too narrow")


def _check(walk: Walk, xy: Array, yaw: Array, ground: Ground, s: WalkSettings) -> None:
    speed = np.linalg.norm(np.diff(xy, axis=0), axis=1).max() / TICK
    turning = np.degrees(np.abs(np.diff(yaw)).max()) / TICK
    if ground.exact_clearance(walk.poses[:, :2, 3]) < s.clearance:
        raise NoWay("the walk comes too close to something")
    if speed > MAX_SPEED or turning > MAX_TURN:
        raise NoWay(f"the walk is hasty: {speed:.2f} m/s, {turning:.0f} degrees/s")
