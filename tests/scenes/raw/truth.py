"""What a scene prepared from a raw layout of the test room must come to."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import shapely

from tests.scenes.raw import arkitscenes_files, scannet_files, scannetpp_files
from tests.scenes.raw.room import TestRoom
from vlm3r.qa.proposals import ProposeSettings, propose, question_types
from vlm3r.qa.sources import find_sources
from vlm3r.scenes.raw.capture import Dataset
from vlm3r.scenes.raw.labels import label_table
from vlm3r.scenes.raw.minimal_box import minimal_box
from vlm3r.scenes.schema import Frame, Scene, Sighting
from vlm3r.scenes.storage import SCENE_FILE, write_scene

DATASETS: tuple[Dataset, ...] = ("scannet", "scannetpp", "arkitscenes")
RATES = {"scannet": 24.0, "scannetpp": 3.0, "arkitscenes": 10.0}
"""Frames per second of the written videos."""


def write_raw(raw: Path, dataset: Dataset, room: TestRoom) -> Path:
    """The room as a download of a data set; the scan's folder."""
    if dataset == "scannet":
        folder = scannet_files.write_scan(raw, room)
        names = sorted({thing.category for thing in room.scene.objects})
        rows = [(str(number), name, name, "otherprop") for number, name in enumerate(names)]
        scannet_files.write_labels(raw / "scannetv2-labels.combined.tsv", rows)
        return folder
    if dataset == "arkitscenes":
        return arkitscenes_files.write_scan(raw / "3dod" / "Training", room, held=1)
    folder = raw / "data" / scannetpp_files.SCENE_ID
    scannetpp_files.write_scans(folder, room)
    scannetpp_files.write_dslr(folder, room)
    scannetpp_files.write_rendered(folder, room)
    return folder


def floor_area(room: TestRoom) -> float:
    """Square metres that the room's triangles cover, seen from above: with walls' reveals, unlike the room's own."""
    corners = room.points[room.triangles][:, :, :2]
    return shapely.union_all(shapely.polygons(corners), grid_size=1e-4).area


def instance_id(dataset: Dataset, instance: int) -> int:
    """The data set's id of the room's instance."""
    if dataset == "scannet":
        return instance - 1
    return scannetpp_files.object_id(instance) if dataset == "scannetpp" else instance


def true_scene(dataset: Dataset, room: TestRoom, scene_id: str, labels: str = "ours") -> Scene:
    """The room as the data set's annotation knows it: its ids, its times, and, in ScanNet, boxes around vertices."""
    table = label_table(labels, dataset)
    objects = []
    for thing in room.scene.objects:
        category = table.category(thing.category, scene_id)
        box = thing.box
        if dataset == "scannet":
            box = minimal_box(room.points[room.point_instances == thing.instance_id])
        if category is not None and box is not None:
            own = instance_id(dataset, thing.instance_id or 0)
            objects.append(replace(thing, category=category, box=box, instance_id=own))
    known = {o.instance_id for o in objects}

    def renamed(sighting: Sighting) -> Sighting:
        return replace(sighting, instance_id=instance_id(dataset, sighting.instance_id))

    def read(number: int, frame: Frame) -> Frame:
        time = number / RATES[dataset]
        if dataset == "scannet" and number == scannet_files.LOST:
            return replace(frame, pose=None, timestamp=time, sightings=())
        seen = tuple(s for s in map(renamed, frame.sightings) if s.instance_id in known)
        return replace(frame, timestamp=time, sightings=seen)

    frames = tuple(read(number, frame) for number, frame in enumerate(room.scene.frames))
    return replace(
        room.scene,
        scene_id=scene_id,
        dataset=dataset,
        objects=tuple(objects),
        counts=dict(Counter(o.category for o in objects)),
        frames=frames,
    )


def answers(scene: Scene, folder: Path) -> dict[Any, Any]:
    """Question -> answer, of every question of every task that can be asked about a scene."""
    folder.mkdir(parents=True, exist_ok=True)
    write_scene(scene, folder / SCENE_FILE)
    (source,) = find_sources([folder])
    record = propose(ProposeSettings(dict.fromkeys(question_types([]), 100_000)), source)
    return {
        (q["question_type"], tuple(sorted(q["slots"].items())), frozenset(q["options"])): q["answer"]
        for q in record["questions"]
    }
