"""One opened scan of ScanNet++: a recording with the scene's annotation, upright, and maps rendered where none ship."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.scenes.raw.capture import Cloud, Findings, RawObject, Scan, View
from vlm3r.scenes.raw.footage import Footage
from vlm3r.scenes.raw.mesh_view import MAX_EDGE, MeshView
from vlm3r.scenes.raw.scannetpp_annotation import read_cloud
from vlm3r.scenes.raw.segments import Annotation
from vlm3r.scenes.raw.upright import turn_intrinsics, turn_picture, turn_pose, vote_upright

Picture = NDArray[np.uint8]
Rendered = tuple[NDArray[np.float32], "NDArray[np.int64] | None"]

CLEAR_VOTE = 0.75
"""Share of the cameras that must agree on which side is up; otherwise pictures stay as they are."""


class ScanNetPPCapture:
    """See `vlm3r.scenes.raw.capture.Capture`; made by `vlm3r.scenes.scannetpp.open_scan`."""

    def __init__(self, scan: Scan, annotation: Annotation, footage: Footage, render: bool) -> None:
        """Takes the parts of the scan, and whether maps that do not ship are rendered from the mesh."""
        self.scan = scan
        self.fps = footage.fps
        self.objects: tuple[RawObject, ...] = annotation.objects
        self._annotation, self._footage, self._render = annotation, footage, render
        self._problems = list(annotation.problems)
        poses = np.array([view.pose for view in footage.views if view.pose is not None], float)
        vote = vote_upright(poses)
        self._turns = vote.turns if vote.agreement >= CLEAR_VOTE else 0
        self._rotation = {"quarter_turns": self._turns, "agreement": round(vote.agreement, 4), "voters": vote.voters}
        self._last: tuple[int, Rendered] | None = None

    def __enter__(self) -> ScanNetPPCapture:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the recording's files."""
        self._footage.close()

    @cached_property
    def views(self) -> Sequence[View]:
        """Every frame of the video, in order.

        A frame whose depth map is missing is samplable if none of the recording has one, or if it can be rendered.
        """
        stored = self._footage.views
        some, all_ = any(view.has_depth for view in stored), all(view.has_depth for view in stored)
        filled = not some or (not all_ and self._mesh is not None)
        return tuple(
            View(
                frame_id=view.frame_id,
                timestamp=number / self.fps,
                pose=None if view.pose is None else turn_pose(view.pose, self._turns),
                intrinsics=turn_intrinsics(view.camera, self._turns),
                samplable=view.pose is not None and view.camera_known and (view.has_depth or filled),
            )
            for number, view in enumerate(stored)
        )

    @cached_property
    def cloud(self) -> Cloud | None:
        """The mesh with the instances of its vertices; None, and a line in the findings, where it cannot be used."""
        cloud, problems = read_cloud(self.scan.folder, self._annotation)
        self._problems.extend(problems)
        return cloud

    @property
    def findings(self) -> Findings:
        """What was noticed so far."""
        provenance: dict[str, Any] = {
            **self._footage.provenance,
            "rotation": self._rotation,
            "boxes": "annotated, obb",
            "instance_ids": "objectId of scans/segments_anno.json",
        }
        if self._render:
            filled = f"where none ships, rendered from the mesh (longer edge {MAX_EDGE} pixels)"
            provenance["rendered"] = {"depth": filled, "masks": filled}
        return Findings((*self._problems, *self._footage.problems), provenance)

    def pictures(self) -> Iterator[Picture]:
        """The views' pictures in order, `(H, W, 3)` RGB, upright.

        Raises:
            UserError: a picture or the video is damaged.
        """
        return (turn_picture(picture, self._turns) for picture in self._footage.pictures())

    def picture(self, view: int) -> Picture:
        """One view's picture, `(H, W, 3)` RGB, upright.

        Raises:
            UserError: as `pictures`.
        """
        return turn_picture(self._footage.picture(view), self._turns)

    def depth(self, view: int) -> NDArray[np.float32] | None:
        """One view's depth map `(h, w)` in metres, 0 unknown: what ships, or else rendered, or else None."""
        depth = self._footage.depth(view)
        if depth is None and (rendered := self._rendered(view)) is not None:
            depth = rendered[0]
        return None if depth is None else turn_picture(depth, self._turns)

    def mask(self, view: int) -> NDArray[np.int64] | None:
        """One view's instance ids `(h, w)`, `NO_INSTANCE` for none: what ships, or else rendered, or else None."""
        mask = self._footage.mask(view)
        if mask is None and (rendered := self._rendered(view)) is not None:
            mask = rendered[1]
        return None if mask is None else turn_picture(mask, self._turns)

    def _rendered(self, view: int) -> Rendered | None:
        """Depth and instances of the mesh as stored; the last view's are kept, since both are asked for."""
        stored = self._footage.views[view]
        if stored.pose is None or not stored.camera_known or self._mesh is None:
            return None
        if self._last is None or self._last[0] != view:
            self._last = (view, self._mesh.render(stored.pose, stored.camera))
        return self._last[1]

    @cached_property
    def _mesh(self) -> MeshView | None:
        if not self._render or self.cloud is None or self.cloud.triangles is None:
            return None
        try:
            return MeshView(self.cloud)
        except UserError as error:
            self._problems.append(f"{error}; depth maps and masks that do not ship are not rendered")
            return None
