"""`.sens` version 4, the container of ScanNet's recordings; little endian, read without taking it into memory.

A header names the cameras, the compression and the number of frames. Each frame follows with its pose
(camera-to-world, all minus infinity where tracking was lost), two time stamps, the byte counts of its picture and its
depth map, and both. What follows the last frame, such as inertial measurements, is not read.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.camera_record import camera_of
from vlm3r.scenes.raw.encoded import Size, decode_rgb
from vlm3r.scenes.raw.png import MAX_EDGE
from vlm3r.scenes.raw.sensor_stream import StreamFrame
from vlm3r.scenes.schema import Array, Intrinsics

VERSION = 4
MAX_NAME = 1 << 12
"""Bytes of the sensor's name."""
MAX_FRAMES = 200_000
"""More than two hours of video."""
SLACK = 1 << 16
"""Bytes that an encoded picture may have beyond its pixels."""

ColourCompression = Literal["raw", "png", "jpeg"]
DepthCompression = Literal["raw", "zlib", "occi"]
COLOUR: dict[int, ColourCompression] = {0: "raw", 1: "png", 2: "jpeg"}
DEPTH: dict[int, DepthCompression] = {0: "raw", 1: "zlib", 2: "occi"}

_START = struct.Struct("<IQ")
_MATRICES = struct.Struct("<64f")
_LAYOUT = struct.Struct("<iiIIIIfQ")
_FRAME = struct.Struct("<16f4Q")


@dataclass(frozen=True, eq=False)
class SensHeader:
    """What a file says of all its frames."""

    sensor: str
    matrices: Array
    """(4, 4, 4): intrinsics and extrinsics of the colour camera, then those of the depth camera."""
    colour_compression: ColourCompression
    depth_compression: DepthCompression
    colour_size: Size
    """Width and height."""
    depth_size: Size
    depth_shift: float
    """Stored depth values a metre."""
    count: int
    """Frames that the file should have."""


@dataclass(frozen=True)
class _Place:
    """Where a frame's picture and depth map are."""

    offset: int
    colour: int
    """Bytes."""
    depth: int
    """Bytes; the depth map follows the picture."""


class SensFile:
    """An open `.sens` file: see `vlm3r.scenes.raw.sensor_stream.SensorStream`. Frames are read when asked for."""

    kind = "sens"

    def __init__(self, path: Path) -> None:
        """Reads the header and goes from frame to frame once.

        Raises:
            UserError: the file is missing, has no usable header or no whole frame, or is compressed in an unknown way.
        """
        self.path = path
        try:
            self._file = path.open("rb")
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; download the scan's recording") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be opened ({first_line(error)}); mend its permissions") from None
        try:
            size = os.fstat(self._file.fileno()).st_size
            self.header = _read_header(self._file)
            if self.header.depth_compression == "occi":
                self._file.close()
                what = "its depth maps are in `occi` compression, which only ScanNet's own tools read"
                raise UserError(f"{path}: {what}; export the scan with them and delete this file")
            self.colour_camera = _camera(self.header.matrices[0], self.header.colour_size, "colour")
            self.depth_camera = _camera(self.header.matrices[2], self.header.depth_size, "depth")
            self.frames, self._places, self.cut = _read_frames(self._file, size, self.header)
            if not self.frames:
                raise FieldError(f"has no whole frame: {self.cut}")
        except (OSError, FieldError) as error:
            self._file.close()
            raise UserError(f"{path}: {first_line(error)}; download it again") from None
        self.problems = _extrinsics_problem(path.name, self.header.matrices)

    frames: Sequence[StreamFrame]
    """The whole frames."""
    colour_camera: Intrinsics
    depth_camera: Intrinsics
    cut: str | None
    """Why `frames` has fewer frames than the header promises, such as `is cut short in frame 7 of 100`; or None."""
    problems: tuple[str, ...]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def colour(self, position: int) -> NDArray[np.uint8]:
        """The picture `(H, W, 3)` RGB of `frames[position]`.

        Raises:
            UserError: it is missing or damaged.
        """
        place = self._places[position]
        try:
            return _decode_colour(self._payload(place.offset, place.colour), self.header)
        except FieldError as error:
            raise self._refusal(position, "picture", error) from None

    def depth(self, position: int) -> NDArray[np.float32]:
        """The depth map `(h, w)` of `frames[position]`, in metres, 0 unknown.

        Raises:
            UserError: it is missing or damaged.
        """
        place = self._places[position]
        try:
            return _decode_depth(self._payload(place.offset + place.colour, place.depth), self.header)
        except FieldError as error:
            raise self._refusal(position, "depth map", error) from None

    def _payload(self, offset: int, count: int) -> bytes:
        try:
            self._file.seek(offset)
            content = self._file.read(count)
        except OSError as error:
            raise FieldError(f"cannot be read ({first_line(error)})") from None
        if len(content) < count:
            raise FieldError("is cut short")
        return content

    def _refusal(self, position: int, what: str, error: FieldError) -> UserError:
        return UserError(f"{self.path}: the {what} of frame {position} {error}; download it again")


