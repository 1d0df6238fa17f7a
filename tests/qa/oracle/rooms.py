"""Random furnished rooms as scene files, with masks and depth from a small ray caster; no code of the project's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from PIL import Image
from scipy.spatial.transform import Rotation
from shapely import affinity

from .plain import Array, Solid, read_plain

WIDTH, HEIGHT, FOCAL = 96, 72, 52.0
WALL = 0.12
FRAMES, SAMPLED, FRAMES_PER_SECOND = 96, 32, 2.0

_KINDS: dict[str, tuple[float, float, float]] = {
    "sofa": (1.9, 0.9, 0.8),
    "table": (1.4, 0.8, 0.75),
    "chair": (0.45, 0.5, 0.9),
    "bed": (2.0, 1.5, 0.6),
    "bookshelf": (0.9, 0.3, 1.9),
    "desk": (1.2, 0.6, 0.73),
    "tv": (1.1, 0.1, 0.6),
    "plant": (0.4, 0.4, 1.1),
    "trash bin": (0.3, 0.3, 0.4),
    "desk lamp": (0.3, 0.3, 1.5),
    "refrigerator": (0.7, 0.7, 1.8),
    "coffee table": (0.35, 0.35, 0.45),
    "shoes": (0.5, 0.3, 0.7),
}


def random_room(folder: Path, seed: int) -> Path:
    """A scene file with masks and depth below `folder`; the same seed gives the same bytes."""
    rng = np.random.default_rng([seed, 71])
    outlines = _outlines(rng)
    objects = _furnish(outlines, rng)
    names = [o["category"] for o in objects]
    counts = {n: names.count(n) for n in dict.fromkeys(names)}
    counts[["coffee table", "chair", "shoes"][seed % 3]] += 1  # an instance without a box
    lost = set(rng.choice(FRAMES, 5, replace=False).tolist())
    return write_room(folder / f"room_{seed}", outlines, objects, counts, _walk(outlines[0], rng), lost)


def _outlines(rng: np.random.Generator) -> list[shapely.Polygon]:
    """The main room, which may be L-shaped, and sometimes a doorway and a room behind it."""
    width, depth = rng.uniform(5, 8), rng.uniform(4.5, 7)
    room = shapely.box(0, 0, width, depth)
    if rng.random() < 0.5:
        room = room.difference(shapely.box(0.65 * width, 0.6 * depth, width, depth))
    rooms = [shapely.Polygon([(round(x, 3), round(y, 3)) for x, y in room.exterior.coords[:-1]])]
    if rng.random() < 0.4:
        door = rng.uniform(0.3, depth - 1.4)
        rooms += [shapely.box(-WALL, door, 0, door + 1.0), shapely.box(-WALL - rng.uniform(2.5, 4), 0, -WALL, depth)]
    return rooms


def _furnish(outlines: list[shapely.Polygon], rng: np.random.Generator) -> list[dict[str, Any]]:
    names = [*_KINDS, "chair", "chair", "desk lamp", "plant"]
    low_x, low_y, high_x, high_y = shapely.union_all(outlines).bounds
    floor = shapely.union_all([outlines[0], *outlines[2:]])
    taken: list[shapely.Polygon] = [o.buffer(0.3) for o in outlines[1:2]]
    objects = []
    for name in names:
        size = np.array(_KINDS[name]) * rng.uniform(0.85, 1.15, 3)
        for _ in range(60):
            x, y, yaw = rng.uniform(low_x, high_x), rng.uniform(low_y, high_y), rng.uniform(0, 360)
            flat = shapely.box(-size[0] / 2, -size[1] / 2, size[0] / 2, size[1] / 2)
            base = affinity.translate(affinity.rotate(flat, yaw, origin=(0, 0)), x, y)
            in_the_way = size[2] > 1.2 or name == "tv"
            if in_the_way and base.distance(_ring(outlines[0])) < 0.1:
                continue
            if floor.buffer(-0.02).covers(base) and all(base.distance(t) > 0.05 for t in taken):
                taken.append(base)
                lift = 0.9 if name == "tv" else 0.0
                objects.append(thing(name, 3 * len(objects) + 5, (x, y, size[2] / 2 + lift), size, yaw, rng))
                break
    return objects


def thing(category: str, key: int, centre: Any, size: Any, yaw: float, rng: np.random.Generator) -> dict[str, Any]:
    """One object record; its box is turned about z by `yaw` degrees and may lean, its axes stand in any order."""
    lean = rng.uniform(-12, 12, 2) if rng.random() < 0.3 else np.zeros(2)
    axes = Rotation.from_euler("ZYX", [yaw, *lean], degrees=True).as_matrix().T
    order = rng.permutation(3)
    return {
        "category": category,
        "instance_id": key,
        "centre": [float(v) for v in centre],
        "size": np.asarray(size)[order].tolist(),
        "axes": (axes[order] * rng.choice([-1.0, 1.0], (3, 1))).tolist(),
    }


def camera_pose(eye: Any, yaw: float, pitch: float) -> Array:
    """Camera-to-world matrix: looking along `yaw` degrees counter-clockwise from +x, tilted down by `pitch`."""
    a, b = np.radians([yaw, pitch])
    forward = np.array([np.cos(a) * np.cos(b), np.sin(a) * np.cos(b), -np.sin(b)])
    right = np.array([np.sin(a), -np.cos(a), 0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack((right, np.cross(forward, right), forward), axis=1)
    pose[:3, 3] = eye
    return pose


def _ring(outline: shapely.Polygon) -> shapely.LinearRing:
    """Where the camera walks."""
    return shapely.get_exterior_ring(outline.buffer(-0.9))


def _walk(outline: shapely.Polygon, rng: np.random.Generator) -> list[Array]:
    ring = _ring(outline)
    start, height = rng.uniform(0, 1), rng.uniform(1.4, 1.7)
    poses = []
    for share in np.linspace(0, 1, FRAMES):
        point = ring.interpolate((start + 0.9 * share) % 1, normalized=True)
        yaw = 360 * (start + 1.6 * share) + 50 * np.sin(9 * share)
        poses.append(camera_pose((point.x, point.y, height), yaw, 20))
    return poses


def write_room(
    folder: Path,
    outlines: list[shapely.Polygon],
    objects: list[dict[str, Any]],
    counts: dict[str, int],
    poses: list[Array],
    lost: set[int],
) -> Path:
    """Render every frame and write `scene.json` with masks and depth of the sampled frames; some poses are lost."""
    for name in ("instances", "depth"):
        (folder / name).mkdir(parents=True)
    solids = [
        Solid(o["instance_id"], o["category"], *(np.array(o[k], float) for k in ("centre", "size", "axes")))
        for o in objects
    ]
    chosen = np.linspace(0, len(poses) - 1, SAMPLED).astype(int).tolist()
    frames = [_frame(folder, solids, i, pose, i in chosen) for i, pose in enumerate(poses)]
    for number in lost:
        frames[number]["pose"] = None
    record = {
        "format": "vlm3r-scene",
        "version": 1,
        "scene_id": folder.name,
        "dataset": "synthetic",
        "split": "train",
        "video": "video.mp4",
        "room": {
            "area": sum(o.area for o in (outlines[0], *outlines[2:])),
            "centre": None,
            "height": 2.5,
            "outlines": [
                {"use": "doorway" if i == 1 else "", "polygon": [list(p) for p in o.exterior.coords[:-1]]}
                for i, o in enumerate(outlines)
            ],
        },
        "objects": objects,
        "counts": counts,
        "intrinsics": {"width": WIDTH, "height": HEIGHT, "fx": FOCAL, "fy": FOCAL, "cx": WIDTH / 2, "cy": HEIGHT / 2},
        "sampled": chosen,
        "frames": frames,
        "provenance": {},
        "source": None,
        "problems": [],
    }
    path = folder / "scene.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    read_plain(path)
    return path


def _frame(folder: Path, solids: list[Solid], number: int, pose: Array, keep: bool) -> dict[str, Any]:
    depth, mask = cast(solids, pose)
    record: dict[str, Any] = {
        "frame_id": number,
        "timestamp": number / FRAMES_PER_SECOND,
        "pose": pose.tolist(),
        "sightings": [],
    }
    for key in np.unique(mask[mask > 0]).tolist():
        rows, columns = np.nonzero(mask == key)
        box = [columns.min(), rows.min(), columns.max(), rows.max()]
        record["sightings"].append(
            {
                "instance_id": key,
                "box": [int(v) for v in box],
                "pixels": len(rows),
                "visible_fraction": 1.0,
                "depth": float(np.median(depth[mask == key])),
            }
        )
    if keep:
        for name, values in (("instances", mask), ("depth", np.rint(depth * 1000))):
            Image.fromarray(values.astype(np.uint16)).save(folder / name / f"{number:06d}.png")
        record |= {"mask": f"instances/{number:06d}.png", "depth": f"depth/{number:06d}.png"}
    return record


def cast(solids: list[Solid], pose: Array) -> tuple[Array, Array]:
    """Depth along the optical axis in metres (0: nothing hit) and instance ids (0: none) by one ray a pixel."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    rays = np.stack(((columns - WIDTH / 2) / FOCAL, (rows - HEIGHT / 2) / FOCAL, np.ones_like(rows)), -1)
    world = rays @ pose[:3, :3].T
    depth, mask = np.full(rows.shape, np.inf), np.zeros(rows.shape, int)
    for solid in solids:
        origin, along = (pose[:3, 3] - solid.centre) @ solid.axes.T, world @ solid.axes.T
        with np.errstate(divide="ignore", invalid="ignore"):
            hits = (np.stack((-solid.size / 2, solid.size / 2))[:, None, None] - origin) / along
        enter, leave = np.nanmin(hits, 0).max(-1), np.nanmax(hits, 0).min(-1)
        closer = (enter < leave) & (enter > 0.05) & (enter < depth)
        depth[closer], mask[closer] = enter[closer], solid.key
    return np.where(np.isfinite(depth), depth, 0), mask
