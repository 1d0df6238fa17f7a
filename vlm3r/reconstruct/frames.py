"""From video frames to the pictures that CUT3R sees: scaled, cropped to whole patches, in chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3r.errors import UserError
from vlm3r.reconstruct.options import PATCH


@dataclass(frozen=True)
class Framing:
    """How a source frame becomes the model's picture: scale first, then crop about the centre. All in pixels."""

    source_size: tuple[int, int]
    """(width, height) of the video frame."""

    scaled_size: tuple[int, int]
    """(width, height) after scaling, before cropping."""

    crop: tuple[int, int, int, int]
    """(left, top, right, bottom) of the crop within the scaled picture."""

    @property
    def width(self) -> int:
        """Width of the model's picture."""
        return self.crop[2] - self.crop[0]

    @property
    def height(self) -> int:
        """Height of the model's picture."""
        return self.crop[3] - self.crop[1]

    @property
    def scale(self) -> float:
        """Pixels of the model's picture per source pixel, along the longer side."""
        return max(self.scaled_size) / max(self.source_size)

    @classmethod
    def plan(cls, width: int, height: int, image_size: int, allow_square: bool = False) -> Framing:
        """The framing of a `width` x `height` video.

        The convention of the DUSt3R family, CUT3R's demo included: the longer side is scaled to `image_size`, then both
        sides are cut down to multiples of 16 about the centre, and a square picture to 4:3 unless `allow_square`.
        Nothing is stretched or padded.
        """
        longest = max(width, height)
        scaled = (round(width * image_size / longest), round(height * image_size / longest))
        cropped = [side // PATCH * PATCH for side in scaled]
        if cropped[0] == cropped[1] and not allow_square:
            cropped[1] = cropped[1] * 3 // 4 // PATCH * PATCH
        if min(cropped) < PATCH:
            raise UserError(
                f"a {width}x{height} video leaves a side under {PATCH} pixels at image_size={image_size}: raise it"
            )
        left, top = (scaled[0] - cropped[0]) // 2, (scaled[1] - cropped[1]) // 2
        return cls((width, height), scaled, (left, top, left + cropped[0], top + cropped[1]))

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The model's picture (height, width, 3) of a source frame; antialiased."""
        kernel = Image.Resampling.LANCZOS if self.scale < 1 else Image.Resampling.BICUBIC
        picture = Image.fromarray(image)
        if picture.size != self.scaled_size:
            picture = picture.resize(self.scaled_size, kernel)
        return np.asarray(picture.crop(self.crop))


@dataclass(frozen=True)
class Frame:
    """One frame as the model sees it."""

    index: int
    """Number of the frame in the source video."""

    timestamp: float
    """Seconds from the start of the video."""

    image: NDArray[np.uint8]
    """(height, width, 3) RGB."""


def prepare_frames(
    frames: Iterable[tuple[int, float, NDArray[np.uint8]]], image_size: int, allow_square: bool = False
) -> Iterator[tuple[Framing, Frame]]:
    """Each frame with its framing; a `UserError` where a frame is no RGB picture or changes size within the video."""
    framing: Framing | None = None
    for index, timestamp, image in frames:
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise UserError(f"frame {index}: expected uint8 (height, width, 3), got {image.dtype} {image.shape}")
        if not np.isfinite(timestamp):
            raise UserError(f"frame {index}: its timestamp is {timestamp}")
        size = (image.shape[1], image.shape[0])
        if framing is None:
            framing = Framing.plan(*size, image_size, allow_square)
        if size != framing.source_size:
            raise UserError(
                f"frame {index}: {size[0]}x{size[1]} pixels, but the video began with "
                f"{framing.source_size[0]}x{framing.source_size[1]}; re-encode it to one size"
            )
        yield framing, Frame(int(index), float(timestamp), framing.apply(image))
