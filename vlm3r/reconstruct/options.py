"""What a reconstruction keeps, how fine it is and which files it writes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from vlm3r.errors import UserError

PATCH = 16
"""Side of a CUT3R patch in pixels; both sides of a frame must be multiples of it."""

PointSource = Literal["posed", "world"]
DepthFormat = Literal["png", "npz", "both"]
StateUpdate = Literal["cut3r", "ttt3r"]


@dataclass(frozen=True)
class ReconstructOptions:
    """Settings of `reconstruct`; every value is checked here, and a bad one is a `UserError` that names its field."""

    image_size: int = 512
    """Longer side, in pixels, of the frames that the model sees; at least 16. Published CUT3R weights expect 512."""

    allow_square: bool = False
    """Keep square frames square. By default they lose a quarter of their height (4:3), as the published 512 weights
    saw no square frames."""

    chunk: int = 4
    """Frames that go through the model at a time. Changes memory and speed, not the result."""

    state_update: StateUpdate = "cut3r"
    """How CUT3R's state takes in a frame. `cut3r`: as trained. `ttt3r`: by a learned rate per state token, which keeps
    more of the past in long videos (TTT3R, arXiv:2509.26645)."""

    point_source: PointSource = "posed"
    """Where the cloud's points come from. `posed`: the pointmap of the frame's own camera moved by its estimated pose,
    so that cloud, depth maps and trajectory agree exactly. `world`: the pointmap that the model predicts directly in
    the first camera's frame, which no pose error moves but which need not agree with the other files."""

    confidence_percentile: float = 30.0
    """Share of each frame's pixels, in percent, that is dropped for having the lowest confidence; 0 drops none."""

    min_confidence: float | None = None
    """Drop pixels below this confidence (CUT3R's confidences start at 1); none by default."""

    min_depth: float = 0.0
    """Drop points whose depth along the optical axis is not above this, in metres."""

    max_depth: float = 65.535
    """Drop points farther than this, in metres. The default is the farthest that a 16-bit millimetre map can hold."""

    max_depth_step: float | None = 0.08
    """Drop pixels whose depth differs from a neighbour's by more than this share of their depth: the points that
    networks smear between an object's edge and its background. `None` keeps them."""

    voxel_size: float | Literal["auto"] = "auto"
    """Edge of the voxels that the cloud is averaged in, in metres. `auto`: 1/200 of the first frame's median depth."""

    max_points: int = 1_000_000
    """Most points that the cloud may have; when it has more, voxels double in size until it fits. Bounds the memory:
    about 110 bytes a point."""

    depth_format: DepthFormat = "png"
    """`png`: 16-bit, millimetres. `npz`: float32 depth in metres and confidence. `both`."""

    write_cloud: bool = True
    """Write `cloud.ply` and `cloud.glb`."""

    write_depth: bool = True
    """Write one depth map per frame into `depth/`, and `depth.json`."""

    write_confidence: bool = False
    """Write one confidence map per frame into `confidence/` (16-bit PNG, hundredths)."""

    write_preview: bool = True
    """Write `preview.png`."""

    caption: str | None = None
    """A sentence drawn on the preview and copied into `summary.json`, e.g. a warning about the weights."""

    overwrite: bool = False
    """Replace the files of an earlier reconstruction in the output folder; other files there stay."""

    def __post_init__(self) -> None:
        _require_integer("image_size", self.image_size, PATCH)
        _require_integer("chunk", self.chunk, 1)
        _require_integer("max_points", self.max_points, 8)
        _require_choice("state_update", self.state_update, get_args(StateUpdate))
        _require_choice("point_source", self.point_source, get_args(PointSource))
        _require_choice("depth_format", self.depth_format, get_args(DepthFormat))
        _require_range("confidence_percentile", self.confidence_percentile, 0, 100, upper_open=True)
        _require_range("min_depth", self.min_depth, 0, math.inf, upper_open=True)
        _require_range("max_depth", self.max_depth, 0, math.inf, lower_open=True)
        if self.max_depth <= self.min_depth:
            raise UserError(f"max_depth={self.max_depth}: must be above min_depth={self.min_depth}")
        if self.min_confidence is not None:
            _require_range("min_confidence", self.min_confidence, 0, math.inf, upper_open=True)
        if self.max_depth_step is not None:
            _require_range("max_depth_step", self.max_depth_step, 0, math.inf, lower_open=True)
        if self.voxel_size != "auto":
            if isinstance(self.voxel_size, str):
                raise UserError(f"voxel_size={self.voxel_size!r}: give metres or 'auto'")
            _require_range("voxel_size", self.voxel_size, 0, math.inf, lower_open=True, upper_open=True)


def _require_integer(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"{name}={value!r}: must be a whole number of at least {least}")


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"{name}={value!r}: must be one of {', '.join(choices)}")


def _require_range(
    name: str, value: float, low: float, high: float, *, lower_open: bool = False, upper_open: bool = False
) -> None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    good = good and (low < value if lower_open else low <= value) and (value < high if upper_open else value <= high)
    if not good:
        bounds = f"{'above' if lower_open else 'at least'} {low}"
        if high != math.inf:
            bounds += f" and {'below' if upper_open else 'at most'} {high}"
        raise UserError(f"{name}={value!r}: must be a number {bounds}")
