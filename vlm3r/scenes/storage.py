"""Our own scene file: one versioned JSON object per scene, read strictly and written atomically."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from vlm3r.errors import UserError
from vlm3r.files import write_text
from vlm3r.scenes import fields
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.published import read_frame_id
from vlm3r.scenes.schema import (
    SCHEMA_VERSION,
    Frame,
    Intrinsics,
    Room,
    RoomOutline,
    Scene,
    SceneObject,
    Sighting,
)

SCENE_FILE = "scene.json"
FORMAT = "vlm3r-scene"

Record = Mapping[str, Any]


def find_scenes(folder: str | Path) -> Iterator[Path]:
    """The scene files below a folder, in the order of their paths; half-written folders (names with a dot) are skipped.

    Raises:
        UserError: the folder does not exist or holds no scene.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; make scenes with `vlm3r scenes generate --out {folder}`")
    empty = True
    for path in sorted(folder.rglob(SCENE_FILE)):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            empty = False
            yield path
    if empty:
        raise UserError(f"{folder}: holds no {SCENE_FILE}; make scenes with `vlm3r scenes generate --out {folder}`")


def folder_name(scene_file: Path) -> str:
    """The name of the folder that a scene file stands in, also where its path is relative or ends in `..`."""
    return scene_file.parent.resolve().name


def write_scene(scene: Scene, path: str | Path) -> None:
    """Write a scene as JSON; the file appears whole or not at all."""
    write_text(Path(path), json.dumps(scene_record(scene), allow_nan=False) + "\n")


def scene_record(scene: Scene) -> dict[str, Any]:
    """The scene as plain JSON values. Floats keep all their digits, so reading gives the same scene."""
    return {
        "format": FORMAT,
        "version": SCHEMA_VERSION,
        "scene_id": scene.scene_id,
        "dataset": scene.dataset,
        "split": scene.split,
        "video": scene.video,
        "room": asdict(scene.room),
        "objects": [
            {
                "category": o.category,
                "instance_id": o.instance_id,
                "centre": o.box.centre.tolist(),
                "size": o.box.size.tolist(),
                "axes": o.box.axes.tolist(),
            }
            for o in scene.objects
        ],
        "counts": dict(scene.counts),
        "intrinsics": None if scene.intrinsics is None else asdict(scene.intrinsics),
        "sampled": None if scene.sampled is None else list(scene.sampled),
        "frames": [_frame_record(frame) for frame in scene.frames],
        **({"mask_offset": scene.mask_offset} if scene.mask_offset else {}),
        "provenance": dict(scene.provenance),
        "source": json.dumps(scene.source) if scene.source else None,  # as text: it may hold NaN, which JSON may not
        "problems": list(scene.problems),
    }


def _frame_record(frame: Frame) -> dict[str, Any]:
    record: dict[str, Any] = {
        "frame_id": frame.frame_id,
        "timestamp": frame.timestamp,
        "pose": None if frame.pose is None else frame.pose.tolist(),
        "sightings": [{k: v for k, v in asdict(s).items() if v is not None} for s in frame.sightings],
    }
    rest = {"image": frame.image, "depth": frame.depth, "mask": frame.mask, "video_index": frame.video_index}
    return record | {name: value for name, value in rest.items() if value is not None}


def read_scene(path: str | Path) -> Scene:
    """The scene in a file written by `write_scene`.

    Raises:
        UserError: the file is missing, damaged, of a newer version, or a field of it is wrong; the message names it.
    """
    path = Path(path)
    record = fields.read_object(path, "a scene file")
    try:
        return scene_from_record(record)
    except FieldError as error:
        name = record.get("scene_id", path.parent.name)
        raise UserError(f"{path}: scene {name}: {error}; generate or prepare the scene again") from None


def scene_from_record(record: Record) -> Scene:
    """The scene in plain JSON values.

    Raises:
        FieldError: a field is missing or wrong.
    """
    if record.get("format") != FORMAT:
        raise FieldError(f"format is {record.get('format')!r}, not {FORMAT!r}")
    version = fields.integer(record.get("version"), "version")
    if version != SCHEMA_VERSION:
        raise FieldError(f"version {version} cannot be read by this release, which reads version {SCHEMA_VERSION}")
    objects = tuple(_object(i, o) for i, o in enumerate(fields.items(record.get("objects"), "objects")))
    frames = tuple(_frame(i, f) for i, f in enumerate(fields.items(record.get("frames"), "frames")))
    _no_repeats([o.instance_id for o in objects if o.instance_id is not None], "objects", "instance_id")
    _no_repeats([f.frame_id for f in frames], "frames", "frame_id")
    counts = fields.mapping(record.get("counts"), "counts")
    return Scene(
        scene_id=fields.text(record.get("scene_id"), "scene_id"),
        dataset=fields.text(record.get("dataset"), "dataset"),
        room=_room(fields.mapping(record.get("room"), "room")),
        objects=objects,
        counts={
            fields.category(name, "counts: category"): fields.integer(n, f"counts.{name}") for name, n in counts.items()
        },
        frames=frames,
        intrinsics=_intrinsics(record.get("intrinsics")),
        sampled=_sampled(record.get("sampled"), len(frames)),
        video=fields.optional_text(record, "video"),
        split=fields.optional_text(record, "split"),
        mask_offset=fields.integer(record.get("mask_offset", 0), "mask_offset"),
        provenance=fields.mapping(record.get("provenance", {}), "provenance"),
        source=_source(fields.optional_text(record, "source")),
        problems=tuple(fields.text(p, "problems") for p in fields.items(record.get("problems", []), "problems")),
    )


