"""Reading the published scene and frame metadata: two JSON objects, scene id -> record.

What a record lacks or spells in another way is accepted (key names of both releases, numbers as text, nested axes);
what is broken is left out and named in `Scene.problems`. The records themselves are kept in `Scene.source`, so that
`vlm3r.scenes.publish` can write back all that was read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vlm3r.errors import UserError
from vlm3r.scenes import fields
from vlm3r.scenes.datasets import FRAME_RATES, dataset_name
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.schema import Frame, Intrinsics, Room, Scene, SceneObject, Sighting

Record = Mapping[str, Any]

MAX_DIGITS = 18


def load_published_metadata(scene_file: str | Path, frame_file: str | Path | None = None) -> dict[str, Scene]:
    """The scenes of a published metadata file, with the frames of its frame metadata file where one is given.

    Args:
        scene_file: `<dataset>_metadata_<split>.json`.
        frame_file: `<dataset>_frame_metadata_<split>.json`; without it scenes have no frames.

    Raises:
        UserError: a file is missing or no JSON, or a scene cannot be used at all; the message names file and scene.
    """
    scenes = {}
    for scene_id, outcome in read_published(scene_file, frame_file):
        if isinstance(outcome, UserError):
            raise outcome
        scenes[scene_id] = outcome
    return scenes


def read_published(
    scene_file: str | Path, frame_file: str | Path | None = None
) -> Iterator[tuple[str, Scene | UserError]]:
    """Each scene id with its scene, or with the error that makes it unusable, so that a run can go on.

    Raises:
        UserError: one of the files as a whole cannot be read.
    """
    scene_file = Path(scene_file)
    scenes = fields.read_object(scene_file, "a scene metadata file")
    frames: Record = {}
    if frame_file is not None:
        frame_file = Path(frame_file)
        frames = fields.read_object(frame_file, "a frame metadata file")
    for scene_id, record in scenes.items():
        if not fields.writable(scene_id):
            scene_id = ascii(scene_id)
            yield scene_id, UserError(f"{scene_file}: scene {scene_id}: its id is no valid Unicode; rename this scene")
            continue
        try:
            yield scene_id, scene_from_published(scene_id, record, frames.get(scene_id), frame_file is not None)
        except FieldError as error:
            yield scene_id, UserError(f"{scene_file}: scene {scene_id}: {error}; mend or remove this scene")
    for scene_id in frames:
        if scene_id not in scenes:
            scene_id = scene_id if fields.writable(scene_id) else ascii(scene_id)
            yield scene_id, UserError(f"{frame_file}: scene {scene_id}: has frames but is not in {scene_file.name}")


def scene_from_published(scene_id: str, record: Any, frame_record: Any = None, frames_expected: bool = False) -> Scene:
    """One scene from its two published records; `frames_expected` says that a missing frame record is a problem.

    Raises:
        FieldError: the record as a whole cannot be used.
    """
    record = fields.mapping(record, "record")
    problems: list[str] = []
    dataset = dataset_name(fields.text(record.get("dataset", ""), "dataset"))
    objects = _objects(record, problems)
    frames: tuple[Frame, ...] = ()
    intrinsics = None
    if frame_record is not None:
        frame_record = fields.mapping(frame_record, "frame record")
        frames = _frames(frame_record, FRAME_RATES.get(dataset), problems)
        intrinsics = _intrinsics(frame_record, problems)
    elif frames_expected:
        problems.append("no frame record in the frame metadata file")
    return Scene(
        scene_id=scene_id,
        dataset=dataset,
        room=_room(record, problems),
        objects=objects,
        counts=_counts(record, problems),
        frames=frames,
        intrinsics=intrinsics,
        video=fields.optional_text(record, "video_path"),
        split=fields.optional_text(record, "split"),
        source={"scene": record} if frame_record is None else {"scene": record, "frames": frame_record},
        problems=tuple(problems),
    )


def _room(record: Record, problems: list[str]) -> Room:
    area = centre = None
    try:
        area = fields.number(record["room_size"], "room_size") if record.get("room_size") is not None else None
        if area is not None and area < 0:
            raise FieldError(f"room_size is {area:g}, which is negative")
    except FieldError as error:
        area = None
        problems.append(str(error))
    try:
        if record.get("room_center") is not None:
            x, y, z = fields.metres(record["room_center"], (3,), "room_center").tolist()
            centre = (x, y, z)
    except FieldError as error:
        problems.append(str(error))
    return Room(area=area or None, centre=centre)  # a size of 0 says that the area computation failed


def _objects(record: Record, problems: list[str]) -> tuple[SceneObject, ...]:
    boxes = _boxes(record)
    if not boxes:
        problems.append("no object_bboxes")
    objects = []
    for category, entries in boxes.items():
        try:
            fields.category(category, "object_bboxes: category")
            listed = fields.items(entries, f"object_bboxes.{category}")
        except FieldError as error:
            problems.append(f"{error}; left out")
            continue
        for position, entry in enumerate(listed):
            try:
                objects.append(_object(category, entry))
            except FieldError as error:
                problems.append(f"object_bboxes.{category}[{position}]: {error}; left out")
    return _without_repeated_ids(objects, problems)


def _boxes(record: Record) -> Record:
    """Category -> list of boxes, as recorded; empty where there are none."""
    boxes = record.get("object_bboxes", record.get("object_bbox"))
    return {} if boxes is None else fields.mapping(boxes, "object_bboxes")


def _object(category: str, entry: Any) -> SceneObject:
    entry = fields.mapping(entry, "box")
    box = fields.oriented_box(entry.get("centroid"), entry.get("axesLengths"), entry.get("normalizedAxes"))
    instance_id = entry.get("instance_id")
    return SceneObject(category, box, None if instance_id is None else fields.integer(instance_id, "instance_id"))


def _without_repeated_ids(objects: list[SceneObject], problems: list[str]) -> tuple[SceneObject, ...]:
    """The objects; an id that two of them claim is taken from both, since no 2-D box can tell them apart."""
    uses = Counter(o.instance_id for o in objects if o.instance_id is not None)
    repeated = {i for i, count in uses.items() if count > 1}
    problems.extend(f"instance_id {i} is used by {uses[i]} objects; ignored" for i in sorted(repeated))
    return tuple(SceneObject(o.category, o.box) if o.instance_id in repeated else o for o in objects)


def _counts(record: Record, problems: list[str]) -> dict[str, int]:
    """Instances per category in the record's order; from all boxes, usable or not, where the record has no counts."""
    recorded = record.get("object_counts")
    if recorded is None:
        recorded = {category: len(entries) for category, entries in _boxes(record).items() if isinstance(entries, list)}
    counts = {}
    for category, value in fields.mapping(recorded, "object_counts").items():
        try:
            count = fields.integer(value, f"object_counts.{fields.category(category, 'object_counts: category')}")
            if count < 0:
                raise FieldError(f"object_counts.{category} is negative")
            counts[category] = count
        except FieldError as error:
            problems.append(f"{error}; left out")
    return counts


