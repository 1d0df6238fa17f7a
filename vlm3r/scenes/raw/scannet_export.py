"""A ScanNet recording that the official tools have taken apart: folders `color`, `depth`, `pose` and `intrinsic`.

Files are named after their frame: `color/0.jpg`, `depth/0.png` (16-bit millimetres), `pose/0.txt` (camera-to-world, not
aligned). Exports may hold every frame or every n-th, and pictures may have been made smaller, which the exported
intrinsics do not know of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes import fields
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.camera_record import camera_of
from vlm3r.scenes.raw.encoded import Size, decode_rgb, picture_size
from vlm3r.scenes.raw.limited import read_limited
from vlm3r.scenes.raw.paths import within
from vlm3r.scenes.raw.png import read_depth, read_depth_header
from vlm3r.scenes.raw.resize import resized_camera
from vlm3r.scenes.raw.sensor_stream import StreamFrame
from vlm3r.scenes.schema import Array, Intrinsics

FOLDERS = ("color", "depth", "pose", "intrinsic")
FORMATS = {".jpg": "JPEG", ".png": "PNG"}
MAX_FRAMES = 200_000
MAX_DIGITS = 9
MAX_PICTURE = 64 << 20
"""Bytes of one encoded picture."""
MAX_MATRIX = 1 << 12
"""Bytes of a text file with one matrix."""
CENTRED = 0.15
"""Share of a picture's width or height by which a camera's principal point may be off its middle. One further off shows
that the camera was written for pictures of another size."""


class ExportedFrames:
    """See `vlm3r.scenes.raw.sensor_stream.SensorStream`. Frames are those that have a picture."""

    kind = "export"

    def __init__(self, scan: Path, recorded: Size | None) -> None:
        """Lists the frames and reads their poses.

        Args:
            scan: the scan's folder.
            recorded: width and height of the pictures before they may have been made smaller, where they are known.

        Raises:
            UserError: there is no picture, or a camera is missing or unusable.
        """
        self._scan = scan
        notes: list[str] = []
        self._colour = dict(_numbered(scan, "color", tuple(FORMATS), notes))
        self._depth = dict(_numbered(scan, "depth", (".png",), notes))
        poses = dict(_numbered(scan, "pose", (".txt",), notes))
        if not self._colour:
            raise UserError(f"{scan / 'color'}: has no picture named after its frame; export the scan again")
        self._numbers = sorted(self._colour)
        self.frames: Sequence[StreamFrame] = tuple(
            StreamFrame(number, _pose(poses.get(number)), True, number in self._depth) for number in self._numbers
        )
        first = self._colour[self._numbers[0]]
        self._size = _size_of(first)
        self.colour_camera: Intrinsics = self._camera("intrinsic_color.txt", self._size, recorded)
        stored = self._depth_size(notes)
        self.depth_camera: Intrinsics = self._camera("intrinsic_depth.txt", stored, None)
        self.problems: tuple[str, ...] = tuple(notes)

    def close(self) -> None:
        """Nothing stays open between two pictures."""

    def colour(self, position: int) -> NDArray[np.uint8]:
        """The picture `(H, W, 3)` RGB of `frames[position]`.

        Raises:
            UserError: it is damaged or of another size than the first.
        """
        path = self._colour[self._numbers[position]]
        try:
            return decode_rgb(read_limited(path, MAX_PICTURE), [FORMATS[path.suffix]], self._size)
        except FieldError as error:
            raise UserError(f"{path}: {error}; export the scan again") from None

    def depth(self, position: int) -> NDArray[np.float32]:
        """The depth map `(h, w)` of `frames[position]`, in metres, 0 unknown.

        Raises:
            UserError: it is missing, damaged, or of another size than the first.
        """
        number = self._numbers[position]
        path = self._depth.get(number)
        if path is None:
            raise UserError(f"{self._scan / 'depth' / f'{number}.png'}: no such file; export the scan again")
        depth = read_depth(path)
        if depth.shape != (self.depth_camera.height, self.depth_camera.width):
            raise UserError(f"{path}: has another size than the first depth map; export the scan again")
        return depth

    def _camera(self, name: str, size: Size, recorded: Size | None) -> Intrinsics:
        """The camera of pictures of a size, from a matrix for `recorded` ones or, if that is None, for these."""
        path = self._scan / "intrinsic" / name
        try:
            matrix = _matrix(within(self._scan, path))
            camera = resized_camera(camera_of(matrix[:3, :3], recorded or size), *size)
            off = abs(camera.cx / camera.width - 0.5), abs(camera.cy / camera.height - 0.5)
            if max(off) > CENTRED:
                raise FieldError(f"is for pictures of another size than {size[0]} x {size[1]}")
            return camera
        except FieldError as error:
            raise UserError(f"{path}: {error}; export the scan again, or download <scan id>.sens") from None

    def _depth_size(self, notes: list[str]) -> Size:
        """Width and height of the depth maps; those of the pictures where there is none."""
        if not self._depth:
            notes.append("depth: has no depth map; no frame is sampled")
            return self._size
        path = self._depth[min(self._depth)]
        try:
            return read_depth_header(path).size
        except FieldError as error:
            raise UserError(f"{path}: {error}; export the scan again") from None


def is_export(scan: Path) -> bool:
    """Whether a scan's folder holds an exported recording."""
    return (scan / "color").is_dir()


def _numbered(scan: Path, name: str, suffixes: tuple[str, ...], notes: list[str]) -> Iterator[tuple[int, Path]]:
    """The files of a folder that are named after a frame's number, in any order; notes those that are not."""
    folder = scan / name
    try:
        entries = sorted(within(scan, folder).iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({first_line(error)}); mend its permissions") from None
    if len(entries) > MAX_FRAMES:
        raise UserError(f"{folder}: has {len(entries)} files, more than {MAX_FRAMES}; is this one scan's folder?")
    seen: set[int] = set()
    odd: list[str] = []
    for entry in entries:
        if entry.suffix not in suffixes or entry.name[0] == ".":
            continue
        digits = entry.stem.isascii() and entry.stem.isdecimal() and len(entry.stem) <= MAX_DIGITS
        if not digits or int(entry.stem) in seen or not _own(scan, entry):
            odd.append(entry.name)
            continue
        seen.add(int(entry.stem))
        yield int(entry.stem), entry
    if odd:
        what = "are not named after a frame, repeat one, or are links out of the scan"
        notes.append(f"{name}: {len(odd)} files {what} (the first: {odd[0]!a}); left out")


def _own(scan: Path, entry: Path) -> bool:
    if not entry.is_symlink():
        return True
    try:
        within(scan, entry)
    except UserError:
        return False
    return True


def _pose(path: Path | None) -> Array | None:
    """The stored matrix, maybe not finite; None where the file is missing or holds none."""
    try:
        return None if path is None else _matrix(path, finite=False)
    except FieldError:
        return None


def _matrix(path: Path, *, finite: bool = True) -> Array:
    words = read_limited(path, MAX_MATRIX).split()
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError:
        raise FieldError("holds something that is no number") from None
    if finite:
        return fields.array(numbers, (4, 4), "matrix")
    if numbers.size != 16:
        raise FieldError(f"has {numbers.size} numbers instead of 16")
    return numbers.reshape(4, 4)


def _size_of(path: Path) -> Size:
    try:
        return picture_size(read_limited(path, MAX_PICTURE), [FORMATS[path.suffix]])
    except FieldError as error:
        raise UserError(f"{path}: {error}; export the scan again") from None
