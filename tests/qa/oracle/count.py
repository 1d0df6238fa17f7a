"""How many questions of a type a scene allows under the published rules, found by trying every combination."""

from __future__ import annotations

import cmath
import itertools
import math
from collections import Counter

import numpy as np

from .plain import PlainScene, Solid, View
from .solids import object_distance, point_distance, surface_points

_AXES = {"lr": 0, "ud": 1, "nf": 2}


def possible(scene: PlainScene) -> Counter[str]:
    """Number of valid questions by type, for those types whose number has no element of chance."""
    return _rooms(scene) + _frames(scene) + _pairs(scene)


def _rooms(scene: PlainScene) -> Counter[str]:
    single = [s for s in scene.solids if scene.is_single(s.category)]
    counts = Counter(object_size_estimation=len(single))
    for a, b in itertools.combinations(single, 2):
        counts["object_abs_distance"] += object_distance(scene, a, b) >= 0.15
    for triple in itertools.permutations(single, 3):
        if all(0.3 <= object_distance(scene, a, b) <= 5 for a, b in itertools.combinations(triple, 2)):
            counts += _directions(*triple)
    return counts


def _directions(standing: Solid, facing: Solid, queried: Solid) -> Counter[str]:
    """Which of the three direction questions may be asked."""
    origin = complex(*standing.centre[:2])
    ahead = complex(*facing.centre[:2]) - origin

    def angle(point: np.ndarray) -> float:
        return math.degrees(cmath.phase((complex(*point[:2]) - origin) / ahead)) % 360

    middle, corners = angle(queried.centre), [angle(p) for p in surface_points(queried, 2)]
    counts: Counter[str] = Counter()
    for names, borders in ((["hard"], (0, 90, 180, 270, 360)), (["medium", "easy"], (0, 135, 225, 360))):
        sector, *others = (sum(a >= b for b in borders) for a in (middle, *corners))
        if min(abs(middle - b) for b in borders) >= 10 and sum(o != sector for o in others) <= 2:
            counts.update(f"object_rel_direction_{n}" for n in names if n != "easy" or sector != 2)
    return counts


def _frames(scene: PlainScene) -> Counter[str]:
    counts: Counter[str] = Counter()
    for view in _posed(scene):
        objects = _alone(scene, view)
        counts["camera_obj_abs_dist"] += sum(0.2 <= point_distance(s, _eye(view)) <= 10 for s in objects)
        extents = [_extents(s, view) for s in objects]
        for (a_low, a_high), (b_low, b_high) in itertools.combinations(extents, 2):
            for name, axis in _AXES.items():
                apart = max(b_low[axis] - a_high[axis], a_low[axis] - b_high[axis]) > 0.15
                counts[f"obj_obj_relative_pos_{name}"] += bool(apart)
    return counts


def _pairs(scene: PlainScene) -> Counter[str]:
    counts: Counter[str] = Counter()
    for i, j in itertools.combinations(scene.numbers, 2):
        first, second = scene.seen(i).pose, scene.seen(j).pose
        if first is None or second is None:
            continue
        distance = np.linalg.norm(second[:3, 3] - first[:3, 3])
        counts["camera_displacement"] += bool(5 <= j - i <= 30 and 0.2 <= distance <= 10)
        moved = (np.linalg.inv(first) @ second)[:3, 3]
        farthest = max(abs(moved[0]), abs(moved[2]))
        counts["camera_movement_direction"] += bool(farthest > 1.0) + 2 * bool(farthest > 0.5)
    return counts


def _posed(scene: PlainScene) -> list[View]:
    return [view for view in map(scene.seen, scene.numbers) if view.pose is not None]


def _eye(view: View) -> np.ndarray:
    assert view.pose is not None
    return view.pose[:3, 3]


def _alone(scene: PlainScene, view: View) -> list[Solid]:
    """Objects in the frame that are the only ones of their category there."""
    objects = [scene.by_key[i] for i in scene.visible(view)]
    tally = Counter(s.category for s in objects)
    return [s for s in objects if tally[s.category] == 1]


def _extents(solid: Solid, view: View) -> tuple[np.ndarray, np.ndarray]:
    assert view.pose is not None
    points = np.c_[surface_points(solid, 2), np.ones(8)] @ np.linalg.inv(view.pose).T
    return points.min(0), points.max(0)
