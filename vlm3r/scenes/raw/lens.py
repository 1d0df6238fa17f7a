"""Lenses of COLMAP models: where a distorted picture shows a ray, and pictures with the distortion taken out.

Pixels are measured from the picture's top left corner, so the middle of a picture of width w is at w / 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3r.scenes import fields
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.resize import resized_camera
from vlm3r.scenes.schema import Array, Intrinsics

PARAMETERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "SIMPLE_PINHOLE": ("f", "cx", "cy"),
        "PINHOLE": ("fx", "fy", "cx", "cy"),
        "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
        "OPENCV_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
    }
)
"""Lens models that can be used -> their parameters in COLMAP's order."""

MAX_COEFFICIENT = 100.0
"""Distortion beyond any lens's."""
STEPS = 20
"""Of the bisection and the fixed-point iteration that invert a distortion."""


@dataclass(frozen=True)
class Lens:
    """A camera whose picture may be distorted."""

    camera: Intrinsics
    """The pinhole part."""
    fisheye: bool = False
    """Whether distances from the middle grow with the angle, not with its tangent."""
    distortion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """k1, k2, p1, p2 of a perspective lens, k1 to k4 of a fisheye."""

    @classmethod
    def of(cls, model: str, size: tuple[int, int], parameters: Sequence[float]) -> Lens:
        """The lens of a COLMAP camera.

        Raises:
            FieldError: the model is unknown, the count of parameters is not the model's, or a value is none of a lens.
        """
        if model not in PARAMETERS:
            raise FieldError(f"lens model {model[:40]!r} is none of {', '.join(PARAMETERS)}; undistort the pictures")
        values = fields.array(list(parameters), (len(PARAMETERS[model]),), f"{model} parameters").tolist()
        fx, fy, cx, cy = (values[0], *values) if model == "SIMPLE_PINHOLE" else values[:4]
        camera = fields.camera(Intrinsics(*size, fx, fy, cx, cy))
        for name, value, limit in (("cx", cx, size[0]), ("cy", cy, size[1])):
            if not 0 <= value <= limit:
                raise FieldError(f"the camera's {name} is {value:g}, outside the picture")
        k = values[4:] or [0.0] * 4
        if max(abs(value) for value in k) > MAX_COEFFICIENT:
            raise FieldError(f"a distortion coefficient is beyond {MAX_COEFFICIENT:g}")
        return cls(camera, model == "OPENCV_FISHEYE", (k[0], k[1], k[2], k[3]))

    @property
    def straight(self) -> bool:
        """Whether it is a pinhole camera."""
        return not self.fisheye and not any(self.distortion)

    def resized(self, width: int, height: int) -> Lens:
        """The lens of the picture resized to another size.

        Raises:
            FieldError: the size has another shape.
        """
        return replace(self, camera=resized_camera(self.camera, width, height))

    def distorted(self, rays: Array) -> Array:
        """Where rays `(..., 2)`, x and y at depth 1, hit the plane of the picture in focal lengths, `(..., 2)`."""
        a, b, c, d = self.distortion
        if self.fisheye:
            radius = np.linalg.norm(rays, axis=-1, keepdims=True)
            return rays * np.where(radius > 0, self._bent(np.arctan(radius)) / np.maximum(radius, 1e-12), 1.0)
        x, y = rays[..., 0], rays[..., 1]
        square = x * x + y * y
        radial = 1 + a * square + b * square**2
        across = x * radial + 2 * c * x * y + d * (square + 2 * x * x)
        down = y * radial + c * (square + 2 * y * y) + 2 * d * x * y
        return np.stack([across, down], axis=-1)

    def undistorted(self, points: Array) -> Array:
        """The inverse of `distorted`: rays for points of the plane; anything where there is no inverse."""
        if self.fisheye:
            radius = np.linalg.norm(points, axis=-1, keepdims=True)
            low, high = np.zeros_like(radius), np.full_like(radius, np.pi / 2 - 1e-6)
            for _ in range(3 * STEPS):
                middle = (low + high) / 2
                beyond = self._bent(middle) > radius
                low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
            return points * np.where(radius > 0, np.tan(low) / np.maximum(radius, 1e-12), 1.0)
        rays = points
        with np.errstate(over="ignore", invalid="ignore"):  # where there is no inverse the rays run away
            for _ in range(STEPS):
                rays = rays - (self.distorted(rays) - points)
        return rays

    def _bent(self, angle: Array) -> Array:
        a, b, c, d = self.distortion
        square = angle**2
        return angle * (1 + square * (a + square * (b + square * (c + square * d))))


