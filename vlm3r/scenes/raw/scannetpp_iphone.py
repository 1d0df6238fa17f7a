"""The iPhone video of a ScanNet++ scene: every second frame with its pose, camera and LiDAR depth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.processing.video import decode_indices, iterate_frames, probe
from vlm3r.scenes import fields
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.camera_record import camera_of
from vlm3r.scenes.raw.colmap import PosedImage, read_model
from vlm3r.scenes.raw.depth_stream import HEIGHT, WIDTH, DepthStream, open_depth
from vlm3r.scenes.raw.footage import StoredView
from vlm3r.scenes.raw.lens import Undistortion
from vlm3r.scenes.raw.paths import within
from vlm3r.scenes.raw.resize import resized_camera
from vlm3r.scenes.schema import Array, Intrinsics

VIDEOS = ("rgb.mkv", "rgb.mp4", "rgb.mov")
POSES = "pose_intrinsic_imu.json"
SIZE = (1920, 1440)
"""Width and height of the pictures that the intrinsics are for; depth maps of 256x192 show the same."""
FPS = 30.0
"""Frames a second that are taken of a recording, as VSI-Bench does; recordings have sixty."""

PoseSource = Literal["arkit", "colmap"]


class IPhoneFootage:
    """The frames of the recording.

    Raises:
        UserError: the video or the poses are missing or unusable.
    """

    def __init__(self, scan: Path, poses: PoseSource = "arkit") -> None:
        self._scan, self._folder = scan, scan / "iphone"
        self._notes: list[str] = []
        video = next((self._folder / name for name in VIDEOS if (self._folder / name).is_file()), None)
        self._video = within(scan, video or self._folder / VIDEOS[0])
        info = probe(self._video)
        self._notes.extend(f"{self._video.name}: {note}" for note in info.notes)
        self._step = max(1, round(info.fps / FPS))
        self.fps = info.fps / self._step
        self._frames = info.total_frames
        self._numbers = range(0, self._frames, self._step)
        size = (info.width, info.height)
        cameras = self._by_colmap(size) if poses == "colmap" else self._by_arkit(size)
        self._undistortion, placed, origin = cameras
        self._depth = self._opened_depth(size)
        self.views: Sequence[StoredView] = self._placed(placed)
        self.provenance: Mapping[str, Any] = {
            "pictures": {
                "from": f"iphone/{self._video.name}",
                "every": self._step,
                "undistorted": "not needed" if self._undistortion is None else "here",
            },
            "poses": origin,
            "depth": "none shipped" if self._depth is None else f"iphone/depth.bin, {self._depth.layout}",
            "masks": "none shipped",
            "frame_rate": {"fps": self.fps, "from": f"the video's {info.fps:g}"},
        }

    @property
    def problems(self) -> Sequence[str]:
        """What was left out so far."""
        return tuple(self._notes)

    def pictures(self) -> Iterator[NDArray[np.uint8]]:
        """The views' pictures `(H, W, 3)` in order.

        Raises:
            UserError: the video is damaged, or fewer frames decode than its packets promise.
        """
        shown = 0
        for frame in iterate_frames(self._video, every=self._step):
            if shown == len(self.views):
                return
            shown += 1
            yield self._straight(frame.image)
        if shown < len(self.views):
            raise UserError(f"{self._video}: only {shown} of {len(self.views)} frames decode; download it again")

    def picture(self, view: int) -> NDArray[np.uint8]:
        """One view's picture."""
        return self._straight(decode_indices(self._video, [self._numbers[view]]).frames[0])

    def depth(self, view: int) -> NDArray[np.float32] | None:
        """One view's LiDAR depth map (192, 256) in metres; None where there is none or it is damaged."""
        if self._depth is None or not self.views[view].has_depth:
            return None
        try:
            depth = self._depth.frame(self._numbers[view])
        except UserError as error:
            self._note(f"{error}; used without depth")
            return None
        return depth if self._undistortion is None else self._undistortion.values(depth, 0)

    def mask(self, view: int) -> None:
        """None: no masks ship with the video."""

    def close(self) -> None:
        """Close the depth maps' file."""
        if self._depth is not None:
            self._depth.close()

    def _straight(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return picture if self._undistortion is None else self._undistortion.picture(picture)

    def _opened_depth(self, size: tuple[int, int]) -> DepthStream | None:
        try:
            resized_camera(Intrinsics(*size, 1, 1, 0, 0), WIDTH, HEIGHT)  # refuses pictures of another shape
            stream = open_depth(within(self._scan, self._folder / "depth.bin"))
        except (UserError, FieldError) as error:
            self._note(f"{error}; used without depth")
            return None
        if stream.problem:
            self._note(stream.problem)
        return stream

    def _by_arkit(self, size: tuple[int, int]) -> tuple[None, Mapping[int, _Place], str]:
        """Cameras of the phone's own tracking, by the number of the frame in the video."""
        path = within(self._scan, self._folder / POSES)
        record = fields.read_object(path, "the iPhone's poses")
        places: dict[int, _Place] = {}
        broken: list[str] = []
        for number in self._numbers:
            name = frame_name(number)
            try:
                entry = fields.mapping(record.get(name), "entry")
                camera = resized_camera(camera_of(entry.get("intrinsic"), SIZE), *size)
            except FieldError as error:
                broken.append(f"{name}: {error}")
                continue
            try:
                pose = fields.pose(entry.get("aligned_pose"))
            except FieldError as error:
                broken.append(f"{name}: aligned {error}")
                pose = None
            places[number] = (pose, camera)
        if broken:
            what = f"{len(broken)} of {len(self._numbers)} frames have no usable pose or camera"
            self._note(f"{path.name}: {what} (the first: {broken[0]})")
        if not places:
            raise UserError(f"{path}: has a camera for none of the video's frames; download it again")
        if len(record) != self._frames:
            self._note(f"{path.name}: has {len(record)} frames, the video {self._frames}; they are matched by number")
        return None, places, f"iphone/{POSES}, aligned_pose, camera-to-world"

    def _by_colmap(self, size: tuple[int, int]) -> tuple[Undistortion | None, Mapping[int, _Place], str]:
        """Cameras of the COLMAP model, which has some of the frames and one lens for all of them."""
        model = read_model(self._scan, self._folder / "colmap")
        self._notes.extend(model.problems)
        lens = Counter(image.lens for image in model.images.values()).most_common(1)[0][0]
        try:
            lens = lens.resized(*size)
            undistortion = None if lens.straight else Undistortion(lens)
        except FieldError as error:
            raise UserError(f"{self._folder / 'colmap'}: its camera {error}; download it again") from None
        camera = lens.camera if undistortion is None else undistortion.camera
        images = {Path(name).stem: image for name, image in model.images.items()}
        places = {number: (_pose(images.get(frame_name(number))), camera) for number in self._numbers}
        posed = sum(pose is not None for pose, _ in places.values())
        if not posed:
            raise UserError(f"{self._folder / 'colmap'}: has none of the video's frames; download it again")
        self._note(f"{model.source}: has poses of {posed} of {len(places)} frames")
        return undistortion, places, f"iphone/{model.source}, world-to-camera, inverted"

    def _placed(self, places: Mapping[int, _Place]) -> tuple[StoredView, ...]:
        """Every frame; one without a camera borrows the one before, or else the first."""
        views, last = [], next(iter(places.values()))[1]
        depths = 0 if self._depth is None else len(self._depth)
        for number in self._numbers:
            pose, camera = places.get(number, (None, last))
            views.append(StoredView(frame_name(number), pose, camera, number in places, number < depths))
            last = camera
        return tuple(views)

    def _note(self, problem: str) -> None:
        if problem not in self._notes:
            self._notes.append(problem)


_Place = tuple["Array | None", Intrinsics]


def frame_name(number: int) -> str:
    """The name of a frame of the video, which counts from 0."""
    return f"frame_{number:06d}"


def _pose(image: PosedImage | None) -> Array | None:
    return None if image is None else image.pose
