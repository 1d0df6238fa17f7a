"""Writing scenes as published scene and frame metadata.

A scene that was read from published records keeps their exact form wherever it was not changed: spellings, extra keys,
the order of entries, and even entries that were unusable. Other scenes are written in the form of the ScanNet files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vlm3r.errors import UserError
from vlm3r.files import write_text
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.published import frame_order, read_frame_id, scene_from_published
from vlm3r.scenes.schema import Frame, OrientedBox, Scene

Record = dict[str, Any]


def save_published_metadata(
    scenes: Iterable[Scene], scene_file: str | Path, frame_file: str | Path | None = None
) -> None:
    """Write both metadata files; each appears whole or not at all.

    Args:
        scenes: what to write, in this order.
        scene_file: receives one record per scene.
        frame_file: receives one record per scene that has frames; None writes no frames.

    Raises:
        UserError: two scenes have one id.
    """
    records: dict[str, Record] = {}
    frame_records: dict[str, Record] = {}
    for scene in scenes:
        if scene.scene_id in records:
            raise UserError(f"{scene_file}: scene {scene.scene_id} would be written twice; rename one of the two")
        records[scene.scene_id], frames = published_records(scene)
        if frames is not None:
            frame_records[scene.scene_id] = frames
    write_text(Path(scene_file), json.dumps(records) + "\n")
    if frame_file is not None:
        write_text(Path(frame_file), json.dumps(frame_records) + "\n")


def published_records(scene: Scene) -> tuple[Record, Record | None]:
    """The scene record and the frame record (None for a scene without frames) of one scene."""
    current = _scene_record(scene), _frame_record(scene)
    if "scene" not in scene.source:
        return current
    raw, raw_frames = scene.source["scene"], scene.source.get("frames")
    before = scene_from_published(scene.scene_id, raw, raw_frames)
    short = "object_bbox" in raw and "object_bboxes" not in raw
    usual = _renamed(raw, "object_bbox", "object_bboxes") if short else raw
    updated = _updated(usual, _scene_record(before), current[0], usual)
    return (
        _renamed(updated, "object_bboxes", "object_bbox") if short else updated,
        current[1]
        if raw_frames is None
        else _updated(_in_video_order(raw_frames), _frame_record(before), current[1], raw_frames),
    )


def _renamed(record: Mapping[str, Any], old: str, new: str) -> Record:
    """The record with one key renamed, in its place."""
    return {(new if key == old else key): value for key, value in record.items()}


def _in_video_order(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The frame record with its frames in the order in which they are read; unreadable ones leave it as it is."""
    try:
        ordered = sorted(raw["frames"], key=lambda entry: frame_order(read_frame_id(entry.get("frame_id"))))
    except (FieldError, AttributeError):
        return raw
    return {**raw, "frames": ordered}


def _updated(raw: Any, before: Any, current: Any, whole: Any) -> Any:
    """`whole` where nothing changed from `before` to `current`; else `raw` with just the changed parts replaced."""
    if _same(before, current):
        return whole
    if isinstance(raw, Mapping) and isinstance(before, Mapping) and isinstance(current, Mapping):
        kept = {key: value for key, value in raw.items() if key in current or key not in before}
        added = [k for k in current if k not in raw and not (k in before and _same(before[k], current[k]))]
        return {
            key: _updated(raw.get(key), before.get(key), current[key], raw.get(key)) if key in current else kept[key]
            for key in [*kept, *added]
        }
    if not (isinstance(raw, list) and isinstance(before, list) and isinstance(current, list)):
        return current
    if not len(raw) == len(before) == len(current):
        return current
    return [_updated(r, b, c, r) for r, b, c in zip(raw, before, current, strict=True)]


def _same(first: Any, second: Any) -> bool:
    """Equality of JSON values."""
    return json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)


def _scene_record(scene: Scene) -> Record:
    boxes: dict[str, list[Record]] = {category: [] for category in scene.counts}
    for thing in scene.objects:
        record = _box_record(thing.box)
        if thing.instance_id is not None:
            record["instance_id"] = thing.instance_id
        boxes.setdefault(thing.category, []).append(record)
    result: Record = {
        "video_path": scene.video,
        "dataset": scene.dataset,
        "room_size": 0.0 if scene.room.area is None else scene.room.area,
        "room_center": None if scene.room.centre is None else list(scene.room.centre),
        "object_counts": dict(scene.counts),
        "object_bboxes": boxes,
    }
    return result if scene.split is None else {**result, "split": scene.split}


def _box_record(box: OrientedBox) -> Record:
    return {
        "centroid": box.centre.tolist(),
        "axesLengths": box.size.tolist(),
        "normalizedAxes": box.axes.ravel().tolist(),
        "min": box.corners.min(0).tolist(),
        "max": box.corners.max(0).tolist(),
    }


def _frame_record(scene: Scene) -> Record | None:
    if not scene.frames:
        return None
    camera = scene.intrinsics
    result: Record = {"frames": [_one_frame(frame) for frame in scene.seen_frames]}
    if camera is not None:
        result["camera_intrinsics"] = {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}
        result["img_width"], result["img_height"] = camera.width, camera.height
    return result


def _one_frame(frame: Frame) -> Record:
    record: Record = {
        "frame_id": frame.frame_id,
        "camera_pose_camera_to_world": None if frame.pose is None else frame.pose.tolist(),
        "bboxes_2d": [{"instance_id": s.instance_id, "bbox_2d": list(s.box)} for s in frame.sightings],
    }
    files = {"file_path_color": frame.image, "file_path_depth": frame.depth, "file_path_mask": frame.mask}
    return record | {name: value for name, value in files.items() if value is not None}
