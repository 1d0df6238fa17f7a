"""One opened scan of ARKitScenes, with everything turned upright."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3r.errors import UserError
from vlm3r.scenes.datasets import FRAME_RATES
from vlm3r.scenes.raw.arkit_annotation import read_annotation
from vlm3r.scenes.raw.arkit_frames import StoredFrame, read_frames
from vlm3r.scenes.raw.capture import Cloud, Findings, RawObject, Scan, View
from vlm3r.scenes.raw.mesh import read_mesh
from vlm3r.scenes.raw.paths import within
from vlm3r.scenes.raw.png import read_depth, read_picture
from vlm3r.scenes.raw.recording import Match, Recording
from vlm3r.scenes.raw.resize import resized_camera
from vlm3r.scenes.raw.trajectory import SLACK
from vlm3r.scenes.raw.upright import sky_turns, turn_intrinsics, turn_picture, turn_pose, vote_upright
from vlm3r.scenes.schema import Intrinsics

Picture = NDArray[np.uint8]

PUBLISHED_FPS = FRAME_RATES["arkitscenes"]
RATE_TOLERANCE = 0.05
"""Share by which frames may come faster or slower than at the published rate and still count as coming at it."""
CLEAR_VOTE = 0.75
"""Share of the cameras that must agree on which side is up."""
COMPARED_PICTURES = 8
"""Pictures that a recording is compared with."""


class ARKitCapture:
    """See `vlm3r.scenes.raw.capture.Capture`; made by `vlm3r.scenes.arkitscenes.open_scan`."""

    def __init__(self, scan: Scan, sky_direction: str | None, interpolate: bool) -> None:
        self.scan = scan
        annotation = read_annotation(within(scan.folder, scan.folder / f"{scan.scene_id}_3dod_annotation.json"))
        stored = read_frames(scan.folder, interpolate)
        self.objects: tuple[RawObject, ...] = annotation.objects
        self._frames: Sequence[StoredFrame] = stored.frames
        self._times = [frame.colour.time - stored.frames[0].colour.time for frame in stored.frames]
        self._problems: list[str] = [*annotation.problems, *stored.problems]
        self._turns, rotation = self._orientation(sky_direction)
        self._camera = turn_intrinsics(self._frames[0].camera, self._turns)
        self._recording = self._open_recording()
        self.fps, rate_source = _frame_rate(self._times)
        uids = {str(instance_id): uid for instance_id, uid in annotation.uids.items()}
        self._provenance: dict[str, Any] = {
            "poses": {
                "from": "lowres_wide.traj, world-to-camera, inverted",
                "matched": "interpolated" if interpolate else "nearest",
                "tolerance_seconds": SLACK,
            },
            "rotation": rotation,
            "frame_rate": {"fps": self.fps, "from": rate_source},
            "boxes": "annotated, segments.obbAligned",
            "instance_ids": {"from": "order in the annotation, from 1", "uids": uids},
            "masks": "none shipped",
        }

    def __enter__(self) -> ARKitCapture:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing stays open between two pictures."""

    @cached_property
    def views(self) -> Sequence[View]:
        """Every frame in the order of time; reads every depth map once, since some hold nothing."""
        views, empty, damaged = [], 0, []
        for number, (frame, time) in enumerate(zip(self._frames, self._times, strict=True)):
            try:
                depth = self._stored_depth(number)
            except UserError as error:
                damaged.append(str(error))
                depth = None
            seen = depth is not None and bool(depth.any())
            empty += depth is not None and not seen
            views.append(
                View(
                    frame_id=frame.colour.name,
                    timestamp=time,
                    pose=None if frame.pose is None else turn_pose(frame.pose, self._turns),
                    intrinsics=self._shown(frame.camera),
                    samplable=seen and frame.pose is not None and frame.camera_known,
                )
            )
        if empty:
            self._note(f"{empty} of {len(views)} depth maps hold no depth; their frames are not sampled")
        if damaged:
            self._note(f"{len(damaged)} depth maps are unusable (the first: {damaged[0]}); not sampled")
        return tuple(views)

    @cached_property
    def cloud(self) -> Cloud | None:
        """The mesh, whose vertices carry no instances; None, and a line in the findings, where it cannot be read."""
        try:
            return read_mesh(within(self.scan.folder, self.scan.folder / f"{self.scan.scene_id}_3dod_mesh.ply"))
        except UserError as error:
            self._note(f"{error}; used without mesh")
            return None

    @property
    def findings(self) -> Findings:
        """What was noticed so far: of depth maps once `views` is read, of the recording from the first picture on."""
        return Findings(tuple(self._problems), {**self._provenance, "video": self._video_source()})

    def pictures(self) -> Iterator[Picture]:
        """The views' pictures in order, `(H, W, 3)` RGB, upright.

        Raises:
            UserError: a picture or the recording is damaged.
        """
        if self._recording is None or self._match is None:
            yield from (self._still(number) for number in range(len(self._frames)))
            return
        absent = 0
        shown = self._recording.frames_at([time + self._match.offset for time in self._times])
        for number, picture in enumerate(shown):
            absent += picture is None
            yield self._still(number) if picture is None else self._fitted(turn_picture(picture, self._match.turns))
        if absent:
            self._note(f"{self._recording.path.name}: has no frame for {absent} views; shown as enlarged stills")

    def picture(self, view: int) -> Picture:
        """One view's picture, `(H, W, 3)` RGB, upright.

        Raises:
            UserError: as `pictures`.
        """
        if self._recording is not None and self._match is not None:
            picture = self._recording.frame_at(self._times[view] + self._match.offset)
            if picture is not None:
                return self._fitted(turn_picture(picture, self._match.turns))
        return self._still(view)

    def depth(self, view: int) -> NDArray[np.float32] | None:
        """One view's depth map `(h, w)` in metres, 0 unknown; None where it is missing or damaged."""
        try:
            depth = self._stored_depth(view)
        except UserError:
            return None  # `views` has said so
        return None if depth is None else turn_picture(depth, self._turns)

    def mask(self, view: int) -> None:
        """None: the data set has no masks."""

    @cached_property
    def _match(self) -> Match | None:
        """How the recording relates to the stills; decodes it once."""
        if self._recording is None:
            return None
        chosen = np.unique(np.linspace(0, len(self._frames) - 1, COMPARED_PICTURES).astype(int)).tolist()
        stills = [turn_picture(read_picture(self._frames[n].colour.path), self._turns) for n in chosen]
        match = self._recording.match([self._times[n] for n in chosen], stills)
        if match is None:
            self._note(f"{self._recording.path.name}: does not show the scan's frames; they are enlarged instead")
        return match

    def _stored_depth(self, view: int) -> NDArray[np.float32] | None:
        path = self._frames[view].depth
        return None if path is None else read_depth(path)

    def _still(self, view: int) -> Picture:
        return self._fitted(turn_picture(read_picture(self._frames[view].colour.path), self._turns))

    def _fitted(self, picture: Picture) -> Picture:
        """The picture at the size that all pictures have."""
        camera = self._shown(self._frames[0].camera)
        if picture.shape[:2] == (camera.height, camera.width):
            return picture
        resized = Image.fromarray(picture).resize((camera.width, camera.height), Image.Resampling.BICUBIC)
        return np.asarray(resized, np.uint8)

    def _shown(self, stored: Intrinsics) -> Intrinsics:
        """The camera of a stored picture, turned and enlarged to the recording's size."""
        camera = turn_intrinsics(stored, self._turns)
        size = None if self._recording is None else self._recording.turned_size(camera.width, camera.height)
        return camera if size is None else resized_camera(camera, *size)

    def _orientation(self, sky_direction: str | None) -> tuple[int, dict[str, Any]]:
        """Quarter turns that bring the pictures upright, and how they were found."""
        poses = [frame.pose for frame in self._frames if frame.pose is not None]
        vote = vote_upright(np.array(poses, float).reshape(-1, 4, 4))
        recorded = sky_turns(sky_direction)
        found: dict[str, Any] = {"from": "poses", "agreement": round(vote.agreement, 4), "voters": vote.voters}
        turns = vote.turns
        if not vote.voters:
            turns, found["from"] = recorded or 0, "nothing" if recorded is None else "sky_direction"
            self._note(f"no pose tells which side is up; turned by {found['from']}")
        elif vote.agreement < CLEAR_VOTE:
            self._note(f"only {vote.agreement:.0%} of the cameras agree which side is up: the device was turned")
        agrees = None if recorded is None else recorded == turns
        return turns, {"quarter_turns": turns, **found, "sky_direction": sky_direction, "sky_direction_agrees": agrees}

    def _open_recording(self) -> Recording | None:
        """The recording beside the frames, if it is to be used and has the frames' shape."""
        if self.scan.route != "mov":
            return None
        path = self.scan.folder / f"{self.scan.scene_id}.mov"
        try:
            recording = Recording(within(self.scan.folder, path))
        except UserError as error:
            self._note(f"{error}; the frames are used instead")
            return None
        if recording.turned_size(self._camera.width, self._camera.height) is None:
            self._note(f"{path.name}: has another shape than the frames, which are used instead")
            return None
        return recording

    def _video_source(self) -> dict[str, Any]:
        """Whose pictures the video is made of; reports on the comparison once it was made."""
        match = self.__dict__.get("_match")
        if self._recording is None or ("_match" in self.__dict__ and match is None):
            return {"from": "lowres_wide"}
        found = {} if match is None else {"offset_seconds": round(match.offset, 4), "quarter_turns": match.turns}
        return {"from": self._recording.path.name, **found}

    def _note(self, problem: str) -> None:
        """Record a problem once, with files named from the scan's folder on."""
        problem = problem.replace(f"{self.scan.folder}/", "")
        if problem not in self._problems:
            self._problems.append(problem)


def _frame_rate(times: Sequence[float]) -> tuple[float, str]:
    """Frames per second, and where they come from: the published rate where the frames come at it."""
    if len(times) < 2:
        return PUBLISHED_FPS, "published table"
    rate = 1 / float(np.median(np.diff(times)))
    if abs(rate / PUBLISHED_FPS - 1) <= RATE_TOLERANCE:
        return PUBLISHED_FPS, "published table"
    return round(rate, 3), "time stamps"
