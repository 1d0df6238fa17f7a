"""Camera records beside rendered maps: one small `.npz` file an image with `intrinsic`, `extrinsic`, `image_size`."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlm3r.files import first_line
from vlm3r.scenes import fields
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.resize import resized_camera
from vlm3r.scenes.schema import Array, Intrinsics

MAX_FILE_BYTES = 1 << 20
MAX_MEMBER_BYTES = 1 << 14
MAX_NUMBERS = 64


@dataclass(frozen=True, eq=False)
class CameraRecord:
    """The camera of one image."""

    camera: Intrinsics
    pose: Array | None
    """(4, 4) camera-to-world; None where the record's is no rigid motion."""


def read_record(path: Path, size: tuple[int, int]) -> CameraRecord:
    """The camera of an image of `size` pixels, width and height; a record for another size is scaled to it.

    Raises:
        FieldError: the file is missing, no such archive, damaged, or holds no camera of this shape of picture.
    """
    values = _arrays(path)
    intrinsic = values.get("intrinsic")
    if intrinsic is None or intrinsic.ndim != 2 or min(intrinsic.shape) < 3:
        raise FieldError("has no 3x3 intrinsic")
    camera = camera_of(intrinsic[:3, :3], recorded_size(values.get("image_size"), size))
    try:
        pose = fields.pose(values.get("extrinsic"))
    except FieldError:
        pose = None
    return CameraRecord(resized_camera(camera, *size), pose)


def camera_of(matrix: object, size: tuple[int, int]) -> Intrinsics:
    """The camera of a 3x3 matrix for pictures of a width and height.

    Raises:
        FieldError: it is no matrix of a camera without skew.
    """
    k = fields.array(matrix, (3, 3), "intrinsic")
    if np.abs(k[2] - [0, 0, 1]).max() > 1e-6 or abs(k[1, 0]) > 1e-6 or abs(k[0, 1]) > 1e-3 * abs(k[0, 0]):
        raise FieldError("intrinsic is no camera matrix without skew")
    return fields.camera(Intrinsics(*size, *(float(k[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))))


def recorded_size(value: Array | None, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height that a record is for, whichever of the two it names first; the picture's where it names none."""
    if value is None:
        return size
    first, second = (fields.integer(float(number), "image_size") for number in fields.array(value, (2,), "image_size"))
    return (second, first) if (first > second) != (size[0] > size[1]) else (first, second)


def _arrays(path: Path) -> dict[str, Array]:
    """The small numeric arrays of an archive; nothing in it is ever unpickled."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FieldError(f"has more than {MAX_FILE_BYTES} bytes")
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            wanted = [name for name in ("intrinsic", "extrinsic", "image_size") if f"{name}.npy" in names]
            return {name: _array(archive, f"{name}.npy") for name in wanted}
    except FileNotFoundError:
        raise FieldError("is missing") from None
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise FieldError(f"cannot be read ({first_line(error)})") from None


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(name) as member:
        content = io.BytesIO(member.read(MAX_MEMBER_BYTES + 1))
    if content.getbuffer().nbytes > MAX_MEMBER_BYTES:
        raise FieldError(f"{name} has more than {MAX_MEMBER_BYTES} bytes")
    try:
        version = np.lib.format.read_magic(content)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(content)
        if math.prod(shape) > MAX_NUMBERS or kind.kind not in "fiu":
            raise FieldError(f"{name} is no small array of numbers")
        content.seek(0)
        return np.asarray(np.lib.format.read_array(content, allow_pickle=False), float)
    except (ValueError, SyntaxError, TypeError, OverflowError, MemoryError) as error:
        if isinstance(error, FieldError):
            raise
        raise FieldError(f"{name} is no array ({first_line(error)})") from None
