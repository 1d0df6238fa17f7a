"""Checks of a scene itself: do masks, depth, boxes, poses and counts tell the same story?"""

from __future__ import annotations

from collections import Counter

import numpy as np
import shapely
from scipy.spatial.transform import Rotation

from .judge import Judge
from .plain import Array, PlainScene, Solid, View, read_picture

DEPTH_SLACK = 0.03
"""Metres by which a back-projected pixel may lie outside its box: half a pixel at 5 m and the rounding of depth."""
WALL = 0.3
"""Metres by which things may lie outside a room's inner outline."""
OUTSIDE_SHARE = 0.01
"""Share of an object's pixels that may lie farther outside (pixels on silhouettes)."""


def check_scene(scene: PlainScene) -> dict[str, Judge]:
    """One verdict per kind of check."""
    judges = {name: Judge() for name in ("scene: counts", "scene: floor area", "scene: poses", "scene: places")}
    tally = Counter(s.category for s in scene.solids)
    for category in {*tally, *scene.counts}:
        boxes, count = tally[category], scene.counts.get(category, 0)
        judges["scene: counts"].require(boxes <= count, f"{boxes} boxes of {category}, counted {count}")
    if scene.rooms is not None and scene.area is not None:
        area = scene.rooms.area
        judges["scene: floor area"].require(abs(area - scene.area) < 1e-3, f"{area:.3f} against {scene.area:.3f}")
    for view in scene.views:
        _check_pose(view, judges["scene: poses"])
    _check_places(scene, judges["scene: places"])
    if any(view.mask for view in scene.views):
        judges |= {name: Judge() for name in ("scene: 2-D boxes", "scene: masks in boxes")}
        for view in scene.views:
            _check_boxes(scene, view, judges["scene: 2-D boxes"])
            _check_depth(scene, view, judges["scene: masks in boxes"])
    return judges


def _check_pose(view: View, judge: Judge) -> None:
    if view.pose is not None:
        turn = view.pose[:3, :3]
        off = np.abs(Rotation.from_matrix(turn).as_matrix() - turn).max()
        judge.require(bool(off < 1e-6), f"frame {view.frame_id}: rotation is off by {off:.1e}")
        judge.require(view.pose[3].tolist() == [0, 0, 0, 1], f"frame {view.frame_id}: last row {view.pose[3]}")


def _check_places(scene: PlainScene, judge: Judge) -> None:
    """Cameras stand in a room or a doorway and in no object; objects are in rooms or their walls."""
    if scene.rooms is None:
        return
    floor = scene.rooms.buffer(WALL)
    eyes = np.array([v.pose[:3, 3] for v in scene.views if v.pose is not None]).reshape(-1, 3)
    inside = shapely.contains_xy(floor, eyes[:, 0], eyes[:, 1])
    judge.require(bool(inside.all()), f"{(~inside).sum()} cameras are outside the room")
    for solid in scene.solids:
        inside = outside_by(solid, eyes) < 0
        judge.require(not inside.any(), f"{inside.sum()} cameras are inside the box of {solid.category} {solid.key}")
        x, y = solid.centre[:2]
        judge.require(bool(shapely.contains_xy(floor, x, y)), f"{solid.category} {solid.key} is outside the room")


def _check_boxes(scene: PlainScene, view: View, judge: Judge) -> None:
    if view.mask is None:
        return
    mask = read_picture(view.mask)
    for key in set(np.unique(mask).tolist()) - {0} - set(scene.by_key):
        judge.require(False, f"frame {view.frame_id}: mask value {key} is no object")
    shown = scene.visible(view)
    judge.require(set(shown) == set(view.boxes), f"frame {view.frame_id}: shows {sorted(set(shown) ^ set(view.boxes))}")
    for key in set(shown) & set(view.boxes):
        rows, columns = np.nonzero(mask == key)
        box = (columns.min(), rows.min(), columns.max(), rows.max())
        judge.require(view.boxes[key] == box, f"frame {view.frame_id}: box of {key} is {box}, not {view.boxes[key]}")
        listed = view.pixels[key]
        judge.require(listed in (None, shown[key]), f"frame {view.frame_id}: {key} has {shown[key]} pixels")


def _check_depth(scene: PlainScene, view: View, judge: Judge) -> None:
    if view.mask is None or view.depth is None or view.pose is None or scene.camera is None:
        return
    mask, depth = read_picture(view.mask), read_picture(view.depth) / 1000
    for key in scene.visible(view):
        points = _world_points(scene.camera, view.pose, (mask == key) & (depth > 0), depth)
        if len(points):
            share = float((outside_by(scene.by_key[key], points) > DEPTH_SLACK).mean())
            name = scene.by_key[key].category
            few = len(points) < 100  # a few pixels are mostly silhouette
            fits = few or share <= OUTSIDE_SHARE
            judge.require(fits, f"frame {view.frame_id}: {share:.1%} of {name} lies outside its box")


def _world_points(camera: dict[str, float], pose: Array, chosen: Array, depth: Array) -> Array:
    rows, columns = np.nonzero(chosen)
    z = depth[rows, columns]
    x = (columns + 0.5 - camera["cx"]) / camera["fx"] * z
    y = (rows + 0.5 - camera["cy"]) / camera["fy"] * z
    return (np.stack((x, y, z, np.ones_like(z)), 1) @ pose.T)[:, :3]


def outside_by(solid: Solid, points: Array) -> Array:
    """Largest excess over the box along any of its axes, metres; negative inside."""
    return (np.abs(solid.coordinates(points)) - solid.size / 2).max(1)
