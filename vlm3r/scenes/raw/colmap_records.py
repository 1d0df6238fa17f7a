"""What COLMAP's files say, as they say it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CameraRecord:
    """A camera."""

    camera_id: int
    model: str
    """COLMAP's name of the lens model."""
    width: int
    height: int
    parameters: tuple[float, ...]
    """In the model's order."""


@dataclass(frozen=True)
class ImageRecord:
    """An image with its pose, world-to-camera."""

    name: str
    quaternion: tuple[float, ...]
    """w, x, y, z."""
    translation: tuple[float, ...]
    camera_id: int
