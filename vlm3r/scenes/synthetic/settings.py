"""What decides how a synthetic scene looks and how it is filmed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from vlm3r.errors import UserError

from .walk import WalkSettings

Quality = Literal["fast", "standard", "best"]
Backend = Literal["auto", "opengl", "raycast"]

FRAME_RATES: dict[str, float] = {"fast": 4.0, "standard": 10.0, "best": 24.0}
"""Frames per second of the video by quality, where none is asked for."""


@dataclass(frozen=True)
class SceneSettings:
    """Settings of a run; together with seed and room number they decide every byte of a scene but the video's."""

    quality: Quality = "fast"
    """Size of the pictures, smoothness of edges and care of the light: see `render.PRESETS`."""
    fps: float = 0.0
    """Frames per second of the video; 0 takes the quality's own."""
    sampled_frames: int = 32
    """Frames that a model sees, evenly spread; depth and instance maps are kept for these."""
    backend: Backend = "auto"
    """Renderer: OpenGL where the system has it, else ray casting; or one of them by name."""
    attempts: int = 30
    """Homes that are drawn, at most, until one can be furnished and walked through."""
    walk: WalkSettings = field(default_factory=WalkSettings)

    def __post_init__(self) -> None:
        if self.quality not in FRAME_RATES:
            raise UserError(f"quality {self.quality!r} is unknown; give one of {', '.join(FRAME_RATES)}")
        if not 0 <= self.fps <= 60:
            raise UserError(f"{self.fps:g} frames per second: give 1 to 60, or 0 for the quality's own")
        if self.sampled_frames < 1 or self.attempts < 1:
            raise UserError("sampled_frames and attempts must be 1 or more")
        if self.frame_rate * self.walk.shortest < self.sampled_frames:
            least = self.sampled_frames / self.walk.shortest
            raise UserError(
                f"{self.frame_rate:g} frames per second: the shortest walk, {self.walk.shortest:g} s, would have fewer "
                f"frames than the {self.sampled_frames} that a model sees; give {least:.2g} or more"
            )

    @property
    def frame_rate(self) -> float:
        """Frames per second of the video."""
        return self.fps or FRAME_RATES[self.quality]

    def record(self) -> dict[str, Any]:
        """The settings as JSON values."""
        record = asdict(self)
        record["walk"] = {k: list(v) if isinstance(v, tuple) else v for k, v in record["walk"].items()}
        return record
