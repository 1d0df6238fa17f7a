"""A small synthetic room of which everything is known, to be written in the raw layouts of real data sets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vlm3r.scenes.schema import Array, Frame, Intrinsics, OrientedBox, Room, Scene, SceneObject, Sighting
from vlm3r.scenes.synthetic.home import make_home
from vlm3r.scenes.synthetic.mesh import world_mesh
from vlm3r.scenes.synthetic.render import RenderSettings, open_renderer
from vlm3r.scenes.synthetic.shapes import rotation
from vlm3r.scenes.synthetic.walk import WalkSettings, draw_walk

SPACING = 0.25
"""Metres between vertices on flat surfaces."""
FOCAL_SHARE = 0.7
FPS = 2.0


@dataclass(frozen=True, eq=False)
class TestRoom:
    """The room as its maker knows it."""

    __test__ = False

    scene: Scene
    """Objects, boxes, area, frames with poses and 2-D boxes; instance ids begin at 1."""
    pictures: tuple[NDArray[np.uint8], ...]
    """`(H, W, 3)` RGB of each frame."""
    depth: tuple[NDArray[np.float32], ...]
    """`(H, W)` metres along the optical axis, 0 where there is nothing."""
    masks: tuple[NDArray[np.int64], ...]
    """`(H, W)` instance ids, 0 for none."""
    intrinsics: Intrinsics
    points: Array
    """(N, 3) vertices of the room and everything in it, metres."""
    point_instances: NDArray[np.int64]
    """(N,) instance id of each, 0 for walls, floor and ceiling."""
    triangles: NDArray[np.int64]
    """(M, 3) numbers of points."""

    @property
    def poses(self) -> tuple[Array, ...]:
        """(4, 4) camera-to-world of each frame."""
        return tuple(frame.pose for frame in self.scene.frames if frame.pose is not None)


@cache
def make_room(frames: int = 6, width: int = 64, height: int = 48, seed: int = 0) -> TestRoom:
    """The room of a seed, filmed by `frames` frames spread over a walk; made once a process."""
    world = make_home((seed, 0, 0)).world
    walk = draw_walk(world, np.random.default_rng([seed, 1]), FPS, WalkSettings())
    chosen = np.linspace(0, len(walk.poses) - 1, frames).astype(int)
    poses = [np.asarray(walk.poses[i], float) for i in chosen]
    focal = FOCAL_SHARE * width
    camera = Intrinsics(width, height, focal, focal, width / 2, height / 2)
    settings = RenderSettings(width, height, spacing=0.5, light_samples=1, sky_rays=4, bounces=1, texture_size=32)
    renderer = open_renderer(world, camera, settings, seed, "raycast")
    try:
        shots = [renderer.capture(pose) for pose in poses]
    finally:
        renderer.close()
    objects = tuple(
        SceneObject(
            thing.category,
            OrientedBox(np.asarray(thing.centre, float), np.asarray(thing.size, float), rotation("z", thing.yaw).T),
            1 + number,
        )
        for number, thing in enumerate(world.objects)
    )
    masks = tuple(np.asarray(instances, np.int64) for _, _, instances in shots)
    depth = tuple(np.asarray(distances, np.float32) for _, distances, _ in shots)
    seen = tuple(
        Frame(frame_id=number, pose=pose, timestamp=number / FPS, sightings=_sightings(masks[number], depth[number]))
        for number, pose in enumerate(poses)
    )
    scene = Scene(
        scene_id=f"room_{seed}",
        dataset="synthetic",
        room=Room(area=world.area, height=world.height),
        objects=objects,
        counts=dict(Counter(thing.category for thing in objects)),
        frames=seen,
        intrinsics=camera,
    )
    mesh = world_mesh(world, SPACING)
    triangles = np.asarray(mesh.triangles[: mesh.opaque], np.int64)
    used, renumbered = np.unique(triangles, return_inverse=True)
    return TestRoom(
        scene,
        tuple(np.asarray(picture, np.uint8) for picture, _, _ in shots),
        depth,
        masks,
        camera,
        np.asarray(mesh.position, float)[used],
        np.asarray(mesh.style[:, 3], np.int64)[used],
        renumbered.reshape(triangles.shape),
    )


def _sightings(mask: NDArray[np.int64], depth: NDArray[np.float32]) -> tuple[Sighting, ...]:
    """The extent, size and median depth of each object in a mask."""
    found = []
    for instance in np.unique(mask[mask > 0]).tolist():
        rows, columns = np.nonzero(mask == instance)
        box = (int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max()))
        found.append(Sighting(instance, box, len(rows), depth=float(np.median(depth[rows, columns]))))
    return tuple(found)
