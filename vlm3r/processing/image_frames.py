"""A directory or list of images read as the frames of a video."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vlm3r.errors import UserError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def list_images(directory: Path) -> list[Path]:
    """The images of a directory in natural order of their names (2.png before 10.png); hidden files are left out.

    Raises:
        UserError: The directory cannot be listed or has no image.
    """
    try:
        entries = [entry for entry in directory.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{directory} cannot be listed: check its permissions") from error
    images = [entry for entry in entries if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]
    if not images:
        raise UserError(
            f"{directory} has no image ({', '.join(IMAGE_SUFFIXES)}): give a directory of frames or a video"
        )
    return sorted(images, key=lambda image: _natural(image.name))


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of an image in pixels after its EXIF orientation, mostly read from its header alone.

    Raises:
        UserError: It is missing or damaged. PNGs may have their orientation behind the pixels, which are read then.
    """
    with _opened(path) as image:
        width, height = image.size
        try:
            turned = image.getexif().get(0x0112) in (5, 6, 7, 8)
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"{path} is damaged ({error}): replace or remove it") from error
    return (height, width) if turned else (width, height)


def image_frames(
    paths: Sequence[Path], wanted: Sequence[int], size: tuple[int, int] | None = None
) -> Iterator[tuple[int, NDArray[np.uint8], bool]]:
    """Each wanted image as (number, (H, W, 3) uint8 RGB upright, whether it was resized), one in memory at a time.

    Args:
        paths: All images in order.
        wanted: Numbers of the images to read.
        size: (width, height) that every frame gets; default the first image's.

    Raises:
        UserError: An image is missing, cannot be read, or is no colour or 8-bit grey image.
    """
    size = size or image_size(paths[0])
    for index in wanted:
        upright = open_rgb(paths[index])
        resized = upright.size != size
        if resized:
            upright = upright.resize(size, Image.Resampling.BICUBIC)
        yield index, np.asarray(upright), resized


def open_rgb(path: Path) -> Image.Image:
    """An image file upright and in RGB, read whole.

    Raises:
        UserError: It is missing, cannot be read, or is no colour or 8-bit grey image.
    """
    with _opened(path) as image:
        return to_rgb(image, str(path))


def to_rgb(image: Image.Image, name: str) -> Image.Image:
    """An image upright and in RGB, transparent parts on white; `name` is what an error calls it.

    Raises:
        UserError: Its pixels cannot be read, or it has more than 8 bits a channel.
    """
    if image.mode.startswith(("I", "F")):
        raise UserError(f"{name} has more than 8 bits a channel (a depth map?): give colour images")
    try:
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            upright = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
        return upright.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{name} is damaged ({error}): replace or remove it") from error


def _opened(path: Path) -> Image.Image:
    """The image opened with its header read; its pixels are read on use."""
    try:
        return Image.open(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: check the path") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} is not an image that can be read: replace or remove it") from error


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key that compares runs of digits as numbers."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name.lower())
    return [(0, int(part), "") if part[0] in "0123456789" else (1, 0, part) for part in parts], name