class Undistortion:
    """What it takes to make pictures of a lens pinhole pictures of the same size.

    Raises:
        FieldError: no camera is given and the distortion cannot be inverted.
    """

    def __init__(self, lens: Lens, camera: Intrinsics | None = None) -> None:
        """Takes the lens and maybe the camera that undistorted pictures are to have.

        Without one it is chosen as OpenCV's fisheye module and so the ScanNet++ toolkit do it with `balance` 0: the
        pinhole that shows no more than the middles of the four edges of the distorted picture do.
        """
        self.lens = lens
        self.camera = camera or self._all_known()

    def _all_known(self) -> Intrinsics:
        c = self.lens.camera
        middles = np.array([[c.width / 2, 0], [c.width, c.height / 2], [c.width / 2, c.height], [0, c.height / 2]])
        points = (middles - [c.cx, c.cy]) / [c.fx, c.fy]
        rays = self.lens.undistorted(points)
        if not (np.isfinite(rays).all() and np.abs(self.lens.distorted(rays) - points).max() < 1e-4):
            raise FieldError("the lens's distortion cannot be inverted")
        aspect = c.fx / c.fy
        rays = rays * [1, aspect]
        centre = rays.mean(axis=0)
        reach = np.stack([centre - rays.min(axis=0), rays.max(axis=0) - centre])
        focal = float((np.array([c.width, c.height * aspect]) / 2 / reach).max())
        cx, cy = -centre * focal + np.array([c.width, c.height * aspect]) / 2
        return Intrinsics(c.width, c.height, focal, focal / aspect, float(cx), float(cy / aspect))

    def picture(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture `(H, W, 3)` without distortion, between pixels in proportion; edges go on beyond the picture."""
        from scipy import ndimage

        channels = [
            ndimage.map_coordinates(picture[..., channel], self._places, order=1, mode="nearest")
            for channel in range(picture.shape[2])
        ]
        return np.stack(channels, axis=-1).astype(np.uint8)

    def values(self, values: NDArray[Any], empty: int) -> NDArray[Any]:
        """A depth map or mask `(h, w)` of any size without distortion: nearest values, `empty` outside."""
        from scipy import ndimage

        height, width = values.shape
        scale = np.array([height / self.camera.height, width / self.camera.width])[:, None, None]
        step = (slice(None), _centres(self.camera.height, height)[:, None], _centres(self.camera.width, width)[None])
        places = np.rint((self._places[step] + 0.5) * scale - 0.5)
        return ndimage.map_coordinates(values, places, order=0, cval=empty)

    @cached_property
    def _places(self) -> NDArray[np.float32]:
        """(2, H, W) row and column of the distorted picture that each pixel shows, counted between pixel centres."""
        new, old = self.camera, self.lens.camera
        x = (np.arange(new.width) + 0.5 - new.cx) / new.fx
        y = (np.arange(new.height) + 0.5 - new.cy) / new.fy
        rays = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float64)
        hits = self.lens.distorted(rays) * [old.fx, old.fy] + [old.cx, old.cy] - 0.5
        return np.moveaxis(hits[..., ::-1], -1, 0).astype(np.float32)


def _centres(pixels: int, count: int) -> NDArray[np.int64]:
    """The pixels of a long edge that lie nearest to the centres of a number of shorter or longer ones."""
    return ((np.arange(count) + 0.5) * pixels / count).astype(np.int64)
