"""One raw scan as a scene folder: an upright video, depth maps, instance masks, boxes and 2-D boxes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3r import __version__
from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw import readers
from vlm3r.scenes.raw.annotate import Annotator
from vlm3r.scenes.raw.capture import Capture, Scan, View
from vlm3r.scenes.raw.inventory import Inventory, take_inventory
from vlm3r.scenes.raw.resize import fitting_size, published_size, resized_camera
from vlm3r.scenes.schema import Intrinsics, Scene
from vlm3r.scenes.storage import SCENE_FILE, read_scene, write_scene
from vlm3r.scenes.synthetic import overview
from vlm3r.scenes.synthetic.generate import VIDEO, sampled_positions
from vlm3r.scenes.synthetic.pictures import write_video

Labels = Literal["ours", "published", "vsibench"]
Picture = NDArray[np.uint8]

UNEVEN = 0.1
"""Share of a frame's duration by which it may come early or late and the video still has one frame rate."""


@dataclass(frozen=True)
class PrepareSettings:
    """What decides the content of scene folders, beside the raw data."""

    labels: Labels = "ours"
    """Table of synonyms and dropped labels; see `vlm3r.scenes.raw.labels`."""
    published: bool = False
    """Pictures of the published sizes, and every choice of `readers` as the published pipeline makes it."""
    size: int = 640
    """Most pixels along the longer side of pictures, which keep their shape and are never enlarged."""
    frames: int = 32
    """Frames that a model sees: they get depth maps, masks and 2-D boxes."""
    dense: bool = False
    """Whether every other frame gets them too."""
    partial: bool = False
    """Whether recordings that are cut short are used as far as they go."""
    seed: int = 0
    """Decides which points the room's area is taken from."""


@dataclass(frozen=True)
class PrepareTask:
    """One scan to prepare."""

    scan: Scan
    out: Path
    settings: PrepareSettings

    @property
    def folder(self) -> Path:
        """Where the finished scene lies."""
        return self.out / self.scan.scene_id


@dataclass(frozen=True)
class Prepared:
    """What one task came to."""

    scene_id: str
    objects: int
    frames: int
    problems: int
    """Lines that tell what was left out."""
    kept: bool
    """Whether an earlier run had made it."""


def prepare_scan(task: PrepareTask) -> Prepared:
    """Make the scene folder of a scan, unless an earlier run with the same settings finished it.

    The folder appears under its name when everything in it is written.

    Raises:
        UserError: the scan is missing something that no scene can do without, other files stand in the way, or the disk
            is full.
    """
    if task.folder.exists():
        return _outcome(_finished(task), kept=True)
    building = task.out / f".{task.scan.scene_id}.incomplete"
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        scene = _write(task, building)
        building.rename(task.folder)
    except OSError as error:
        raise UserError(
            f"{task.folder}: cannot be made ({first_line(error)}); free some space or choose another --out"
        ) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(building)
    return _outcome(scene, kept=False)


def _outcome(scene: Scene, *, kept: bool) -> Prepared:
    return Prepared(scene.scene_id, len(scene.objects), len(scene.frames), len(scene.problems), kept)


def _finished(task: PrepareTask) -> Scene:
    """The scene that stands at the task's place, if it is the very scene that the task would make."""
    scene = read_scene(task.folder / SCENE_FILE)
    made = dict(scene.provenance.get("settings", {}))
    for name, value in json.loads(json.dumps(_made_by(task))).items():
        if made.get(name) != value:
            how = f"with {name} {made.get(name)!r}, not {value!r}"
            raise UserError(f"{task.folder}: was made {how}; give another --out, or delete the folder")
    return scene


def _made_by(task: PrepareTask) -> dict[str, Any]:
    return {"dataset": task.scan.dataset, "route": task.scan.route, **asdict(task.settings)}


