"""The camera-centred tasks, decided without the project's geometry."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
from scipy.spatial.transform import Rotation

from .judge import Judge
from .plain import Array, PlainScene, Solid, View, read_picture
from .rows import Asked
from .solids import point_distance, surface_points

EXACT = 1e-6
GAP = 0.15
"""Metres between the extents of two objects, and between two distances from the camera."""
_WORDS = {"nf": ("Near", "Far"), "lr": ("Left", "Right"), "ud": ("Up", "Down")}
_AXES = {"lr": 0, "ud": 1, "nf": 2}
_MOVES = ("Forward", "Backward", "Left", "Right")


def _views(scene: PlainScene, asked: Asked, judge: Judge, count: int) -> list[View]:
    views = [scene.seen(n) for n in asked.frames]
    judge.require(len(views) == count, f"{len(views)} frames")
    for view in views:
        if judge.require(view.pose is not None, "a frame has no usable pose") and view.pose is not None:
            turn = view.pose[:3, :3]
            true = Rotation.from_matrix(turn).as_matrix()
            judge.require(bool(np.abs(true - turn).max() < 5e-3), "a pose is no rigid motion")
    return [v for v in views if v.pose is not None]


def _pose(view: View) -> Array:
    assert view.pose is not None
    return view.pose


def _eye(view: View) -> Array:
    """Where the camera is: the image of the origin of its own coordinates."""
    return (_pose(view) @ np.array([0.0, 0, 0, 1]))[:3]


def _require_frame_unique(scene: PlainScene, view: View, solids: list[Solid], judge: Judge) -> None:
    tally = Counter(scene.by_key[i].category for i in scene.visible(view))
    for solid in solids:
        judge.require(tally[solid.category] == 1, f"{tally[solid.category]} x {solid.category} in the frame")


def camera_obj_abs_dist(scene: PlainScene, asked: Asked, judge: Judge) -> None:
    """The distance from the camera to the box of an object that is unique in the frame."""
    (view,), (solid,) = _views(scene, asked, judge, 1), asked.solids(scene)
    _require_frame_unique(scene, view, [solid], judge)
    distance = point_distance(solid, _eye(view))
    judge.number(asked.answer, distance, 1, EXACT, f"distance camera - {solid.category}")
    judge.at_least(distance, 0.2, EXACT, "distance")
    judge.at_least(-distance, -10.0, EXACT, "negative distance")


def camera_obj_dist_change(scene: PlainScene, asked: Asked, judge: Judge) -> None:
    """By how much the distance from the camera to an object differs between two frames."""
    first, second = _views(scene, asked, judge, 2)
    (solid,) = asked.solids(scene)
    for view in (first, second):
        _require_frame_unique(scene, view, [solid], judge)
    judge.require(5 <= asked.frames[1] - asked.frames[0] <= 30, f"frames {asked.frames}")
    distances = [point_distance(solid, _eye(v)) for v in (first, second)]
    judge.at_least(min(distances), 0.2, EXACT, "smaller distance")
    judge.at_least(-max(distances), -10.0, EXACT, "negative larger distance")
    change = abs(distances[1] - distances[0])
    judge.number(asked.answer, change, 1, EXACT, f"change of distance to {solid.category}")
    judge.at_least(change, 0.2, EXACT, "change of distance")


def camera_obj_rel_dist(scene: PlainScene, asked: Asked, judge: Judge) -> None:
    """The nearest to the camera of several objects that are unique in the frame."""
    (view,), solids = _views(scene, asked, judge, 1), asked.solids(scene)
    judge.require(len(asked.options) == {"1": 4, "2": 3, "3": 2}[asked.kind[-1]], "wrong number of options")
    same = {s.category for s in solids} == set(asked.options) and len(solids) == len(asked.options)
    if not judge.require(same, "asked objects are not the options"):
        return
    _require_frame_unique(scene, view, solids, judge)
    distances = {s.category: point_distance(s, _eye(view)) for s in solids}
    decimals = 2 if asked.kind.endswith("v1") else 1
    slack = 10.0**-decimals + EXACT  # published code compares rounded distances
    judge.at_least(min(distances.values()), 0.5, EXACT, "smallest distance")
    gap = min(abs(x - y) for x, y in itertools.combinations(distances.values(), 2))
    judge.require(gap >= GAP - slack, f"gap between choices is {gap:.4f}")
    nearest = min(distances.values())
    judge.choice(str(asked.answer), {o: bool(d == nearest) for o, d in distances.items()})


def obj_obj_relative_pos(scene: PlainScene, asked: Asked, judge: Judge) -> None:
    """Extents of two objects along an axis of the camera, from points of their surfaces."""
    (view,), (a, b) = _views(scene, asked, judge, 1), asked.solids(scene)
    _require_frame_unique(scene, view, [a, b], judge)
    judge.require(a.category != b.category, "one category twice")
    axis = asked.kind[-2:]
    low, high = _WORDS[axis]
    judge.require({o.lower() for o in asked.options} == {low.lower(), high.lower()}, f"options are {asked.options}")
    (a_min, a_max), (b_min, b_max) = (_extent(s, view, _AXES[axis]) for s in (a, b))
    truths: dict[str, bool | None] = dict.fromkeys(asked.options, False)
    for option in asked.options:
        gap = b_min - a_max if option.lower() == low.lower() else a_min - b_max
        truths[option] = None if abs(gap - GAP) < EXACT else bool(gap > GAP)
    judge.choice(str(asked.answer), truths)
    shown = scene.visible(view)
    if view.mask is not None and axis != "nf" and a.key in shown and b.key in shown:
        middles = [np.median(np.nonzero(read_picture(view.mask) == s.key)[1 - _AXES[axis]]) for s in (a, b)]
        fits = (middles[0] < middles[1]) == (str(asked.answer).lower() == low.lower())
        if not fits:
            judge.undecided.append("the picture shows the objects the other way round")


def _extent(solid: Solid, view: View, axis: int) -> tuple[float, float]:
    points = surface_points(solid)
    homogeneous = np.hstack((points, np.ones((len(points), 1))))
    along = (homogeneous @ np.linalg.inv(_pose(view)).T)[:, axis]
    return float(along.min()), float(along.max())


def camera_displacement(scene: PlainScene, asked: Asked, judge: Judge) -> None:
    """The straight distance between two camera positions, 5 to 30 frames apart."""
    first, second = _views(scene, asked, judge, 2)
    distance = float(np.linalg.norm(_eye(second) - _eye(first)))
    judge.number(asked.answer, distance, 1, EXACT, "displacement")
    judge.at_least(distance, 0.2, EXACT, "displacement")
    judge.at_least(-distance, -10.0, EXACT, "negative displacement")
    judge.require(5 <= asked.frames[1] - asked.frames[0] <= 30, f"frames {asked.frames}")


def camera_movement_direction(scene: PlainScene, asked: Asked, judge: Judge) -> None:
    """Where the second camera lies in the coordinates of the first."""
    first, second = _views(scene, asked, judge, 2)
    judge.require(asked.frames[0] < asked.frames[1], "frames are not in order")
    judge.require({o.lower() for o in asked.options} <= {m.lower() for m in _MOVES}, f"options are {asked.options}")
    moved = (np.linalg.inv(_pose(first)) @ _pose(second))[:3, 3]
    amounts = dict(zip((m.lower() for m in _MOVES), (moved[2], -moved[2], -moved[0], moved[0]), strict=True))
    limit = 1.0 if len(asked.options) == 4 else 0.5
    largest = max(amounts.values())
    judge.at_least(largest, limit, EXACT, "movement")
    truths: dict[str, bool | None] = {}
    for option in asked.options:
        amount = amounts.get(option.lower(), 0.0)
        truths[option] = bool(amount == largest)
        if 0 < largest - amount < EXACT:
            truths[option] = None
    judge.choice(str(asked.answer), truths)
