"""PNG pictures and depth maps, told from damaged ones by their first and last bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes.fields import FieldError

MILLIMETRES = 1000
MAX_EDGE = 1 << 13
"""Pixels; a larger picture is no camera's, and decoding it could fill the memory."""

_HEADER = struct.Struct(">8sI4sIIBB")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_GREY = 0


@dataclass(frozen=True)
class PngHeader:
    """What a PNG file says of itself."""

    width: int
    height: int
    bits: int
    """Per channel."""
    grey: bool
    """Whether it has one channel."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height


def read_header(path: Path) -> PngHeader:
    """The header of a PNG file that is there to its end; nothing is decoded.

    Raises:
        FieldError: the file is missing, no PNG, cut short, or larger than `MAX_EDGE`.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_HEADER.size)
            file.seek(max(_HEADER.size, path.stat().st_size - len(_END)))
            end = file.read(len(_END))
    except FileNotFoundError:
        raise FieldError("is missing") from None
    except OSError as error:
        raise FieldError(f"cannot be read ({first_line(error)})") from None
    if len(start) < _HEADER.size or start[:8] != _SIGNATURE or start[12:16] != b"IHDR":
        raise FieldError("is no PNG file" if start else "is empty")
    _, _, _, width, height, bits, colour = _HEADER.unpack(start)
    if not (0 < width <= MAX_EDGE and 0 < height <= MAX_EDGE):
        raise FieldError(f"has {width} x {height} pixels")
    if end != _END:
        raise FieldError("is cut short")
    return PngHeader(width, height, bits, colour == _GREY)


def read_depth_header(path: Path) -> PngHeader:
    """The header of a depth map.

    Raises:
        FieldError: as `read_header`, and if the file is not 16-bit grey.
    """
    header = read_header(path)
    if not (header.grey and header.bits == 16):
        raise FieldError(f"has {header.bits} bits {'grey' if header.grey else 'colour'} instead of 16 bits grey")
    return header


def read_picture(path: Path) -> NDArray[np.uint8]:
    """The pixels `(H, W, 3)` RGB.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        read_header(path)
        return np.asarray(_decoded(path, "RGB"), np.uint8)
    except FieldError as error:
        raise UserError(f"{path}: {error}; download it again, or delete it to go on without it") from None


def read_depth(path: Path) -> NDArray[np.float32]:
    """A depth map `(h, w)` in metres, 0 unknown, of a file in millimetres.

    Raises:
        UserError: the file is missing, damaged, or not 16-bit grey.
    """
    try:
        read_depth_header(path)
        return (np.asarray(_decoded(path, None), np.float32) / MILLIMETRES).astype(np.float32)
    except FieldError as error:
        raise UserError(f"{path}: {error}; download it again, or delete it to go on without it") from None


def _decoded(path: Path, mode: str | None) -> Image.Image:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if mode is None:
                image.load()
                return image.copy()
            return image.convert(mode)
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise FieldError(f"is damaged ({first_line(error)})") from None
