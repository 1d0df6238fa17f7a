"""The frames of a scene: poses of all of them; depth maps, instance masks and 2-D boxes of some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.scenes.raw.capture import NO_INSTANCE, Capture
from vlm3r.scenes.raw.inventory import Inventory
from vlm3r.scenes.raw.visibility import (
    Ids,
    Labeller,
    inside_boxes,
    nearest_vertex,
    projected_mask,
    resized,
    sightings,
)
from vlm3r.scenes.schema import Frame, Intrinsics, Sighting
from vlm3r.scenes.synthetic.pictures import write_depth, write_instances

MAX_VALUE = 2**16 - 1
"""Of a pixel in an instance mask."""


class Annotator:
    """Writes maps of frames and notes what they show.

    Args:
        capture: the opened scan.
        inventory: its objects; masks and 2-D boxes tell of these alone.
        cameras: of each view's picture as it is written.
        folder: that receives `depth` and `instances`.
    """

    def __init__(self, capture: Capture, inventory: Inventory, cameras: Sequence[Intrinsics], folder: Path) -> None:
        self._capture, self._cameras, self._folder = capture, cameras, folder
        self._objects = {o.instance_id: o.box for o in inventory.objects if o.instance_id is not None}
        self._ids = np.array(sorted(self._objects), np.int64)
        self._offset = inventory.mask_offset
        self._made: Counter[str] = Counter()
        self.problems: list[str] = []
        """What could not be found out, one line each."""
        if len(self._ids) and not -self._offset < self._ids[0] <= self._ids[-1] <= MAX_VALUE - self._offset:
            raise UserError(f"{capture.scan.folder}: instance ids go up to {self._ids[-1]}; masks hold {MAX_VALUE}")

    @property
    def provenance(self) -> dict[str, Any]:
        """How masks came about, in frames; whether a reader's masks ship or are rendered is in its own provenance."""
        return {"masks": dict(self._made)}

    def frames(self, annotated: Iterable[int]) -> tuple[Frame, ...]:
        """All frames of the video; those at the given positions with maps and 2-D boxes."""
        wanted = set(annotated)
        for name in ("depth", "instances"):
            (self._folder / name).mkdir()
        frames = tuple(self._frame(position, position in wanted) for position in range(len(self._capture.views)))
        if wanted and not self._made.total() - self._made["none"]:
            self.problems.append("no frame has masks or depth to make them from: what frames show is unknown")
        return frames

    def _frame(self, position: int, annotated: bool) -> Frame:
        view = self._capture.views[position]
        depth_name = mask_name = None
        seen: tuple[Sighting, ...] = ()
        if annotated and view.samplable:
            depth = self._depth(position)
            mask = self._mask(position, depth)
            if depth is not None:
                depth_name = f"depth/{position:06d}.png"
                write_depth(self._folder / depth_name, depth)
            if mask is not None:
                mask_name = f"instances/{position:06d}.png"
                write_instances(self._folder / mask_name, np.where(mask == NO_INSTANCE, 0, mask + self._offset))
                seen = sightings(mask, depth)
        return Frame(
            frame_id=view.frame_id,
            pose=view.pose,
            timestamp=view.timestamp,
            depth=depth_name,
            mask=mask_name,
            sightings=seen,
            video_index=None if view.frame_id == position else position,
        )

    def _depth(self, position: int) -> NDArray[np.float32] | None:
        """A view's depth map at the size of its picture."""
        depth = self._capture.depth(position)
        camera = self._cameras[position]
        return None if depth is None else np.asarray(resized(depth, camera.width, camera.height), np.float32)

    def _mask(self, position: int, depth: NDArray[np.float32] | None) -> Ids | None:
        """A view's instance ids at the size of its picture; None where nothing tells."""
        camera, pose = self._cameras[position], self._capture.views[position].pose
        shipped = self._capture.mask(position)
        if shipped is not None:
            self._made["as the reader gives them"] += 1
            mask = np.asarray(resized(shipped, camera.width, camera.height), np.int64)
        elif depth is not None and pose is not None and self._labeller is not None:
            source, label = self._labeller
            self._made[source] += 1
            mask = projected_mask(label, depth, pose, camera)
        else:
            self._made["none"] += 1
            return None
        return np.where(np.isin(mask, self._ids), mask, NO_INSTANCE)

    @cached_property
    def _labeller(self) -> tuple[str, Labeller] | None:
        """What names pixels where no mask ships, and its name; None where the scan has no objects."""
        cloud = self._capture.cloud
        if cloud is not None and cloud.instances is not None:
            return "depth in the nearest vertex's instance", nearest_vertex(cloud)
        if not self._objects:
            return None
        return "depth inside the annotated boxes", inside_boxes(list(self._objects.items()))
