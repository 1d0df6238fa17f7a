"""COLMAP's binary `cameras.bin` and `images.bin`, little endian; every count is held against the file's size first."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes.raw.colmap_records import CameraRecord, ImageRecord

MODELS = (
    ("SIMPLE_PINHOLE", 3),
    ("PINHOLE", 4),
    ("SIMPLE_RADIAL", 4),
    ("RADIAL", 5),
    ("OPENCV", 8),
    ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12),
    ("FOV", 5),
    ("SIMPLE_RADIAL_FISHEYE", 4),
    ("RADIAL_FISHEYE", 5),
    ("THIN_PRISM_FISHEYE", 12),
)
"""Name and number of parameters of each lens model, in the order of COLMAP's ids."""

MAX_NAME = 1024
"""Bytes."""

_COUNT = struct.Struct("<Q")
_CAMERA = struct.Struct("<IiQQ")
_IMAGE = struct.Struct("<I4d3dI")
_POINT_BYTES = 24


@dataclass(frozen=True)
class BinaryModel:
    """Reads the files of a model."""

    max_records: int
    """Cameras or images of a file."""

    def cameras(self, path: Path) -> Iterator[CameraRecord]:
        """The cameras of a file.

        Raises:
            UserError: the file is cut short, its counts cannot be true, or it names an unknown lens model.
        """
        with _reading(path) as source:
            for _ in range(self._count(source, _CAMERA.size)):
                camera_id, model_id, width, height = source.take(_CAMERA)
                if not 0 <= model_id < len(MODELS):
                    raise UserError(f"{path}: names lens model {model_id}, which is unknown; convert the model to text")
                name, parameters = MODELS[model_id]
                yield CameraRecord(camera_id, name, width, height, source.take(struct.Struct(f"<{parameters}d")))

    def images(self, path: Path) -> Iterator[ImageRecord]:
        """The images of a file.

        Raises:
            UserError: the file is cut short, or its counts cannot be true.
        """
        with _reading(path) as source:
            for _ in range(self._count(source, _IMAGE.size + 1 + _COUNT.size)):
                _, *numbers, camera_id = source.take(_IMAGE)
                name = source.name()
                (points,) = source.take(_COUNT)
                source.skip(points, _POINT_BYTES)
                yield ImageRecord(name, tuple(numbers[:4]), tuple(numbers[4:]), camera_id)

    def _count(self, source: _Source, least: int) -> int:
        """The number of records that follow, of `least` bytes at least."""
        (count,) = source.take(_COUNT)
        if count > self.max_records or count * least > source.left:
            raise UserError(f"{source.path}: promises {count} records in {source.left} bytes; download it again")
        return count


@dataclass
class _Source:
    """An open file, read from front to back."""

    path: Path
    file: BinaryIO
    left: int
    """Bytes not yet read."""

    def take(self, record: struct.Struct) -> tuple:
        content = self.file.read(record.size)
        self.left -= record.size
        if len(content) < record.size:
            raise self._cut_short()
        return record.unpack(content)

    def name(self) -> str:
        """A text that ends with a zero byte."""
        content = bytearray()
        while (byte := self.file.read(1)) != b"\0":
            if not byte:
                raise self._cut_short()
            content += byte
            if len(content) > MAX_NAME:
                raise UserError(f"{self.path}: has a name of more than {MAX_NAME} bytes; download it again")
        self.left -= len(content) + 1
        return content.decode("utf-8", "replace")

    def skip(self, count: int, size: int) -> None:
        if count * size > self.left:
            raise self._cut_short()
        self.file.seek(count * size, 1)
        self.left -= count * size

    def _cut_short(self) -> UserError:
        return UserError(f"{self.path}: is cut short or damaged; download it again")


@contextmanager
def _reading(path: Path) -> Iterator[_Source]:
    try:
        with path.open("rb") as file:
            yield _Source(path, file, path.stat().st_size)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); download it again") from None
