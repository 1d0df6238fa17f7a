"""Pictures of point clouds by z-buffered discs, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]

_DISC = np.hypot(*np.mgrid[-4:5, -4:5]) <= 4.3

BACKGROUND = 0.93
"""Grey of what was not seen, apart from both white surfaces and the page."""


@dataclass(frozen=True)
class Picture:
    """A rendered cloud."""

    image: Array
    """(height, width, 3) RGB in [0, 1]; `BACKGROUND` where nothing was drawn."""

    depth: Array
    """(height, width); infinite where nothing was drawn."""


def splat_until_covered(
    pixels: Array,
    depth: Array,
    radius: Array,
    colours: NDArray[np.uint8],
    size: tuple[int, int],
    most_radius: float = 8,
) -> Picture:
    """The picture of a cloud whose gaps are filled with ever larger discs, up to `most_radius` pixels.

    Only gaps narrower than about 8 pixels are filled, so that discs neither fatten outlines nor bury detail.

    Args:
        pixels: (point, 2) columns and rows.
        depth: (point,) positive distances; the nearest disc wins.
        radius: (point,) radii in pixels to begin with.
        colours: (point, 3) RGB.
        size: (width, height).
        most_radius: in pixels.
    """
    picture = splat(pixels, depth, np.clip(radius, 0.7, most_radius), colours, size)
    drawn = np.isfinite(picture.depth)
    gaps = ndimage.binary_closing(np.pad(drawn, 4), _DISC)[4:-4, 4:-4] & ~drawn
    growth = 2.0
    while gaps.any() and growth <= 8:
        larger = splat(pixels, depth, np.clip(growth * radius, 0.7 * growth, most_radius), colours, size)
        fill = gaps & np.isfinite(larger.depth)
        picture.image[fill], picture.depth[fill] = larger.image[fill], larger.depth[fill]
        gaps &= ~fill
        growth *= 2
    return picture


def splat(pixels: Array, depth: Array, radius: Array, colours: NDArray[np.uint8], size: tuple[int, int]) -> Picture:
    """The picture of discs of fixed radii; arguments as in `splat_until_covered`."""
    width, height = size
    order = np.argsort(-depth, kind="stable")  # far to near: of several writes to one pixel the last, nearest, stays
    column, row = np.floor(pixels[order]).astype(np.int64).T
    depth, radius = depth[order], radius[order]
    nearest = np.full(height * width, np.inf)
    owner = np.full(height * width, -1)
    last = np.empty(height * width, np.int64)
    reach = int(np.ceil(radius.max(initial=0)))
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            x, y = column + right, row + down
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            disc = np.flatnonzero(inside & (np.hypot(right, down) <= radius))
            spot = y[disc] * width + x[disc]
            last[spot] = disc
            front = (last[spot] == disc) & (depth[disc] < nearest[spot])
            nearest[spot[front]] = depth[disc[front]]
            owner[spot[front]] = disc[front]
    image = np.full((height * width, 3), BACKGROUND)
    filled = owner >= 0
    image[filled] = colours[order][owner[filled]] / 255.0
    return Picture(image.reshape(height, width, 3), nearest.reshape(height, width))


def shade(picture: Picture, strength: float = 12.0) -> Array:
    """The image (height, width, 3) darkened where neighbours are nearer (eye-dome lighting), which shows shape."""
    known = np.isfinite(picture.depth)
    log_depth = np.log(np.where(known, np.maximum(picture.depth, 1e-6), 1.0))
    sunk = np.zeros(picture.depth.shape)
    for down, right in ((0, 2), (0, -2), (2, 0), (-2, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
        other = np.roll(log_depth, (down, right), (0, 1))
        valid = known & np.roll(known, (down, right), (0, 1))
        sunk += np.where(valid, np.maximum(log_depth - other, 0), 0) / 8
    return np.where(known[..., None], picture.image * np.exp(-strength * np.minimum(sunk, 0.06))[..., None], BACKGROUND)
