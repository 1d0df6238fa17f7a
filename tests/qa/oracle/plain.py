"""Scene files read as plain JSON and PNG: nothing of the project's own readers, so that nothing can be wrong twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image
from shapely.geometry.base import BaseGeometry

Array = NDArray[np.float64]
PixelBox = tuple[int, int, int, int]

FRAMES_PER_SECOND = {"scannet": 24, "scannetpp": 30, "arkitscenes": 10}


@dataclass(frozen=True, eq=False)
class Solid:
    """One object: its category and its box; rows of `axes` are the box's axes in the world."""

    key: int
    """Instance id, or the place in the list where the scene has no ids."""
    category: str
    centre: Array
    size: Array
    axes: Array

    def at(self, unit: Array) -> Array:
        """World points (n, 3) of box coordinates (n, 3) in -1..1."""
        return self.centre + (unit * self.size / 2) @ self.axes

    def coordinates(self, points: Array) -> Array:
        """Metres along the box's axes from its middle, (n, 3)."""
        return (points - self.centre) @ self._inverse

    @cached_property
    def _inverse(self) -> Array:
        return np.linalg.inv(self.axes).astype(np.float64)


@dataclass(frozen=True, eq=False)
class View:
    """One frame of the video as the file gives it."""

    frame_id: int | str
    time: float | None
    pose: Array | None
    boxes: dict[int, PixelBox]
    pixels: dict[int, int | None]
    mask: Path | None = None
    depth: Path | None = None


@dataclass(frozen=True, eq=False)
class PlainScene:
    """A scene of a JSON file."""

    scene_id: str
    dataset: str
    solids: tuple[Solid, ...]
    counts: dict[str, int]
    views: tuple[View, ...]
    sampled: tuple[int, ...]
    outlines: tuple[tuple[str, tuple[tuple[float, float], ...]], ...]
    """What each is (`doorway` or a room's use) and its corners."""
    area: float | None
    camera: dict[str, float] | None
    least_share: float
    """Share of the picture's pixels from which on an object counts as having appeared."""
    memory: dict[Any, float] = field(default_factory=dict)
    """Distances that were worked out already."""
    pixels_of: dict[Path | None, dict[int, int]] = field(default_factory=dict)
    """Pixels per object in masks that were read already."""

    @cached_property
    def by_key(self) -> dict[int, Solid]:
        """The objects by their instance id."""
        return {s.key: s for s in self.solids}

    def of(self, category: str) -> list[Solid]:
        """All objects of a category."""
        return [s for s in self.solids if s.category == category]

    @property
    def rooms(self) -> BaseGeometry | None:
        """The plan of all rooms, doorways left out; None where the file has none."""
        polygons = [shapely.Polygon(corners) for use, corners in self.outlines if use != "doorway"]
        return shapely.union_all(polygons) if polygons else None

    def is_single(self, category: str) -> bool:
        """Whether exactly one object of the category exists, by the count and by the boxes."""
        return len(self.of(category)) == 1 and self.counts.get(category) == 1

    @property
    def numbers(self) -> range:
        """The 1-based numbers of the frames that a model sees."""
        return range(1, len(self.sampled) + 1)

    def seen(self, number: int) -> View:
        """The frame with a 1-based number among those that a model sees."""
        return self.views[self.sampled[number - 1]]

    @property
    def least_pixels(self) -> float:
        """Pixels from which on an object counts as having appeared; 1 where the picture's size is unknown."""
        return max(1.0, self.least_share * self.camera["width"] * self.camera["height"]) if self.camera else 1.0

    @property
    def has_sightings(self) -> bool:
        """Whether anything is known of what the frames show."""
        return any(v.mask or v.boxes for v in self.views)

    def visible(self, view: View) -> dict[int, int]:
        """Pixels per known object in a frame, from the instance mask where there is one, else as listed."""
        if view.mask in self.pixels_of:
            return self.pixels_of[view.mask]
        if view.mask is not None:
            ids, counts = np.unique(read_picture(view.mask), return_counts=True)
            found = {int(i): int(n) for i, n in zip(ids, counts, strict=True)}
        else:
            found = {i: n or 1 for i, n in view.pixels.items()}
        known = {i: n for i, n in found.items() if i in self.by_key}
        if view.mask is not None:
            self.pixels_of[view.mask] = known
        return known

    def seconds(self, view: View) -> float | None:
        """Time of a frame, from its time stamp or else its number and the data set's usual frame rate."""
        if view.time is not None:
            return view.time
        rate = FRAMES_PER_SECOND.get(self.dataset)
        return None if rate is None or isinstance(view.frame_id, str) else view.frame_id / rate


@lru_cache(maxsize=256)
def read_picture(path: Path) -> NDArray[np.int64]:
    """A 16-bit picture as integers, (height, width)."""
    with Image.open(path) as picture:
        return np.asarray(picture).astype(np.int64)


def read_plain(path: Path, least_share: float = 0.001) -> PlainScene:
    """The scene in a `scene.json`."""
    record = json.loads(path.read_text(encoding="utf-8"))
    solids = tuple(
        Solid(
            i if o["instance_id"] is None else o["instance_id"],
            o["category"],
            *(np.array(o[name], float) for name in ("centre", "size", "axes")),
        )
        for i, o in enumerate(record["objects"])
    )
    views = tuple(_view(path.parent, f) for f in record["frames"])
    sampled = range(len(views)) if record["sampled"] is None else record["sampled"]
    return PlainScene(
        scene_id=record["scene_id"],
        dataset=record["dataset"],
        solids=solids,
        counts=record["counts"],
        views=views,
        sampled=tuple(sampled),
        outlines=tuple((o["use"], tuple((x, y) for x, y in o["polygon"])) for o in record["room"].get("outlines", [])),
        area=record["room"].get("area"),
        camera=record["intrinsics"],
        least_share=least_share,
    )


def _view(folder: Path, record: dict[str, Any]) -> View:
    pose = None if record["pose"] is None else np.array(record["pose"], float)
    if pose is not None and not np.isfinite(pose).all():
        pose = None
    mask, depth = (folder / record[k] if record.get(k) else None for k in ("mask", "depth"))
    return View(
        frame_id=record["frame_id"],
        time=record["timestamp"],
        pose=pose,
        boxes={s["instance_id"]: tuple(s["box"]) for s in record["sightings"]},
        pixels={s["instance_id"]: s.get("pixels") for s in record["sightings"]},
        mask=mask,
        depth=depth,
    )


def read_scenes(folder: Path, least_share: float = 0.001) -> Iterator[PlainScene]:
    """Every scene below a folder, one at a time."""
    for path in sorted(folder.rglob("scene.json")):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield read_plain(path, least_share)
