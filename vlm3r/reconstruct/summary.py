"""What a reconstruction came to, as an object and as `summary.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import vlm3r
from vlm3r.reconstruct.export import CONFIDENCE_UNIT, DEPTH_UNIT
from vlm3r.reconstruct.options import ReconstructOptions


@dataclass(frozen=True)
class ReconstructionSummary:
    """Counts and measures of one run; the same run gives the same summary."""

    frames: int
    """Frames read."""

    poses: int
    """Frames with a finite pose."""

    pixels: int
    """Pixels of the model's pictures, all frames."""

    pixels_used: int
    """Pixels that went into the cloud."""

    pixels_dropped: dict[str, int]
    """Pixels left out, by reason."""

    points: int
    """Points of the cloud."""

    voxel_size: float
    """Edge of a voxel in metres, after any coarsening."""

    voxel_doublings: int
    """How often the voxel size was doubled to keep to `max_points`."""

    source_size: tuple[int, int]
    """(width, height) of the video in pixels."""

    image_size: tuple[int, int]
    """(width, height) of the model's pictures in pixels."""

    focal_px: float | None
    """Median focal length in pixels of the model's pictures."""

    horizontal_fov_deg: float | None
    """Horizontal field of view that follows from it, in degrees."""

    path_length_m: float
    """Metres that the camera travelled."""

    extent_m: tuple[float, float, float]
    """Size of the cloud's middle 98 % along the first camera's x, y and z."""

    up: tuple[float, float, float]
    """Unit vector against gravity in the first camera's frame, as estimated."""

    up_source: str
    """Where `up` comes from: the floor's or ceiling's normals, or the mean camera."""

    notes: tuple[str, ...]
    """What a reader should know: coarsening, clipping, frames without a pose, the caption."""

    files: tuple[str, ...]
    """Files and folders written, relative to the output folder."""

    def json(self, options: ReconstructOptions) -> str:
        """The text of `summary.json`: this summary, the options, the units and the versions of what made it."""
        document: dict[str, Any] = asdict(self)
        document["options"] = {key: _plain(value) for key, value in asdict(options).items()}
        document["units"] = {
            "length": "metre",
            "depth_png": f"{DEPTH_UNIT} metre per step along the optical axis, 0 = unknown",
            "confidence_png": f"{CONFIDENCE_UNIT} per step",
            "cloud.ply, trajectory": "first camera's frame: x right, y down, z forward (OpenCV)",
            "cloud.glb": "first camera's frame: x right, y up, z backward (glTF)",
        }
        document["versions"] = {"vlm3r": vlm3r.__version__} | {
            name: _version(name) for name in ("numpy", "torch", "trimesh")
        }
        return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    return "infinity" if value == float("inf") else value


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