def _intrinsics(record: Record, problems: list[str]) -> Intrinsics | None:
    try:
        entry = fields.mapping(record.get("camera_intrinsics"), "camera_intrinsics")
        fx, fy, cx, cy = (fields.number(entry.get(k), f"camera_intrinsics.{k}") for k in ("fx", "fy", "cx", "cy"))
        width, height = (fields.integer(record.get(k), k) for k in ("img_width", "img_height"))
        camera = fields.camera(Intrinsics(width, height, fx, fy, cx, cy))
    except FieldError as error:
        problems.append(str(error))
        return None
    return camera


def _frames(record: Record, rate: float | None, problems: list[str]) -> tuple[Frame, ...]:
    frames: dict[int | str, Frame] = {}
    for position, entry in enumerate(fields.items(record.get("frames"), "frames")):
        try:
            frame = _frame(fields.mapping(entry, f"frames[{position}]"), rate, problems)
        except FieldError as error:
            problems.append(f"frames[{position}]: {error}; left out")
            continue
        if frame.frame_id in frames:
            problems.append(f"frame {frame.frame_id} is listed twice; the first is used")
        else:
            frames[frame.frame_id] = frame
    if not frames:
        problems.append("no frames")
    return tuple(sorted(frames.values(), key=lambda frame: frame_order(frame.frame_id)))


def frame_order(frame_id: int | str) -> tuple[int, int, str]:
    """Sorting key of frame ids: numbers by value, names by spelling."""
    number = frame_number(frame_id)
    return (1, 0, str(frame_id)) if number is None else (0, number, "")


def frame_number(frame_id: int | str) -> int | None:
    """The index that a frame id spells, or None for names such as `DSC01700` and for more digits than an index has."""
    if isinstance(frame_id, str) and not (frame_id.isdecimal() and len(frame_id) <= MAX_DIGITS):
        return None
    return int(frame_id)


def _frame(entry: Record, rate: float | None, problems: list[str]) -> Frame:
    frame_id = read_frame_id(entry.get("frame_id"))
    number = frame_number(frame_id)
    try:
        pose = fields.pose(entry.get("camera_pose_camera_to_world"))
    except FieldError as error:
        pose = None
        problems.append(f"frame {frame_id}: {error}; used without pose")
    return Frame(
        frame_id=frame_id,
        pose=pose,
        timestamp=None if rate is None or number is None else number / rate,
        image=fields.optional_text(entry, "file_path_color"),
        depth=fields.optional_text(entry, "file_path_depth"),
        mask=fields.optional_text(entry, "file_path_mask"),
        sightings=_sightings(entry.get("bboxes_2d"), frame_id, problems),
    )


def read_frame_id(value: Any) -> int | str:
    """A frame's number or name.

    Raises:
        FieldError: it is missing, empty or neither.
    """
    if isinstance(value, str) and value.strip():
        return fields.text(value.strip(), "frame_id")
    return fields.integer(value, "frame_id")


def _sightings(value: Any, frame_id: int | str, problems: list[str]) -> tuple[Sighting, ...]:
    if value is None:
        return ()
    sightings = []
    for position, entry in enumerate(fields.items(value, f"frame {frame_id}: bboxes_2d")):
        try:
            entry = fields.mapping(entry, "entry")
            instance_id = fields.integer(entry.get("instance_id"), "instance_id")
            sightings.append(Sighting(instance_id, fields.pixel_box(entry.get("bbox_2d"))))
        except FieldError as error:
            problems.append(f"frame {frame_id}: bboxes_2d[{position}]: {error}; left out")
    return tuple(sightings)
