"""One synthetic scene as a folder: video, depth and instance maps, annotations, and pictures to look at."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlm3r import __version__
from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes.schema import Frame, Intrinsics, OrientedBox, Room, RoomOutline, Scene, SceneObject, Sighting
from vlm3r.scenes.storage import SCENE_FILE, read_scene, write_scene

from . import overview
from .ground import NoWay
from .home import Home, Unfurnishable, make_home
from .pictures import write_depth, write_instances, write_video
from .render import PRESETS, Renderer, open_renderer
from .settings import SceneSettings
from .shapes import Array, rotation
from .visibility import Visibility
from .walk import Walk, draw_walk

FOCAL_SHARE = 0.6875
"""Focal length over picture width: a horizontal field of view of 72 degrees."""
VIDEO = "video.mp4"


@dataclass(frozen=True)
class RoomTask:
    """One scene to make: where, and the numbers that decide it."""

    out: Path
    seed: int
    index: int
    settings: SceneSettings

    @property
    def scene_id(self) -> str:
        """Name of the scene and its folder."""
        return f"room_{self.seed}_{self.index:05d}"

    @property
    def folder(self) -> Path:
        """Where the finished scene lies."""
        return self.out / self.scene_id


@dataclass(frozen=True)
class Made:
    """What one task came to."""

    scene_id: str
    objects: int
    frames: int
    backend: str
    kept: bool
    """Whether an earlier run had made it."""


def make_scene(task: RoomTask) -> Made:
    """Make the scene of a task, unless an earlier run with the same settings finished it.

    The folder appears under its name when everything in it is written.

    Raises:
        UserError: other files stand in the way, the home cannot be furnished, or the disk is full.
    """
    if task.folder.exists():
        scene = _finished(task)
        return Made(task.scene_id, len(scene.objects), len(scene.frames), str(scene.provenance.get("renderer")), True)
    building = task.out / f".{task.scene_id}.incomplete"
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        scene = _film(task, building)
        building.rename(task.folder)
    except OSError as error:
        raise UserError(
            f"{task.folder}: cannot be written ({first_line(error)}); free some space or choose another --out"
        ) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(building)
    return Made(task.scene_id, len(scene.objects), len(scene.frames), str(scene.provenance["renderer"]), False)


def _finished(task: RoomTask) -> Scene:
    """The scene that stands at the task's place, if it is the very scene that the task would make."""
    scene = read_scene(task.folder / SCENE_FILE)
    expected = json.loads(json.dumps(_provenance(task, 0, "")))
    for name in ("seed", "index", "settings", "generator"):
        if scene.provenance.get(name) != expected[name]:
            raise UserError(f"{task.folder}: was made with another {name}; give another --out, or delete the folder")
    return scene


def _provenance(task: RoomTask, attempt: int, backend: str) -> dict[str, Any]:
    return {
        "generator": f"vlm3r {__version__}",
        "seed": task.seed,
        "index": task.index,
        "attempt": attempt,
        "settings": task.settings.record(),
        "renderer": backend,
    }


def _draw(task: RoomTask) -> tuple[Home, Walk, int]:
    """The first home that can be furnished and walked through, its walk, and the number of the attempt."""
    reason = ""
    for attempt in range(task.settings.attempts):
        try:
            home = make_home((task.seed, task.index, attempt))
            rng = np.random.default_rng([task.seed, task.index, attempt, 1])
            return home, draw_walk(home.world, rng, task.settings.frame_rate, task.settings.walk), attempt
        except (Unfurnishable, NoWay) as error:
            reason = str(error)
    raise UserError(
        f"{task.scene_id}: none of {task.settings.attempts} homes could be furnished and walked through "
        f"(the last: {reason}); try another --seed"
    )


