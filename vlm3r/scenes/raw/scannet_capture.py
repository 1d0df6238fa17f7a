"""One opened scan of ScanNet: a recording, aligned with its room, and the objects of its mesh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.scenes import fields
from vlm3r.scenes.datasets import FRAME_RATES
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.capture import Cloud, Findings, RawObject, Scan, View
from vlm3r.scenes.raw.registered import seen_by
from vlm3r.scenes.raw.resize import ASPECT_TOLERANCE, resized_camera
from vlm3r.scenes.raw.scannet_info import ScanInfo
from vlm3r.scenes.raw.scannet_labels import LabelRow
from vlm3r.scenes.raw.scannet_masks import MaskArchive
from vlm3r.scenes.raw.segments import Annotation, read_cloud
from vlm3r.scenes.raw.sensor_stream import SensorStream, StreamFrame
from vlm3r.scenes.schema import Array, Intrinsics

Picture = NDArray[np.uint8]

FPS = FRAME_RATES["scannet"]
"""Of a video with every frame of the stream, so that a frame's time is its number / 24."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What a capture is put together from."""

    stream: SensorStream
    info: ScanInfo
    annotation: Annotation
    masks: MaskArchive | None
    labels: dict[str, LabelRow]
    """Of the scan's own raw labels."""
    label_table: str | None
    """Name of the file that they come from."""
    problems: tuple[str, ...]
    """Noticed while the parts were opened."""


