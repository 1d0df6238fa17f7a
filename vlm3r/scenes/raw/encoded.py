"""Encoded pictures in memory, decoded only where they have the size that was promised."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3r.files import first_line
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.png import MAX_EDGE

Size = tuple[int, int]

_DAMAGE = (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError)
_GREY_MODES = ("L", "I;16", "I")


def picture_size(content: bytes, formats: Sequence[str]) -> Size:
    """Width and height of an encoded picture, by its header.

    Raises:
        FieldError: it is in none of the formats, or larger than any camera's.
    """
    with _opened(content, formats) as image:
        return image.size


def decode_rgb(content: bytes, formats: Sequence[str], size: Size) -> NDArray[np.uint8]:
    """The pixels `(H, W, 3)` RGB of an encoded picture.

    Args:
        content: the whole file.
        formats: as Pillow names them, such as `JPEG`.
        size: width and height that it must have.

    Raises:
        FieldError: it is damaged, in none of the formats, or of another size.
    """
    with _opened(content, formats) as image:
        if image.size != size:
            raise FieldError(f"has {image.width} x {image.height} pixels instead of {size[0]} x {size[1]}")
        try:
            return np.asarray(image.convert("RGB"), np.uint8)
        except _DAMAGE as error:
            raise FieldError(f"is damaged ({first_line(error)})") from None


def decode_values(content: bytes) -> NDArray[np.int64]:
    """The values `(h, w)` of an 8-bit or 16-bit grey PNG.

    Raises:
        FieldError: it is damaged, no PNG, or not grey.
    """
    with _opened(content, ["PNG"]) as image:
        if image.mode not in _GREY_MODES:
            raise FieldError(f"is no grey picture of 8 or 16 bits (Pillow calls it {image.mode})")
        try:
            return np.asarray(image, np.int64)
        except _DAMAGE as error:
            raise FieldError(f"is damaged ({first_line(error)})") from None


def _opened(content: bytes, formats: Sequence[str]) -> Image.Image:
    """The picture with its header read."""
    try:
        image = Image.open(io.BytesIO(content), formats=list(formats))
    except _DAMAGE as error:
        reason = f"is no {' or '.join(formats)} picture" if content else "is empty"
        raise FieldError(f"{reason} ({first_line(error)})" if isinstance(error, ValueError) else reason) from None
    if max(image.size) > MAX_EDGE:
        raise FieldError(f"has {image.width} x {image.height} pixels")
    return image
