"""Annotations by segments of a mesh: `segGroups` of a JSON file, each an object with the segments that belong to it.

ScanNet and ScanNet++ both have them. Each vertex of the mesh is in one segment, by `segIndices` of a second file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.scenes import fields
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.capture import NO_INSTANCE, Cloud, RawObject
from vlm3r.scenes.raw.mesh import read_mesh
from vlm3r.scenes.raw.paths import within
from vlm3r.scenes.schema import OrientedBox

MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class Annotation:
    """The usable objects of a scan."""

    objects: tuple[RawObject, ...]
    """In the file's order, with the file's own ids."""
    segments: Mapping[int, NDArray[np.int64]]
    """Instance id -> numbers of the mesh's segments that belong to it."""
    problems: tuple[str, ...] = ()
    """What was left out."""


def read_annotation(path: Path, *, boxes: bool) -> Annotation:
    """The objects of a file with `segGroups`.

    An object's id is its `objectId`, which masks and the official tools use, or its `id` where it has no other.

    Args:
        path: the file.
        boxes: whether objects have a box `obb`. One that cannot be used is left to be computed from the vertices.

    Raises:
        UserError: the file is missing, too large, no JSON, or has no list of objects.
    """
    record = _read(path, "the scan's annotation")
    try:
        entries = fields.items(record.get("segGroups"), "segGroups")
    except FieldError as error:
        raise UserError(f"{path}: {error}; download it again") from None
    objects: dict[int, RawObject] = {}
    segments: dict[int, NDArray[np.int64]] = {}
    problems: list[str] = []
    for position, entry in enumerate(entries):
        try:
            found, own, problem = _object(entry, boxes)
            if found.instance_id in objects:
                raise FieldError(f"id {found.instance_id} is repeated")
        except FieldError as error:
            problems.append(f"{path.name}: segGroups[{position}]: {error}; left out")
            continue
        if problem:
            problems.append(f"{path.name}: segGroups[{position}]: {problem}; left to be computed from the mesh")
        objects[found.instance_id] = found
        segments[found.instance_id] = own
    return Annotation(tuple(objects.values()), segments, tuple(problems))


def read_cloud(scan: Path, mesh: Path, indices: Path, annotation: Annotation) -> tuple[Cloud | None, tuple[str, ...]]:
    """A mesh with the instance of each vertex, and what was wrong with it.

    None where there is no usable mesh; no instances where the segments of its vertices cannot be used. A vertex that
    several objects claim belongs to the one with the fewest segments: the cushion, not the sofa.

    Args:
        scan: the scan's folder, which no link may lead out of.
        mesh: the PLY file.
        indices: the file with `segIndices`.
        annotation: whose segments are looked up.
    """
    try:
        cloud = read_mesh(within(scan, mesh))
    except UserError as error:
        return None, (f"{error}; used without mesh",)
    try:
        of_vertices = _integers(_read(within(scan, indices), "the mesh's segments").get("segIndices"), "segIndices")
        if len(of_vertices) != len(cloud.points):
            raise FieldError(f"segIndices has {len(of_vertices)} numbers, the mesh {len(cloud.points)} vertices")
    except UserError as error:
        return cloud, (f"{error}; used without instances of vertices",)
    except FieldError as error:
        return cloud, (f"{indices}: {error}; used without instances of vertices",)
    instances, unknown = vertex_instances(of_vertices, annotation.segments)
    problems = []
    if unknown:
        problems.append(f"{indices.name}: lacks {unknown} segments that the annotation names; passed over")
    bare = sorted(set(annotation.segments) - set(np.unique(instances).tolist()))
    without_box = {thing.instance_id for thing in annotation.objects if thing.box is None} & set(bare)
    if without_box:
        listed = ", ".join(str(instance_id) for instance_id in sorted(without_box)[:5])
        problems.append(f"{len(without_box)} objects have neither box nor vertices (ids {listed}); no box can be had")
    return Cloud(cloud.points, instances, cloud.triangles), tuple(problems)


def vertex_instances(
    indices: NDArray[np.int64], segments: Mapping[int, NDArray[np.int64]]
) -> tuple[NDArray[np.int64], int]:
    """The instance of each vertex `(N,)`, and how many of the objects' segments have no vertex.

    Args:
        indices: (N,) segment of each vertex.
        segments: instance id -> its segments; of several that claim a segment, the one with the fewest gets it.
    """
    known, places = np.unique(indices, return_inverse=True)
    owners = np.full(len(known), NO_INSTANCE, np.int64)
    unknown = 0
    for instance_id, own in sorted(segments.items(), key=lambda item: (-len(item[1]), item[0])):
        there = np.isin(own, known)
        owners[np.searchsorted(known, own[there])] = instance_id
        unknown += int((~there).sum())
    return owners[places], unknown


def _object(entry: Any, boxes: bool) -> tuple[RawObject, NDArray[np.int64], str | None]:
    """An object, its segments, and why its box cannot be used."""
    entry = fields.mapping(entry, "entry")
    label = fields.category(entry.get("label"), "label")
    key = "objectId" if entry.get("objectId") is not None else "id"
    instance_id = fields.integer(entry.get(key), key)
    if instance_id < 0:
        raise FieldError(f"{key} is negative")
    own = _integers(entry.get("segments", []), "segments")
    box = _box(entry) if boxes else None
    if not len(own) and not isinstance(box, OrientedBox):
        raise FieldError(box or "has no segments")
    if isinstance(box, str):
        return RawObject(label, instance_id, None), own, box
    return RawObject(label, instance_id, box), own, None


def _box(entry: Mapping[str, Any]) -> OrientedBox | str:
    """The annotated box, or why there is none."""
    try:
        box = fields.mapping(entry.get("obb"), "obb")
        return fields.oriented_box(box.get("centroid"), box.get("axesLengths"), box.get("normalizedAxes"))
    except FieldError as error:
        return str(error)


def _integers(value: Any, name: str) -> NDArray[np.int64]:
    listed: Sequence[Any] = fields.items(value, name)
    if not all(type(number) is int and abs(number) <= fields.MAX_INTEGER for number in listed):
        raise FieldError(f"{name} holds something that is no whole number")
    return np.array(listed, np.int64)


def _read(path: Path, what: str) -> dict[str, Any]:
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: has more than {MAX_BYTES >> 20} MiB, too many for {what}; download it again")
    return fields.read_object(path, what)
