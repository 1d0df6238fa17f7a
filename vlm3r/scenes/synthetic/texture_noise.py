"""The canvas on which textures are painted: pixel coordinates and seeded, seamlessly tiling noise."""

from __future__ import annotations

from functools import cached_property

import numpy as np

Array = np.ndarray


class Canvas:
    """A square picture to be: its size in pixels and its own random numbers."""

    def __init__(self, size: int, seed: tuple[int, ...]) -> None:
        self.size = size
        self.rng = np.random.default_rng([*seed])

    @cached_property
    def uv(self) -> tuple[Array, Array]:
        """Pixel-centre coordinates u (along a row) and v (down the rows) in 0..1, each (size, size)."""
        t = (np.arange(self.size) + 0.5) / self.size
        u, v = np.meshgrid(t, t)
        return u, v

    def noise(self, rows: float, columns: float) -> Array:
        """Noise with zero mean and unit deviation, blurred by Gaussians of so many thousandths of the picture."""
        frequency = np.fft.fftfreq(self.size), np.fft.rfftfreq(self.size)
        down, along = (
            np.exp(-2 * (np.pi * f * max(sigma, 0.3) * self.size / 1024) ** 2)
            for f, sigma in zip(frequency, (rows, columns), strict=True)
        )
        spectrum = np.fft.rfft2(self.rng.standard_normal((self.size, self.size)))
        values = np.fft.irfft2(spectrum * down[:, None] * along[None, :], s=(self.size, self.size))
        return (values - values.mean()) / values.std()

    def filled(self, colour: tuple[float, ...]) -> Array:
        """A picture of one sRGB colour given in 0..255."""
        return np.broadcast_to(np.asarray(colour, float) / 255, (self.size, self.size, 3)).copy()


def tinted(values: Array, tint: tuple[float, float, float] = (1, 1, 1)) -> Array:
    """Grey values (height, width) as RGB, with a tint multiplied in."""
    return values[..., None] * np.asarray(tint, float)


def mixed(first: Array, second: Array, share: Array) -> Array:
    """`first` where `share` (height, width) is 0, `second` where it is 1."""
    return first + share[..., None] * (second - first)


def cell_border(u: Array, v: Array) -> Array:
    """Distance to the border of the unit cell around each point, 0..0.5."""
    return np.minimum(np.minimum(u % 1, 1 - u % 1), np.minimum(v % 1, 1 - v % 1))
