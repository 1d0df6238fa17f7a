"""Which room or flat a scene shows: scans of one place must not be split between training and evaluation."""

from __future__ import annotations

import re

from vlm3r.scenes.schema import Scene

SCANNET_SCAN = re.compile(r"(scene\d{4})_\d{2}")
PLACE = "place"
"""Key of a scene's provenance under which its maker names the place."""
CUT_FROM = "cut_from"
"""Key under which a clip names the scene that it was cut from."""


def room_of(scene_id: str) -> str:
    """The room that a scene shows: repeated scans of one ScanNet room (`scene0000_00`, `scene0000_01`) share theirs."""
    scan = SCANNET_SCAN.fullmatch(scene_id)
    return scan[1] if scan else scene_id


def place_of(scene: Scene) -> str:
    """The place that a scene shows, as its maker recorded it, else by its name; a clip's is that of its scene."""
    recorded = scene.provenance.get(PLACE)
    if isinstance(recorded, str) and recorded:
        return recorded
    origin = scene.provenance.get(CUT_FROM)
    return room_of(origin if isinstance(origin, str) else scene.scene_id)
