"""`<video id>_3dod_annotation.json`: the objects of an ARKitScenes scan with their boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm3r.errors import UserError
from vlm3r.scenes import fields
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.capture import RawObject

MAX_BYTES = 256 << 20
MAX_UID = 200
"""Characters."""


@dataclass(frozen=True)
class Annotation:
    """The usable objects of a scan."""

    objects: tuple[RawObject, ...]
    """In the file's order. Their instance ids are their places in the file, from 1, counting unusable ones."""
    uids: Mapping[int, str | None]
    """Instance id -> the file's own id of the object."""
    problems: tuple[str, ...] = ()
    """What was left out."""


def read_annotation(path: Path) -> Annotation:
    """The objects of an annotation file.

    A box's rows of `normalizedAxes` are its axes. Corners that some exports add beside them are not read: they were
    computed with the matrix not transposed, which is wrong for boxes that are turned.

    Raises:
        UserError: the file is missing, too large, no JSON, or has no list of objects.
    """
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: has more than {MAX_BYTES >> 20} MiB, too many for annotations; download it again")
    record = fields.read_object(path, "the scan's annotation")
    try:
        entries = fields.items(record.get("data"), "data")
    except FieldError as error:
        raise UserError(f"{path}: {error}; download it again") from None
    objects: list[RawObject] = []
    uids: dict[int, str | None] = {}
    problems = [f"{path.name}: is marked as skipped by its annotators"] if record.get("skipped") else []
    seen: set[str] = set()
    for position, entry in enumerate(entries):
        try:
            entry = fields.mapping(entry, "entry")
            objects.append(_object(entry, position + 1))
        except FieldError as error:
            problems.append(f"{path.name}: data[{position}]: {error}; left out")
            continue
        uid = _uid(entry.get("uid"))
        if uid in seen:
            problems.append(f"{path.name}: data[{position}]: uid {uid!r} is repeated; both objects are kept")
        uids[position + 1] = uid
        seen.update({uid} if uid else ())
    return Annotation(tuple(objects), uids, tuple(problems))


def _object(entry: Mapping[str, Any], instance_id: int) -> RawObject:
    label = fields.category(entry.get("label"), "label")
    box = fields.mapping(entry.get("segments"), "segments").get("obbAligned")
    box = fields.mapping(box, "segments.obbAligned")
    shape = (box.get("centroid"), box.get("axesLengths"), box.get("normalizedAxes"))
    return RawObject(label, instance_id, fields.oriented_box(*shape))


def _uid(value: Any) -> str | None:
    """The object's own id; one that is no short text counts as none, since nothing else refers to it."""
    return value if isinstance(value, str) and len(value) <= MAX_UID and fields.writable(value) else None
