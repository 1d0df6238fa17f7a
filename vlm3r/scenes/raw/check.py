"""What is missing, corrupt, rotated, unaligned or mirrored in prepared scenes, each with its remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.scenes.places import place_of
from vlm3r.scenes.raw.contact_sheet import draw_sheet
from vlm3r.scenes.raw.faults import PREPARE, Fault
from vlm3r.scenes.raw.file_check import LOOKED_AT, Maps, check_video, seen_positions, spread
from vlm3r.scenes.raw.fit import BoxEvidence, DepthEvidence, Indices, explain, lift
from vlm3r.scenes.raw.leaks import Named
from vlm3r.scenes.raw.mask_check import check_masks
from vlm3r.scenes.raw.picture_check import check_pictures
from vlm3r.scenes.raw.world_check import check_world
from vlm3r.scenes.schema import Array, Frame, Scene
from vlm3r.scenes.storage import SCENE_FILE, find_scenes, read_scene
from vlm3r.workers import Engine, run

FEW_FRAMES = 16
"""Frames that a model sees below which most questions about cameras and order cannot be asked."""
DRAWN_POINTS = 1500
"""Pixels of each depth map that are compared with boxes."""
COMPARED_FRAMES = 16
"""Frames whose 2-D boxes are compared with 3-D boxes."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class CheckTask:
    """One scene to check."""

    key: str
    """Name in the report: its folder, relative to the folder that is checked."""
    path: Path
    """Its scene file, or the published file that holds it."""
    scene: Scene | None = None
    """A published scene, which has no files of its own; None reads `path`."""
    sheet: Path | None = None
    """Contact sheet to draw, PNG."""


@dataclass(frozen=True)
class SceneReport:
    """What was found in one scene."""

    key: str
    scene_id: str
    dataset: str | None
    place: str
    faults: tuple[Fault, ...]
    figures: dict[str, float | int | None] = field(default_factory=dict)
    """Counts and agreements, for the report file."""
    sheet: str | None = None
    """File of its contact sheet."""

    @property
    def wrong(self) -> bool:
        """Whether anything serious was found."""
        return any(fault.serious for fault in self.faults)

    @property
    def named(self) -> Named:
        """The scene by its names, to be looked for in benchmarks."""
        return Named(self.scene_id, self.dataset, self.place, self.key)


@dataclass(frozen=True)
class Report:
    """What was found in all scenes, in the order of their keys."""

    scenes: tuple[SceneReport, ...]

    @property
    def wrong(self) -> int:
        """Number of scenes with something serious."""
        return sum(scene.wrong for scene in self.scenes)

    def counts(self, serious: bool) -> Counter[str]:
        """Number of scenes with each kind of fault."""
        return Counter(kind for scene in self.scenes for kind in {f.kind for f in scene.faults if f.serious is serious})

    def record(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "scenes": [asdict(scene) for scene in self.scenes],
            "wrong": self.wrong,
            "serious": dict(self.counts(True)),
            "limiting": dict(self.counts(False)),
        }


def check_folder(
    folder: Path,
    *,
    sheets: Path | None = None,
    workers: int = 1,
    engine: Engine = "local",
    step: Callable[[SceneReport, int], None] = lambda report, total: None,
) -> Report:
    """Check every scene below a folder of prepared or synthetic scenes.

    Args:
        folder: holds scene folders, at any depth.
        sheets: folder that receives one contact sheet a scene.
        workers: processes.
        engine: `local` processes or `ray`.
        step: called after each scene with its report and the number of all.

    Raises:
        UserError: the folder does not exist or holds neither scenes nor halves of scenes.
    """
    halves = list(unfinished(folder)) if folder.is_dir() else []
    tasks: list[CheckTask] = []
    try:
        tasks = [_task(folder, path, sheets) for path in find_scenes(folder)]
    except UserError:
        if not halves:
            raise
    return Report((*check_all(tasks, workers, engine, step), *halves))


def check_all(
    tasks: Sequence[CheckTask],
    workers: int = 1,
    engine: Engine = "local",
    step: Callable[[SceneReport, int], None] = lambda report, total: None,
) -> Iterator[SceneReport]:
    """The reports of some tasks in their order; a scene whose check fails is one with a fault."""
    for outcome in run(check_scene, tasks, workers=workers, engine=engine):
        report = outcome.value
        if report is None:
            name = outcome.item.path.parent.name
            fault = Fault("unreadable", f"the check ended: {outcome.error}", PREPARE)
            report = SceneReport(outcome.item.key, name, None, name, (fault,))
        step(report, len(tasks))
        yield report