def _film(task: RoomTask, folder: Path) -> Scene:
    """Render a walk through the task's home into a folder."""
    settings = task.settings
    home, walk, attempt = _draw(task)
    preset = PRESETS[settings.quality]
    focal = FOCAL_SHARE * preset.width
    camera = Intrinsics(preset.width, preset.height, focal, focal, preset.width / 2, preset.height / 2)
    light_seed = int(np.random.SeedSequence([task.seed, task.index, attempt, 2]).generate_state(1)[0])
    renderer = open_renderer(home.world, camera, preset, light_seed, settings.backend)
    try:
        take = _Take(walk, Visibility(home.world, camera, (task.seed, task.index, attempt, 3)), settings, folder)
        write_video(folder / VIDEO, take.pictures(renderer), settings.frame_rate)
        scene = _scene(task, home, camera, walk, take, _provenance(task, attempt, renderer.backend))
    finally:
        renderer.close()
    overview.contact_sheet(folder / "contact_sheet.png", take.thumbnails, walk.times[take.sampled].tolist())
    overview.top_down_map(folder / "map.png", scene)
    write_scene(scene, folder / SCENE_FILE)
    return scene


class _Take:
    """Collects what the frames show while they pass through to the video encoder."""

    def __init__(self, walk: Walk, visibility: Visibility, settings: SceneSettings, folder: Path) -> None:
        self.walk, self.visibility, self.folder = walk, visibility, folder
        self.sampled = sampled_positions(len(walk.poses), settings.sampled_frames)
        self.sightings: list[tuple[Sighting, ...]] = []
        self.thumbnails: list[Array] = []
        for name in ("depth", "instances"):
            (folder / name).mkdir()

    def pictures(self, renderer: Renderer) -> Iterator[Array]:
        """The frames in order."""
        wanted = set(self.sampled)
        for number, pose in enumerate(self.walk.poses):
            picture, depth, instances = renderer.capture(pose)
            self.sightings.append(self.visibility.sightings(pose, depth, instances))
            if number in wanted:
                write_depth(self.folder / "depth" / f"{number:06d}.png", depth)
                write_instances(self.folder / "instances" / f"{number:06d}.png", instances)
                self.thumbnails.append(picture)
            yield picture


def sampled_positions(total: int, count: int) -> list[int]:
    """Positions of `count` evenly spread frames from the first to the last, cut down to whole numbers, no repeats."""
    return sorted({int(position) for position in np.linspace(0, total - 1, count)})


def _scene(
    task: RoomTask, home: Home, camera: Intrinsics, walk: Walk, take: _Take, provenance: dict[str, Any]
) -> Scene:
    world = home.world
    low_x, low_y, high_x, high_y = world.floor().bounds
    objects = tuple(
        SceneObject(
            o.category,
            OrientedBox(np.asarray(o.centre, float), np.asarray(o.size, float), rotation("z", o.yaw).T),
            1 + i,
        )
        for i, o in enumerate(world.objects)
    )
    kept = set(take.sampled)
    frames = tuple(
        Frame(
            frame_id=number,
            pose=pose,
            timestamp=float(time),
            depth=f"depth/{number:06d}.png" if number in kept else None,
            mask=f"instances/{number:06d}.png" if number in kept else None,
            sightings=seen,
        )
        for number, (pose, time, seen) in enumerate(zip(walk.poses, walk.times, take.sightings, strict=True))
    )
    doorways = [RoomOutline("doorway", tuple(passage)) for passage in world.passages]
    return Scene(
        scene_id=task.scene_id,
        dataset="synthetic",
        room=Room(
            area=world.area,
            centre=((low_x + high_x) / 2, (low_y + high_y) / 2, world.height / 2),
            height=world.height,
            outlines=(*(RoomOutline(room.use, room.polygon) for room in world.rooms), *doorways),
        ),
        objects=objects,
        counts=dict(Counter(o.category for o in objects)),
        frames=frames,
        intrinsics=camera,
        sampled=tuple(take.sampled),
        video=VIDEO,
        provenance=provenance,
    )