def _source(text: str | None) -> Record:
    try:
        return {} if text is None else fields.mapping(json.loads(text), "source")
    except ValueError as error:
        raise FieldError(f"source is no JSON ({error})") from None


def _no_repeats(values: list[int] | list[int | str], where: str, name: str) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise FieldError(f"{where}: {name} {value} is used twice")
        seen.add(value)


def _object(position: int, entry: Any) -> SceneObject:
    where = f"objects[{position}]"
    entry = fields.mapping(entry, where)
    try:
        box = fields.oriented_box(entry.get("centre"), entry.get("size"), entry.get("axes"))
        identity = entry.get("instance_id")
        identity = None if identity is None else fields.integer(identity, "instance_id")
        return SceneObject(fields.category(entry.get("category")), box, identity)
    except FieldError as error:
        raise FieldError(f"{where}: {error}") from None


def _frame(position: int, entry: Any) -> Frame:
    where = f"frames[{position}]"
    entry = fields.mapping(entry, where)
    try:
        timestamp, index = entry.get("timestamp"), entry.get("video_index")
        sightings = fields.items(entry.get("sightings"), "sightings")
        return Frame(
            frame_id=read_frame_id(entry.get("frame_id")),
            pose=None if entry.get("pose") is None else fields.pose(entry["pose"]),
            timestamp=None if timestamp is None else fields.number(timestamp, "timestamp"),
            image=fields.optional_text(entry, "image"),
            depth=fields.optional_text(entry, "depth"),
            mask=fields.optional_text(entry, "mask"),
            sightings=tuple(_sighting(fields.mapping(s, "sighting")) for s in sightings),
            video_index=None if index is None else fields.integer(index, "video_index"),
        )
    except FieldError as error:
        raise FieldError(f"{where}: {error}") from None


def _sighting(entry: Record) -> Sighting:
    pixels, fraction, depth = (entry.get(name) for name in ("pixels", "visible_fraction", "depth"))
    return Sighting(
        instance_id=fields.integer(entry.get("instance_id"), "instance_id"),
        box=fields.pixel_box(entry.get("box")),
        pixels=None if pixels is None else fields.integer(pixels, "pixels"),
        visible_fraction=None if fraction is None else fields.number(fraction, "visible_fraction"),
        depth=None if depth is None else fields.number(depth, "depth"),
    )


def _room(record: Record) -> Room:
    area, height, centre = (record.get(name) for name in ("area", "height", "centre"))
    outlines = []
    for position, entry in enumerate(fields.items(record.get("outlines", []), "room.outlines")):
        where = f"room.outlines[{position}]"
        entry = fields.mapping(entry, where)
        corners = fields.items(entry.get("polygon"), f"{where}.polygon")
        points = [fields.metres(c, (2,), f"{where}.polygon").tolist() for c in corners]
        if len(points) < 3:
            raise FieldError(f"{where}.polygon has fewer than three corners")
        outlines.append(
            RoomOutline(fields.text(entry.get("use", ""), f"{where}.use"), tuple((x, y) for x, y in points))
        )
    middle = None if centre is None else tuple(fields.metres(centre, (3,), "room.centre").tolist())
    return Room(
        area=None if area is None else fields.number(area, "room.area"),
        centre=middle,  # type: ignore[arg-type]
        height=None if height is None else fields.number(height, "room.height"),
        outlines=tuple(outlines),
    )


def _intrinsics(record: Any) -> Intrinsics | None:
    if record is None:
        return None
    record = fields.mapping(record, "intrinsics")
    width, height = (fields.integer(record.get(k), f"intrinsics.{k}") for k in ("width", "height"))
    fx, fy, cx, cy = (fields.number(record.get(k), f"intrinsics.{k}") for k in ("fx", "fy", "cx", "cy"))
    return fields.camera(Intrinsics(width, height, fx, fy, cx, cy))


def _sampled(value: Any, frames: int) -> tuple[int, ...] | None:
    if value is None:
        return None
    sampled = tuple(fields.integer(v, "sampled") for v in fields.items(value, "sampled"))
    if any(not 0 <= v < frames for v in sampled) or any(a >= b for a, b in pairwise(sampled)):
        raise FieldError(f"sampled must be ascending positions among the {frames} frames")
    return sampled
