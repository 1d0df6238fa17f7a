"""Frames of an ARKitScenes scan as stored: colour, depth, pose and camera of each time stamp."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlm3r.errors import UserError
from vlm3r.scenes import fields
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.paths import within
from vlm3r.scenes.raw.png import read_header
from vlm3r.scenes.raw.resize import resized_camera
from vlm3r.scenes.raw.stamped import StampedFile, StampedFiles, list_stamped
from vlm3r.scenes.raw.trajectory import SLACK, read_trajectory
from vlm3r.scenes.schema import Array, Intrinsics

DEPTH_SLACK = 0.005
"""Seconds between a picture and its depth map; both are taken together, and frames are at least 16 ms apart."""
CAMERA_SLACK = 0.5
"""Seconds between a picture and a camera record that stands for it: the lens's focus moves slowly."""
MAX_CAMERA_BYTES = 4096


@dataclass(frozen=True, eq=False)
class StoredFrame:
    """One frame, not turned."""

    colour: StampedFile
    depth: Path | None
    """None where there is no map of that time."""
    pose: Array | None
    """(4, 4) camera-to-world; None where no pose is near in time."""
    camera: Intrinsics
    """At the picture's size, from the record that is nearest in time."""
    camera_known: bool
    """Whether that record is within `CAMERA_SLACK`."""


@dataclass(frozen=True)
class StoredFrames:
    """The frames of a scan in the order of time."""

    frames: Sequence[StoredFrame]
    problems: tuple[str, ...]
    """What is missing or was left out."""


def read_frames(scan: Path, interpolate: bool) -> StoredFrames:
    """All frames whose picture is sound.

    Reads the trajectory, the cameras and the pictures' headers.

    Args:
        scan: the scan's folder; frames lie there or in `<its name>_frames`.
        interpolate: as in `Trajectory.at`.

    Raises:
        UserError: the trajectory, all pictures or all camera records are missing or unusable, or a folder is a link out
            of the scan.
    """
    inner = scan / f"{scan.name}_frames"
    folder = inner if inner.is_dir() else scan
    trajectory, problems = read_trajectory(within(scan, folder / "lowres_wide.traj"))
    notes = list(problems)
    pictures, size = _sound_pictures(list_stamped(scan, folder / "lowres_wide", ".png"), notes)
    if not pictures:
        raise UserError(f"{folder / 'lowres_wide'}: has no usable picture{_first(notes)}; download the scan's frames")
    listed, cameras = _sound_cameras(list_stamped(scan, folder / "lowres_wide_intrinsics", ".pincam"), size, notes)
    if not cameras:
        raise UserError(f"{folder}: has no usable camera in lowres_wide_intrinsics{_first(notes)}; download them again")
    depths = list_stamped(scan, folder / "lowres_depth", ".png")
    notes.extend(depths.problems)
    frames = []
    for picture in pictures:
        camera, depth = listed.nearest(picture.time), depths.at(picture.time, DEPTH_SLACK)
        assert camera is not None
        frames.append(
            StoredFrame(
                colour=picture,
                depth=None if depth is None else depth.path,
                pose=trajectory.at(picture.time, interpolate=interpolate),
                camera=cameras[camera.time],
                camera_known=listed.at(picture.time, CAMERA_SLACK) is not None,
            )
        )
    notes.extend(_gaps(frames))
    return StoredFrames(tuple(frames), tuple(notes))


def read_camera(path: Path) -> Intrinsics:
    """The camera in a `.pincam` file: one line with width, height, two focal lengths and the principal point.

    Raises:
        FieldError: the file is unreadable or no such line.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            words = file.read(MAX_CAMERA_BYTES).split()
    except OSError as error:
        raise FieldError(f"cannot be read ({type(error).__name__})") from None
    width, height, fx, fy, cx, cy = fields.array(words, (6,), "the camera").tolist()
    size = (fields.integer(width, "the camera's width"), fields.integer(height, "the camera's height"))
    return fields.camera(Intrinsics(*size, fx, fy, cx, cy))


def _sound_pictures(listed: StampedFiles, notes: list[str]) -> tuple[list[StampedFile], tuple[int, int]]:
    """Pictures that are whole and have the size that most have; and that size."""
    notes.extend(listed.problems)
    sizes: dict[StampedFile, tuple[int, int]] = {}
    broken: list[str] = []
    for file in listed.files:
        try:
            sizes[file] = read_header(file.path).size
        except FieldError as error:
            broken.append(f"{file.path.name} {error}")
    if not sizes:
        notes.extend(_summary("lowres_wide", broken))
        return [], (0, 0)
    size = Counter(sizes.values()).most_common(1)[0][0]
    broken.extend(f"{f.path.name} has {w} x {h} pixels" for f, (w, h) in sizes.items() if (w, h) != size)
    notes.extend(_summary("lowres_wide", broken))
    return [file for file, own in sizes.items() if own == size], size


def _sound_cameras(
    listed: StampedFiles, size: tuple[int, int], notes: list[str]
) -> tuple[StampedFiles, dict[float, Intrinsics]]:
    """Camera files that can be used, and time -> camera at the pictures' size."""
    notes.extend(listed.problems)
    cameras: dict[float, Intrinsics] = {}
    broken: list[str] = []
    for file in listed.files:
        try:
            cameras[file.time] = resized_camera(read_camera(file.path), *size)
        except FieldError as error:
            broken.append(f"{file.path.name}: {error}")
    notes.extend(_summary("lowres_wide_intrinsics", broken))
    return StampedFiles(tuple(file for file in listed.files if file.time in cameras)), cameras


def _gaps(frames: Sequence[StoredFrame]) -> list[str]:
    missing = {
        f"no pose within {SLACK * 1000:g} ms": sum(frame.pose is None for frame in frames),
        f"no camera record within {CAMERA_SLACK:g} s": sum(not frame.camera_known for frame in frames),
        "no depth map": sum(frame.depth is None for frame in frames),
    }
    return [f"{count} of {len(frames)} frames have {what}" for what, count in missing.items() if count]


def _summary(folder: str, broken: Sequence[str]) -> list[str]:
    return [f"{folder}: {len(broken)} files are unusable (the first: {broken[0]}); left out"] if broken else []


def _first(notes: Sequence[str]) -> str:
    return f" ({notes[-1]})" if notes else ""