class ScanNetCapture:
    """See `vlm3r.scenes.raw.capture.Capture`; made by `vlm3r.scenes.scannet.open_scan`."""

    def __init__(self, scan: Scan, parts: Parts, *, published: bool) -> None:
        """Takes the parts, and whether pictures are said to be taken by the depth camera, as in the published export.

        Raises:
            UserError: the colour and depth pictures differ in shape.
        """
        self.scan = scan
        self.objects: tuple[RawObject, ...] = tuple(_named(thing, parts.labels) for thing in parts.annotation.objects)
        self._parts = parts
        self._stream = parts.stream
        self._published = published
        self._problems = [*parts.info.problems, *parts.problems, *parts.annotation.problems, *parts.stream.problems]
        self._gaps = np.diff([frame.number for frame in parts.stream.frames])
        self._apart = int(np.median(self._gaps)) if len(self._gaps) else 1
        self.fps = FPS / self._apart
        self._camera, self._depth_camera = self._cameras()
        self._shown = _nearest_earlier([frame.has_colour for frame in parts.stream.frames])
        self._lost: Counter[str] = Counter()
        self._poses = [self._aligned(frame) for frame in parts.stream.frames]
        self._note_frames()

    def __enter__(self) -> ScanNetCapture:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the recording and the masks."""
        self._stream.close()
        if self._parts.masks is not None:
            self._parts.masks.close()

    @cached_property
    def views(self) -> Sequence[View]:
        """Every frame of the stream, in order; with every frame of the sensor there, times are frame numbers / 24."""
        return tuple(
            View(
                frame_id=frame.number,
                timestamp=position / self.fps,
                pose=pose,
                intrinsics=self._camera,
                samplable=frame.has_colour and frame.has_depth and pose is not None,
            )
            for position, (frame, pose) in enumerate(zip(self._stream.frames, self._poses, strict=True))
        )

    @cached_property
    def cloud(self) -> Cloud | None:
        """The mesh, aligned, with the instances of its vertices; None, and a line in the findings, if unusable."""
        folder, name = self.scan.folder, self.scan.scene_id
        mesh, segments = folder / f"{name}_vh_clean_2.ply", folder / f"{name}_vh_clean_2.0.010000.segs.json"
        cloud, problems = read_cloud(folder, mesh, segments, self._parts.annotation)
        for problem in problems:
            self._note(problem)
        alignment = self._parts.info.alignment
        if cloud is None or alignment is None:
            return cloud
        return Cloud(cloud.points @ alignment[:3, :3].T + alignment[:3, 3], cloud.instances, cloud.triangles)

    @property
    def findings(self) -> Findings:
        """What was noticed so far: of the mesh once `cloud` is read, of maps once they were asked for."""
        camera = "depth camera's, scaled to the picture, as published" if self._published else "colour camera's"
        depth = "as stored, taken for the picture's" if self._published else "resampled into the colour camera"
        parts = self._parts
        provenance: dict[str, Any] = {
            "recording": self._stream.kind,
            "alignment": "none" if parts.info.alignment is None else f"axisAlignment of {self.scan.scene_id}.txt",
            "poses": "axisAlignment * stored camera-to-world",
            "lost_poses": dict(self._lost),
            "intrinsics": camera,
            "depth": depth,
            "frame_rate": {"fps": self.fps, "from": "published table", "frames_apart": self._apart},
            "masks": "none shipped" if parts.masks is None else parts.masks.source,
            "boxes": "none annotated; of the instance's vertices",
            "instance_ids": "objectId of the aggregation, from 0",
            "nyu40": {raw: row.nyu40 for raw, row in parts.labels.items()},
            "label_table": parts.label_table,
        }
        return Findings(tuple(self._problems), provenance)

    def pictures(self) -> Iterator[Picture]:
        """The views' pictures in order, `(H, W, 3)` RGB.

        Raises:
            UserError: a picture is damaged.
        """
        return (self.picture(view) for view in range(len(self._stream.frames)))

    def picture(self, view: int) -> Picture:
        """One view's picture, `(H, W, 3)` RGB; that of the nearest earlier frame where it has none.

        Raises:
            UserError: it is damaged.
        """
        return self._stream.colour(self._shown[view])

    def depth(self, view: int) -> NDArray[np.float32] | None:
        """One view's depth map `(h, w)` in metres, 0 unknown; None where it is missing or damaged."""
        if not self._stream.frames[view].has_depth:
            return None
        try:
            stored = self._stream.depth(view)
        except UserError as error:
            self._note(f"{error}; used without it")
            return None
        return stored if self._published else seen_by(stored, self._stream.depth_camera, self._depth_camera)

    def mask(self, view: int) -> NDArray[np.int64] | None:
        """One view's instance ids `(h, w)`, `NO_INSTANCE` for none; None where the mask is missing or damaged."""
        archive = self._parts.masks
        if archive is None:
            return None
        try:
            mask = archive.mask(self._stream.frames[view].number)
        except FieldError as error:
            self._note(f"{archive.path.name}: {error}; used without it")
            return None
        if mask is None:
            return None
        height, width = mask.shape
        if abs(width / height * self._camera.height / self._camera.width - 1) > ASPECT_TOLERANCE:
            self._note(
                f"{archive.path.name}: masks have {width} x {height} pixels, another shape than pictures; left out"
            )
            return None
        return mask

    def _cameras(self) -> tuple[Intrinsics, Intrinsics]:
        """The camera of the pictures, and that of the depth maps that are given, which see what the pictures see."""
        colour, depth = self._stream.colour_camera, self._stream.depth_camera
        try:
            if self._published:
                return resized_camera(self._parts.info.depth_camera or depth, colour.width, colour.height), depth
            height = max(1, round(depth.width * colour.height / colour.width))
            return colour, resized_camera(colour, depth.width, height)
        except FieldError as error:
            raise UserError(f"{self.scan.folder}: its camera {error}; export or download the scan again") from None

    def _aligned(self, frame: StreamFrame) -> Array | None:
        """The pose in the aligned world; None where it is missing, not finite, or no rigid motion."""
        if frame.pose is None:
            self._lost["missing"] += 1
        elif not np.isfinite(frame.pose).all():
            self._lost["not finite"] += 1
        else:
            alignment = self._parts.info.alignment
            try:
                return fields.pose(frame.pose if alignment is None else alignment @ fields.pose(frame.pose))
            except FieldError:
                self._lost["no rigid motion"] += 1
        return None

    def _note_frames(self) -> None:
        """Record what frames lack."""
        frames, masks = self._stream.frames, self._parts.masks
        uneven = int((self._gaps != self._apart).sum())
        if uneven:
            self._note(
                f"{uneven} of {len(frames)} frames do not follow {self._apart} after the one before; times are off"
            )
        if self._lost["missing"] or self._lost["no rigid motion"]:
            counts = f"{self._lost['missing']} missing, {self._lost['no rigid motion']} no rigid motion"
            self._note(f"poses of {len(frames)} frames: {counts}; those frames are not sampled")
        for name, count in (
            ("picture; they show the one before and are not sampled", sum(not f.has_colour for f in frames)),
            ("depth map; they are not sampled", sum(not f.has_depth for f in frames)),
            ("mask", 0 if masks is None else masks.missing([frame.number for frame in frames])),
        ):
            if count:
                self._note(f"{count} of {len(frames)} frames have no {name}")

    def _note(self, problem: str) -> None:
        """Record a problem once, with files named from the scan's folder on."""
        problem = problem.replace(f"{self.scan.folder}/", "")
        if problem not in self._problems:
            self._problems.append(problem)


def _named(thing: RawObject, labels: dict[str, LabelRow]) -> RawObject:
    """The object with what the table of labels calls it."""
    row = labels.get(thing.label)
    return thing if row is None else replace(thing, mended=row.category or None, published=row.published)


def _nearest_earlier(there: Sequence[bool]) -> list[int]:
    """For each position the last one up to it that is there, or else the first."""
    shown = np.maximum.accumulate(np.where(there, np.arange(len(there)), -1))
    return np.where(shown < 0, int(np.argmax(there)), shown).tolist()
