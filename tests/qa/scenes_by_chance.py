"""Random but valid scenes: a rectangular room, boxes in it, a walk through it, and what the camera sees."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from vlm3r.scenes.schema import Frame, Intrinsics, OrientedBox, Room, RoomOutline, Scene, SceneObject, Sighting
from vlm3r.scenes.storage import write_scene

SIZES = {
    "chair": (0.5, 0.5, 0.9),
    "table": (1.4, 0.8, 0.75),
    "sofa": (2.0, 0.9, 0.8),
    "bed": (2.0, 1.6, 0.5),
    "lamp": (0.3, 0.3, 1.5),
    "bookshelf": (0.9, 0.3, 1.9),
    "desk": (1.3, 0.7, 0.75),
    "plant": (0.4, 0.4, 0.9),
    "stool": (0.4, 0.4, 0.5),
    "refrigerator": (0.7, 0.7, 1.8),
    "stove": (0.6, 0.6, 0.9),
    "sink": (0.6, 0.5, 0.3),
    "toilet": (0.4, 0.6, 0.7),
    "tv": (1.1, 0.1, 0.6),
    "trash bin": (0.3, 0.3, 0.4),
    "microwave": (0.5, 0.4, 0.3),
    "backpack": (0.3, 0.2, 0.5),
    "pillow": (0.5, 0.4, 0.2),
    "washing machine": (0.6, 0.6, 0.85),
    "shoes": (0.3, 0.2, 0.1),
    "piano": (1.5, 0.6, 1.2),
    "printer": (0.5, 0.4, 0.3),
    "suitcase": (0.5, 0.3, 0.7),
    "heater": (1.0, 0.15, 0.6),
}
CAMERA = Intrinsics(width=320, height=240, fx=230.0, fy=230.0, cx=160.0, cy=120.0)


def random_scene(seed: int, objects: int = 25, frames: int = 32) -> Scene:
    """A scene that depends on the arguments only; about a third of its objects repeat a category."""
    rng = np.random.default_rng([seed, objects, frames])
    width, depth = rng.uniform(3.5, 9.0, 2)
    names = list(rng.permutation(list(SIZES)))[: max(1, objects * 2 // 3)]
    names += list(rng.choice(names[: max(1, len(names) // 3)], objects - len(names)))
    things = tuple(
        SceneObject(str(name), random_box(rng, SIZES[name], width, depth), i) for i, name in enumerate(names)
    )
    poses = walk(rng, width, depth, frames)
    return Scene(
        scene_id=f"chance{seed:05d}",
        dataset="synthetic",
        room=Room(
            area=round(width * depth, 3),
            centre=(width / 2, depth / 2, 1.3),
            height=2.6,
            outlines=(RoomOutline("living room", ((0.0, 0.0), (width, 0.0), (width, depth), (0.0, depth))),),
        ),
        objects=things,
        counts=dict(Counter(o.category for o in things)),
        frames=tuple(Frame(10 * i, pose, timestamp=i / 2, sightings=see(things, pose)) for i, pose in enumerate(poses)),
        intrinsics=CAMERA,
        provenance={"seed": seed},
    )


def random_box(rng: np.random.Generator, size: tuple[float, float, float], width: float, depth: float) -> OrientedBox:
    edges = np.array(size) * rng.uniform(0.8, 1.25, 3)
    angle = rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    axes = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1.0]])
    height = edges[2] / 2 + (rng.uniform(0.5, 1.0) if edges.max() < 0.7 and rng.random() < 0.5 else 0.0)
    return OrientedBox(np.array([rng.uniform(0.5, width - 0.5), rng.uniform(0.5, depth - 0.5), height]), edges, axes)


def walk(rng: np.random.Generator, width: float, depth: float, frames: int) -> list[np.ndarray]:
    """Camera-to-world matrices along a smooth loop at eye height, looking about."""
    t = np.linspace(0, 2 * np.pi, frames, endpoint=False)
    phases = rng.uniform(0, 2 * np.pi, 4)
    x = width / 2 + 0.35 * width * np.sin(t + phases[0])
    y = depth / 2 + 0.35 * depth * np.sin(2 * t + phases[1])
    yaw = 2 * t + np.sin(3 * t + phases[2])
    pitch = -0.25 + 0.2 * np.sin(2 * t + phases[3])
    return [look(np.array([a, b, 1.5]), c, d) for a, b, c, d in zip(x, y, yaw, pitch, strict=True)]


def look(centre: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """A camera at `centre` that looks along (yaw, pitch); x right, y down, z forward."""
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = centre
    return pose


def see(things: tuple[SceneObject, ...], pose: np.ndarray) -> tuple[Sighting, ...]:
    """2-D boxes of the objects that lie wholly in front of the camera and partly in the picture; nothing hides them."""
    sightings = []
    for thing in things:
        points = (thing.box.corners - pose[:3, 3]) @ pose[:3, :3]
        if points[:, 2].min() < 0.2:
            continue
        u = CAMERA.cx + CAMERA.fx * points[:, 0] / points[:, 2]
        v = CAMERA.cy + CAMERA.fy * points[:, 1] / points[:, 2]
        left, right = np.clip([u.min(), u.max()], 0, CAMERA.width - 1)
        top, bottom = np.clip([v.min(), v.max()], 0, CAMERA.height - 1)
        area = (right - left) * (bottom - top)
        if area < 20:
            continue
        whole = (u.max() - u.min()) * (v.max() - v.min())
        box = (int(left), int(top), int(right), int(bottom))
        depth = float(np.median(points[:, 2]))
        sightings.append(Sighting(thing.instance_id or 0, box, int(area), float(min(1.0, area / whole)), depth))
    return tuple(sightings)


def write_scenes(folder: Path, number: int, first: int = 0, **options: int) -> Path:
    """A folder of `number` scenes as `vlm3r scenes generate` lays them out, without pictures."""
    for seed in range(first, first + number):
        scene = random_scene(seed, **options)
        (folder / scene.scene_id).mkdir(parents=True)
        write_scene(scene, folder / scene.scene_id / "scene.json")
    return folder
