"""What stands in a scanned room: named objects with boxes, and the room's area."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from vlm3r.scenes.raw.capture import Capture, Cloud, RawObject
from vlm3r.scenes.raw.labels import LabelTable, label_table
from vlm3r.scenes.raw.minimal_box import minimal_box
from vlm3r.scenes.raw.outline import room_outline
from vlm3r.scenes.schema import OrientedBox, Room, RoomOutline, SceneObject

HULL_POINTS = 50_000
"""Points of the scan that its whole extent is taken from."""
OUTLINE_TOLERANCE = 0.05
"""Metres by which the outline that is kept may leave the one that was measured."""


@dataclass(frozen=True, eq=False)
class Inventory:
    """Objects and room of one scan."""

    objects: tuple[SceneObject, ...]
    """Those with a category and a box."""
    counts: Mapping[str, int]
    """Instances per category, also of those without a box."""
    room: Room
    mask_offset: int
    """See `Scene.mask_offset`."""
    provenance: Mapping[str, Any]
    problems: tuple[str, ...]


def take_inventory(capture: Capture, labels: str, seed: int) -> Inventory:
    """The objects of a scan under a table's names, and the room's area.

    Args:
        capture: an opened scan.
        labels: name of the table of synonyms and dropped labels.
        seed: decides which points the area is taken from.
    """
    cloud = capture.cloud
    table = label_table(labels, capture.scan.dataset)
    named = [(_category(thing, table, labels, capture.scan.scene_id), thing) for thing in capture.objects]
    kept = [(category, thing) for category, thing in named if category is not None]
    dropped = Counter(thing.label for category, thing in named if category is None)
    boxed = [(category, thing, _box(thing, cloud)) for category, thing in kept]
    objects = tuple(SceneObject(category, box, thing.instance_id) for category, thing, box in boxed if box is not None)
    room, area, problems = _room(cloud, seed)
    without = [f"{category} {thing.instance_id}" for category, thing, box in boxed if box is None]
    if without:
        problems += (f"{len(without)} objects have no box, being flat or without vertices: {', '.join(without[:5])}",)
    lowest = min((thing.instance_id for thing in objects if thing.instance_id is not None), default=1)
    computed = sum(thing.box is None and box is not None for _, thing, box in boxed)
    return Inventory(
        objects=objects,
        counts=dict(Counter(category for category, _ in kept)),
        room=room,
        mask_offset=max(0, 1 - lowest),
        provenance={
            "labels": {"table": labels, "dropped": dict(dropped)},
            "boxes": {"annotated": len(objects) - computed, "smallest around vertices": computed},
            "area": area,
        },
        problems=problems,
    )


def _category(thing: RawObject, table: LabelTable, labels: str, scene_id: str) -> str | None:
    """The object's name: the published pipeline and its benchmark see another label of ScanNet's than we do."""
    label = thing.mended if labels == "ours" else thing.published
    return table.category(label or thing.label, scene_id)


def _box(thing: RawObject, cloud: Cloud | None) -> OrientedBox | None:
    if thing.box is not None or cloud is None or cloud.instances is None:
        return thing.box
    return minimal_box(cloud.points[cloud.instances == thing.instance_id])


def _room(cloud: Cloud | None, seed: int) -> tuple[Room, dict[str, Any], tuple[str, ...]]:
    """The room, how its area was found, and why it was not."""
    if cloud is None or not len(cloud.points):
        return Room(), {"from": "nothing"}, ("the scan has no usable mesh: the room's area is unknown",)
    outline = room_outline(cloud.points, seed)
    rng = np.random.default_rng(seed)
    few = (
        cloud.points[rng.integers(len(cloud.points), size=HULL_POINTS)]
        if len(cloud.points) > HULL_POINTS
        else cloud.points
    )
    whole = minimal_box(few)
    centre = None if whole is None else tuple(whole.centre.tolist())
    if outline is None:
        return Room(centre=centre), {"from": "nothing"}, ("the mesh has no outline: the room's area is unknown",)
    rings = shapely.get_exterior_ring(shapely.get_parts(outline.shape.simplify(OUTLINE_TOLERANCE)))
    corners = [shapely.get_coordinates(ring)[:-1].tolist() for ring in rings]
    polygons = tuple(RoomOutline("", tuple((x, y) for x, y in ring)) for ring in corners if len(ring) > 2)
    how = {"from": "outline of the mesh's points from above", "seed": seed, "points": outline.points}
    return Room(area=outline.area, centre=centre, outlines=polygons), how, ()