def _write(task: PrepareTask, folder: Path) -> Scene:
    """Read a scan into a folder."""
    settings = task.settings
    with closing(readers.open_scan(task.scan, settings.published, settings.partial)) as capture:
        views = capture.views
        if not any(view.samplable for view in views):
            problems = "; ".join(capture.findings.problems) or "no reason is known"
            raise UserError(f"{task.scan.folder}: no frame has a picture, depth and a pose ({problems}); leave it out")
        inventory = take_inventory(capture, settings.labels, settings.seed)
        cameras = _cameras(task, views)
        sampled = sampled_positions(len(views), settings.frames)
        thumbnails = _film(capture, cameras[0], sampled, folder)
        annotator = Annotator(capture, inventory, cameras, folder)
        frames = annotator.frames(range(len(views)) if settings.dense else sampled)
        scene = Scene(
            scene_id=task.scan.scene_id,
            dataset=task.scan.dataset,
            room=inventory.room,
            objects=inventory.objects,
            counts=inventory.counts,
            frames=frames,
            intrinsics=_middle(cameras, views),
            sampled=tuple(sampled),
            video=VIDEO,
            split=task.scan.split,
            mask_offset=inventory.mask_offset,
            provenance=_provenance(task, capture, inventory, annotator, cameras),
            problems=(*capture.findings.problems, *inventory.problems, *annotator.problems),
        )
    _illustrate(scene, thumbnails, folder)
    write_scene(scene, folder / SCENE_FILE)
    return scene


def _provenance(
    task: PrepareTask, capture: Capture, inventory: Inventory, annotator: Annotator, cameras: Sequence[Intrinsics]
) -> dict[str, Any]:
    focal = [camera.fx for camera in cameras]
    return {
        "generator": f"vlm3r {__version__}",
        "settings": _made_by(task),
        "place": task.scan.place,
        **inventory.provenance,
        **annotator.provenance,
        "intrinsics": {"of": "the median frame", "focal_spread_pixels": round(max(focal) - min(focal), 3)},
        "reader": dict(capture.findings.provenance),
    }


def _cameras(task: PrepareTask, views: Sequence[View]) -> list[Intrinsics]:
    """The camera of each view's picture as it is written; all have one size."""
    first = views[0].intrinsics
    if task.settings.published:
        size = published_size(task.scan.dataset, task.scan.route, first.width, first.height)
    else:
        size = fitting_size(first.width, first.height, task.settings.size)
    try:
        return [resized_camera(view.intrinsics, *size) for view in views]
    except FieldError as error:
        raise UserError(f"{task.scan.folder}: its camera {error}; download the scan again") from None


def _middle(cameras: Sequence[Intrinsics], views: Sequence[View]) -> Intrinsics:
    """The median camera of the frames that can be sampled; the lens's focus moves the true ones a little."""
    values = [
        (camera.fx, camera.fy, camera.cx, camera.cy)
        for camera, view in zip(cameras, views, strict=True)
        if view.samplable
    ]
    return Intrinsics(cameras[0].width, cameras[0].height, *np.median(values, axis=0).tolist())


def _film(capture: Capture, camera: Intrinsics, sampled: Sequence[int], folder: Path) -> list[Picture]:
    """Write the video; the pictures of the sampled frames."""
    wanted, thumbnails = set(sampled), []

    def pictures() -> Iterator[Picture]:
        for number, picture in enumerate(capture.pictures()):
            shown = _scaled(picture, camera.width, camera.height)
            if number in wanted:
                thumbnails.append(shown)
            yield shown

    times = [view.timestamp for view in capture.views]
    even = np.arange(len(times)) / capture.fps
    uneven = bool(np.abs(np.array(times) - even).max() * capture.fps > UNEVEN)
    write_video(folder / VIDEO, pictures(), capture.fps, times=times if uneven else None)
    return thumbnails


def _scaled(picture: Picture, width: int, height: int) -> Picture:
    if picture.shape[:2] == (height, width):
        return picture
    filtered = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(filtered, np.uint8)


def _illustrate(scene: Scene, thumbnails: Sequence[Picture], folder: Path) -> None:
    """Write a contact sheet of the sampled frames, and a map where the room's outline is known."""
    times = [frame.timestamp or 0.0 for frame in scene.seen_frames]
    overview.contact_sheet(folder / "contact_sheet.png", thumbnails, times)
    if scene.room.outlines:
        overview.top_down_map(folder / "map.png", scene)
