"""Random furnished rooms with a camera walk, for tests of the scene graph and of the question tasks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vlm3r.scenes.schema import Frame, Intrinsics, OrientedBox, Room, Scene, SceneObject, Sighting

CAMERA = Intrinsics(320, 240, 280.0, 280.0, 160.0, 120.0)
FORWARD_TO_WORLD = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Camera axes (x right, y down, z forward) of a camera that looks along world +x, as columns."""


def yaw(degrees: float) -> np.ndarray:
    """Rotation about z."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def make_box(centre, size, degrees: float = 0.0) -> OrientedBox:
    """A box turned about z; the rows of `axes` are its axes."""
    return OrientedBox(np.asarray(centre, float), np.asarray(size, float), yaw(degrees).T)


def make_pose(centre, degrees: float = 0.0) -> np.ndarray:
    """A level camera at `centre` that looks `degrees` counter-clockwise from world +x."""
    pose = np.eye(4)
    pose[:3, :3] = yaw(degrees) @ FORWARD_TO_WORLD
    pose[:3, 3] = centre
    return pose


def make_scene(objects, poses=(), seen=None, area: float = 20.0, counts=None, **fields) -> Scene:
    """A scene from (category, box) pairs and poses; `seen[f]` lists the objects that frame f shows (default: all).

    Object i has instance id i; frame f is number 10 f and lies f seconds into the video.
    """
    everything = range(len(objects))
    box = (100, 100, 139, 139)  # 1600 pixels, 2 % of the picture
    frames = tuple(
        Frame(
            10 * f, pose, float(f), sightings=tuple(Sighting(i, box, 1600) for i in (seen[f] if seen else everything))
        )
        for f, pose in enumerate(poses)
    )
    known = tuple(SceneObject(category, box, i) for i, (category, box) in enumerate(objects))
    if counts is None:
        counts = {}
        for o in known:
            counts[o.category] = counts.get(o.category, 0) + 1
    return Scene("made", "synthetic", Room(area=area), known, counts, frames, CAMERA, **fields)


def random_scene(
    seed: int, objects: int = 25, frames: int = 32, dense: int = 1, categories: int | None = None
) -> Scene:
    """A room of 4 to 8 m with boxes in any orientation and a walk; 2-D boxes are projected, occlusion is left aside."""
    rng = np.random.default_rng([77, seed])
    width, depth = rng.uniform(4, 8, 2)
    kinds = rng.integers(0, categories, objects) if categories else np.arange(objects)
    known = []
    for i, kind in enumerate(kinds.tolist()):
        size = rng.uniform(0.08, 1.2, 3)
        centre = rng.uniform([0, 0, 0.1], [width, depth, 1.8])
        axes = yaw(rng.uniform(0, 360)).T if i % 3 else np.linalg.qr(rng.normal(size=(3, 3)))[0]
        known.append(SceneObject(f"thing {kind}", OrientedBox(centre, size, axes), 100 + 7 * i))
    times = np.linspace(0, 1, frames * dense)
    x = width * (0.5 + 0.35 * np.sin(2 * np.pi * times + rng.uniform(0, 6)))
    y = depth * (0.5 + 0.35 * np.sin(4 * np.pi * times + rng.uniform(0, 6)))
    turns = rng.uniform(0, 360) + 400 * times + 30 * np.sin(9 * times)
    poses = [make_pose((a, b, 1.5), d) for a, b, d in zip(x, y, turns, strict=True)]
    shots = tuple(Frame(5 * f, p, 0.5 * f / dense, sightings=_project(known, p)) for f, p in enumerate(poses))
    counts: dict[str, int] = {}
    for o in known:
        counts[o.category] = counts.get(o.category, 0) + 1
    sampled = tuple(range(0, frames * dense, dense)) if dense > 1 else None
    area = float(width * depth)
    return Scene(f"random {seed}", "synthetic", Room(area=area), tuple(known), counts, shots, CAMERA, sampled)


def _project(objects: list[SceneObject], pose: np.ndarray) -> tuple[Sighting, ...]:
    sightings = []
    for o in objects:
        local = (o.box.corners - pose[:3, 3]) @ pose[:3, :3]
        if local[:, 2].min() < 0.2:
            continue
        u = np.clip(CAMERA.fx * local[:, 0] / local[:, 2] + CAMERA.cx, 0, CAMERA.width - 1).astype(int)
        v = np.clip(CAMERA.fy * local[:, 1] / local[:, 2] + CAMERA.cy, 0, CAMERA.height - 1).astype(int)
        box = int(u.min()), int(v.min()), int(u.max()), int(v.max())
        if box[2] > box[0] and box[3] > box[1]:
            sightings.append(Sighting(int(o.instance_id or 0), box, (box[2] - box[0]) * (box[3] - box[1]), 0.8))
    return tuple(sightings)


def moved(scene: Scene, degrees: float, shift) -> Scene:
    """The whole scene turned about z and shifted."""
    turn, shift = yaw(degrees), np.asarray(shift, float)
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = turn, shift
    objects = tuple(
        replace(o, box=OrientedBox(turn @ o.box.centre + shift, o.box.size, o.box.axes @ turn.T)) for o in scene.objects
    )
    frames = tuple(replace(f, pose=None if f.pose is None else motion @ f.pose) for f in scene.frames)
    return replace(scene, objects=objects, frames=frames)


def scaled(scene: Scene, factor: float) -> Scene:
    """The whole scene enlarged about the origin."""
    objects = tuple(
        replace(o, box=OrientedBox(o.box.centre * factor, o.box.size * factor, o.box.axes)) for o in scene.objects
    )
    frames = []
    for frame in scene.frames:
        pose = None if frame.pose is None else frame.pose.copy()
        if pose is not None:
            pose[:3, 3] *= factor
        frames.append(replace(frame, pose=pose))
    return replace(scene, objects=objects, frames=tuple(frames))


def relabelled(scene: Scene, seed: int) -> Scene:
    """The same scene with other instance ids."""
    ids = [o.instance_id for o in scene.objects if o.instance_id is not None]
    renamed = np.random.default_rng(seed).permutation(10 * len(ids))[: len(ids)].tolist()
    new = dict(zip(ids, renamed, strict=True))
    objects = tuple(replace(o, instance_id=new.get(o.instance_id)) for o in scene.objects)
    frames = tuple(
        replace(f, sightings=tuple(replace(s, instance_id=new.get(s.instance_id, s.instance_id)) for s in f.sightings))
        for f in scene.frames
    )
    return replace(scene, objects=objects, frames=frames)