def _task(folder: Path, path: Path, sheets: Path | None) -> CheckTask:
    relative = path.parent.relative_to(folder).as_posix()
    key = folder.resolve().name if relative == "." else relative
    return CheckTask(key, path, sheet=None if sheets is None else sheets / f"{key.replace('/', '_')}.png")


def unfinished(folder: Path) -> Iterator[SceneReport]:
    """Folders right below a folder that look like scenes but have no scene file: what was interrupted or deleted."""
    if (folder / SCENE_FILE).is_file():
        return
    for place in sorted(place for place in folder.iterdir() if place.is_dir()):
        name = place.name.removeprefix(".").removesuffix(".incomplete")
        if place.name.startswith(".") and place.name.endswith(".incomplete"):
            fault = Fault("missing", "was interrupted while it was made", "run the same command again", False)
        elif not place.name.startswith(".") and any(place.glob("*.mp4")) and not any(place.rglob(SCENE_FILE)):
            fault = Fault("missing", f"has a video and no {SCENE_FILE}", f"delete the folder and {PREPARE}")
        else:
            continue
        yield SceneReport(place.name, name, None, name, (fault,))


def check_scene(task: CheckTask) -> SceneReport:
    """What is wrong with one scene; draws its contact sheet where the task wants one.

    Raises:
        UserError: the contact sheet cannot be written.
    """
    try:
        scene = task.scene or read_scene(task.path)
    except UserError as error:
        name = task.path.parent.name
        reason = str(error).removeprefix(f"{task.path}: ")
        return SceneReport(task.key, name, None, name, (_unreadable(reason),))
    folder = task.path.parent
    faults = [*_limits(scene), *check_world(scene)]
    figures: dict[str, float | int | None] = {
        "objects": len(scene.objects),
        "frames": len(scene.frames),
        "seen frames": len(scene.seen_frames),
        "room area": scene.room.area,
    }
    pictures: dict[int, Picture] = {}
    if task.scene is None:
        found, pictures = check_video(scene, folder)
        faults += found
    shots = _Shots(scene, folder, pictures, with_files=task.scene is None)
    faults += [*shots.faults(), *shots.disagreements(figures)]
    faults = list(dict.fromkeys(faults))
    if task.sheet is not None:
        draw_sheet(task.sheet, scene, pictures, [fault.line() for fault in faults])
    sheet = None if task.sheet is None else str(task.sheet)
    return SceneReport(task.key, scene.scene_id, scene.dataset, place_of(scene), tuple(faults), figures, sheet)


def _unreadable(reason: str) -> Fault:
    kind = "mirrored" if "is mirrored" in reason else "unreadable"
    return Fault(kind, reason.rpartition("; ")[0] or reason, reason.rpartition("; ")[2])


def _limits(scene: Scene) -> list[Fault]:
    """What keeps questions from being asked, and what its maker noted."""
    faults = []
    if not scene.objects:
        faults.append(Fault("objects", "has no objects with boxes", "look at its annotation; download the scan again"))
    without = sum(thing.instance_id is None for thing in scene.objects)
    if without:
        text = f"{without} of {len(scene.objects)} objects have no instance id"
        remedy = f"{PREPARE} from the raw data: order of appearance and most camera questions need ids"
        faults.append(Fault("ids", text, remedy, False))
    ids = {thing.instance_id for thing in scene.objects} - {None}
    seen = {sighting.instance_id for frame in scene.frames for sighting in frame.sightings}
    if ids and seen and not ids & seen:
        faults.append(Fault("ids", "no 2-D box has the id of any object", f"{PREPARE}: ids of two annotations differ"))
    elif ids and scene.frames and not seen:
        faults.append(Fault("ids", "no frame says which objects it shows", f"{PREPARE} with its frames", False))
    if scene.room.area is None:
        remedy = "nothing, if its points are too few; its room size is not asked"
        faults.append(Fault("area", "the room's area is unknown", remedy, False))
    shown = len(scene.seen_frames)
    if 0 < shown < FEW_FRAMES:
        text = f"only {shown} frames are for a model to see"
        faults.append(Fault("frames", text, "leave it out with --least-frames, or take more frames of it", False))
    problems = list(scene.problems)
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        faults.append(Fault("noted", f"{problems[0]}{more}", "it was left out; see `problems` in the record", False))
    return faults