def _read_header(file: BinaryIO) -> SensHeader:
    """The header, with each field checked before anything follows from it.

    Raises:
        FieldError: it is cut short, of another version, or no recording can be like that.
    """
    version, length = _START.unpack(_exactly(file, _START.size))
    if version != VERSION:
        raise FieldError(f"is of version {version}, not {VERSION}" if version < 100 else "is no .sens file")
    if length > MAX_NAME:
        raise FieldError(f"says that its sensor's name has {length} bytes")
    sensor = _exactly(file, length).decode("utf-8", "replace")
    matrices = np.array(_MATRICES.unpack(_exactly(file, _MATRICES.size))).reshape(4, 4, 4)
    values = _LAYOUT.unpack(_exactly(file, _LAYOUT.size))
    colour, depth, width, height, depth_width, depth_height, shift, count = values
    if colour not in COLOUR:
        raise FieldError(f"has pictures in compression {colour}, which is none of {_known(COLOUR)}")
    if depth not in DEPTH:
        raise FieldError(f"has depth maps in compression {depth}, which is none of {_known(DEPTH)}")
    for edge in (width, height, depth_width, depth_height):
        if not 0 < edge <= MAX_EDGE:
            raise FieldError(f"says that its pictures have an edge of {edge} pixels")
    if not (np.isfinite(shift) and 1 <= shift <= 1e6):
        raise FieldError(f"says that a metre is {shift:g} depth values")
    if not 0 < count <= MAX_FRAMES:
        raise FieldError(f"says that it has {count} frames")
    sizes = (width, height), (depth_width, depth_height)
    return SensHeader(sensor, matrices, COLOUR[colour], DEPTH[depth], *sizes, shift, count)


def _read_frames(
    file: BinaryIO, size: int, header: SensHeader
) -> tuple[Sequence[StreamFrame], Sequence[_Place], str | None]:
    """The whole frames, where they are, and why there are fewer than the header says. Reads no picture."""
    frames: list[StreamFrame] = []
    places: list[_Place] = []
    most_colour = header.colour_size[0] * header.colour_size[1] * 4 + SLACK
    most_depth = header.depth_size[0] * header.depth_size[1] * 4 + SLACK
    offset = file.tell()
    for number in range(header.count):
        file.seek(offset)
        record = file.read(_FRAME.size)
        if len(record) < _FRAME.size:
            return frames, places, f"is cut short in frame {number} of {header.count}"
        *pose, _, _, colour, depth = _FRAME.unpack(record)
        if colour > most_colour or depth > most_depth:
            return frames, places, f"is damaged in frame {number} of {header.count}, which cannot be that large"
        place = _Place(offset + _FRAME.size, colour, depth)
        offset = place.offset + colour + depth
        if offset > size:
            return frames, places, f"is cut short in frame {number} of {header.count}"
        frames.append(StreamFrame(number, np.array(pose, float).reshape(4, 4), colour > 0, depth > 0))
        places.append(place)
    return frames, places, None


def _decode_colour(content: bytes, header: SensHeader) -> NDArray[np.uint8]:
    width, height = header.colour_size
    if not content:
        raise FieldError("is missing")
    if header.colour_compression != "raw":
        return decode_rgb(content, [header.colour_compression.upper()], header.colour_size)
    if len(content) != width * height * 3:
        raise FieldError(f"has {len(content)} bytes instead of {width * height * 3}")
    return np.frombuffer(content, np.uint8).reshape(height, width, 3)


def _decode_depth(content: bytes, header: SensHeader) -> NDArray[np.float32]:
    width, height = header.depth_size
    expected = width * height * 2
    if not content:
        raise FieldError("is missing")
    if header.depth_compression == "zlib":
        inflation = zlib.decompressobj()
        try:
            content = inflation.decompress(content, expected + 1)
        except zlib.error as error:
            raise FieldError(f"is damaged ({first_line(error)})") from None
    if len(content) != expected:
        raise FieldError(f"has {len(content)} bytes or more instead of {expected}")
    values = np.frombuffer(content, "<u2").reshape(height, width)
    return (values / np.float32(header.depth_shift)).astype(np.float32)


def _camera(matrix: Array, size: Size, name: str) -> Intrinsics:
    try:
        return camera_of(matrix[:3, :3], size)
    except FieldError as error:
        raise FieldError(f"its {name} camera: {error}") from None


def _extrinsics_problem(name: str, matrices: Array) -> tuple[str, ...]:
    if np.allclose(matrices[[1, 3]], np.eye(4), rtol=0, atol=1e-3):
        return ()
    return (f"{name}: places its colour and depth cameras apart, which is passed over; depth may be shifted",)


def _exactly(file: BinaryIO, count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise FieldError("is cut short in its header" if content or file.tell() else "is empty")
    return content


def _known(kinds: dict[int, ColourCompression] | dict[int, DepthCompression]) -> str:
    return ", ".join(f"{number} ({name})" for number, name in kinds.items())
