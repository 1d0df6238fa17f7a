"""Scene folders as preparation leaves them, from the shared test room, and ways to spoil them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from tests.scenes.raw.room import FPS, TestRoom
from vlm3r.scenes.schema import Frame, Intrinsics, OrientedBox, Scene, SceneObject, Sighting
from vlm3r.scenes.storage import SCENE_FILE, read_scene, write_scene
from vlm3r.scenes.synthetic.pictures import write_depth, write_instances, write_video

VIDEO = "video.mp4"
Pixels = Callable[[np.ndarray], np.ndarray]


def write_prepared(folder: Path, room: TestRoom, scene_id: str = "scene0000_00", dataset: str = "scannet") -> Path:
    """The room as the folder of a scene: record, video, depth and instance maps of all frames."""
    for name in ("depth", "instances"):
        (folder / name).mkdir(parents=True)
    frames = tuple(
        replace(frame, depth=f"depth/{number:06d}.png", mask=f"instances/{number:06d}.png")
        for number, frame in enumerate(room.scene.frames)
    )
    for frame, depth, mask in zip(frames, room.depth, room.masks, strict=True):
        write_depth(folder / str(frame.depth), depth)
        write_instances(folder / str(frame.mask), mask)
    write_video(folder / VIDEO, iter(room.pictures), FPS)
    scene = replace(room.scene, scene_id=scene_id, dataset=dataset, frames=frames, video=VIDEO)
    write_scene(scene, folder / SCENE_FILE)
    return folder


def change_scene(folder: Path, change: Callable[[Scene], Scene]) -> None:
    """Rewrite the record."""
    write_scene(change(read_scene(folder / SCENE_FILE)), folder / SCENE_FILE)


def change_frames(folder: Path, change: Callable[[Frame], Frame]) -> None:
    """Rewrite every frame of the record."""
    change_scene(folder, lambda scene: replace(scene, frames=tuple(change(frame) for frame in scene.frames)))


def change_poses(folder: Path, change: Pixels) -> None:
    """Rewrite every pose."""
    change_frames(folder, lambda frame: replace(frame, pose=change(np.array(frame.pose))))


def move_world(folder: Path, motion: np.ndarray, boxes: bool = True, poses: bool = True) -> None:
    """Turn and move boxes, poses or both by a rigid motion (4, 4)."""
    rotation, shift = motion[:3, :3], motion[:3, 3]

    def moved(thing: SceneObject) -> SceneObject:
        box = thing.box
        return replace(thing, box=OrientedBox(rotation @ box.centre + shift, box.size, box.axes @ rotation.T))

    if boxes:
        change_scene(folder, lambda scene: replace(scene, objects=tuple(moved(thing) for thing in scene.objects)))
    if poses:
        change_poses(folder, lambda pose: motion @ pose)


def change_maps(folder: Path, name: str, change: Pixels) -> None:
    """Rewrite every depth or instance map, as numbers."""
    for path in sorted((folder / name).glob("*.png")):
        with Image.open(path) as image:
            values = np.asarray(image)
        write_instances(path, change(values))


def change_video(folder: Path, room: TestRoom, change: Pixels, fps: float = FPS) -> None:
    """Write the video again with other pictures."""
    write_video(folder / VIDEO, (np.ascontiguousarray(change(picture)) for picture in room.pictures), fps)


def turn_pictures(folder: Path, room: TestRoom, quarters: int = 0, mirror: bool = False) -> None:
    """Turn all that belongs to pictures counter-clockwise, poses excepted: video, maps, intrinsics and 2-D boxes."""

    def turned(values: np.ndarray) -> np.ndarray:
        values = values[:, ::-1] if mirror else values
        return np.rot90(values, quarters)

    change_video(folder, room, turned)
    for name in ("depth", "instances"):
        change_maps(folder, name, turned)
    camera = room.intrinsics
    sides = (camera.width, camera.height) if quarters % 2 == 0 else (camera.height, camera.width)
    turned_camera = Intrinsics(*sides, camera.fx, camera.fy, sides[0] / 2, sides[1] / 2)
    change_scene(folder, lambda scene: replace(scene, intrinsics=turned_camera))

    def seen(sighting: Sighting) -> Sighting:
        canvas = np.zeros((camera.height, camera.width), bool)
        left, top, right, bottom = sighting.box
        canvas[top : bottom + 1, left : right + 1] = True
        rows, columns = np.nonzero(turned(canvas))
        box = (int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max()))
        return replace(sighting, box=box)

    change_frames(folder, lambda frame: replace(frame, sightings=tuple(seen(s) for s in frame.sightings)))
