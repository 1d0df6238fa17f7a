"""Sizes of written pictures, and what resizing does to their camera."""

from __future__ import annotations

from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.schema import Intrinsics

ASPECT_TOLERANCE = 0.02
PUBLISHED_SIZES = {
    "scannet": (640, 480),
    "scannetpp": (640, 480),
    "scannetpp/dslr": (584, 388),
    "arkitscenes": (512, 384),
}
"""Width and height of pictures that lie, by data set and route. The published DSLR pictures have 389 rows, which H.264
cannot hold: its pictures have even sizes."""


def resized_camera(camera: Intrinsics, width: int, height: int) -> Intrinsics:
    """The camera of a picture that was resized.

    Raises:
        FieldError: the picture has another shape.
    """
    across, down = width / camera.width, height / camera.height
    if abs(across / down - 1) > ASPECT_TOLERANCE:
        raise FieldError(f"is for {camera.width} x {camera.height} pixels, pictures have {width} x {height}")
    return Intrinsics(width, height, camera.fx * across, camera.fy * down, camera.cx * across, camera.cy * down)


def fitting_size(width: int, height: int, longest: int) -> tuple[int, int]:
    """Even width and height of a picture that keeps its shape and has no side longer than `longest`, nor its own."""
    scale = min(1.0, longest / max(width, height))
    return _even(width * scale), _even(height * scale)


def published_size(dataset: str, route: str, width: int, height: int) -> tuple[int, int]:
    """Width and height of the published pictures, turned where the picture stands."""
    kind = f"{dataset}/{route.split('-')[0]}"
    size = PUBLISHED_SIZES.get(kind, PUBLISHED_SIZES[dataset])
    return size if width >= height else (size[1], size[0])


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))