class _Shots:
    """The frames of a scene that are compared with its boxes, with their maps."""

    def __init__(self, scene: Scene, folder: Path, pictures: dict[int, Picture], with_files: bool) -> None:
        self._scene, self._pictures = scene, pictures
        self._offset = int(getattr(scene, "mask_offset", 0))
        self._maps = Maps(scene, folder)
        self._depth: dict[int, NDArray[np.float64]] = {}
        self._instances: dict[int, NDArray[np.int64]] = {}
        if not with_files:
            return
        looked_at = set(spread(seen_positions(scene), LOOKED_AT))
        for position, frame in enumerate(scene.frames):
            depth, instances = self._maps.depth(frame), self._maps.instances(frame)
            self._maps.image(frame)
            if position in looked_at and depth is not None:
                self._depth[position] = depth
            if position in looked_at and instances is not None:
                self._instances[position] = instances

    def faults(self) -> list[Fault]:
        """What is wrong with the maps as files."""
        return self._maps.faults()

    def disagreements(self, figures: dict[str, float | int | None]) -> list[Fault]:
        """Where pictures, maps, 2-D boxes, 3-D boxes and poses contradict each other; notes agreements in `figures`."""
        camera = self._scene.intrinsics
        if camera is None:
            return [Fault("missing", "the camera's intrinsics are unknown", PREPARE)] if self._scene.frames else []
        shots = [(pixels, self._scene.frames[i].sightings) for i, pixels in self._instances.items()]
        faults, figures["instance maps"] = check_masks(shots, self._offset, camera)
        maps: tuple[dict[int, NDArray[Any]], str] = (self._depth, "depth maps")
        if not self._depth:
            maps = (self._instances, "instance maps")
        both = [(self._pictures[i], values) for i, values in maps[0].items() if i in self._pictures]
        faults += check_pictures(both, maps[1])
        boxes = {thing.instance_id: thing.box for thing in self._scene.objects if thing.instance_id is not None}
        pairs = [
            (frame.pose, seen.box, boxes[seen.instance_id])
            for frame in self._compared()
            for seen in frame.sightings
            if frame.pose is not None and seen.instance_id in boxes
        ]
        points = DepthEvidence(self._points(trusted=not faults), [thing.box for thing in self._scene.objects])
        found, agreements = explain([BoxEvidence(pairs, camera), points])
        figures.update(agreements)
        return [*faults, *found]

    def _compared(self) -> list[Frame]:
        return [self._scene.frames[i] for i in spread(seen_positions(self._scene), COMPARED_FRAMES)]

    def _points(self, trusted: bool) -> list[tuple[Array, Array, Indices]]:
        """Pose, points in camera axes and their objects' positions (-1 unknown) of frames with depth.

        Instance maps say which object a point belongs to where they can be `trusted`.
        """
        camera = self._scene.intrinsics
        places = {thing.instance_id: number for number, thing in enumerate(self._scene.objects)}
        rng = np.random.default_rng(0)
        result = []
        for position, depth in self._depth.items():
            pose, instances = self._scene.frames[position].pose, self._instances.get(position)
            rows, columns = np.nonzero(depth > 0)
            if pose is None or camera is None:
                continue
            drawn = rng.integers(len(rows), size=DRAWN_POINTS)
            rows, columns = rows[drawn], columns[drawn]
            owners = np.full(len(rows), -1)
            if trusted and instances is not None:
                there = instances[rows * instances.shape[0] // depth.shape[0],
                                  columns * instances.shape[1] // depth.shape[1]]  # fmt: skip
                owners = np.array([places.get(v - self._offset, -1) if v else -1 for v in there.tolist()])
            result.append((pose, lift(depth, camera, rows, columns), owners))
        return result


def with_faults(report: Report, more: Mapping[str, Sequence[Fault]]) -> Report:
    """The report with further faults of some scenes, by their keys."""
    return Report(tuple(replace(s, faults=(*s.faults, *more.get(s.key, ()))) for s in report.scenes))
