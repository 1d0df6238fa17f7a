"""One of a scan's recordings as stored, before anything is turned upright or rendered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vlm3r.scenes.schema import Array, Intrinsics


@dataclass(frozen=True, eq=False)
class StoredView:
    """One frame of a recording."""

    frame_id: str
    """As the data set names it."""
    pose: Array | None
    """(4, 4) camera-to-world; None where it is unknown."""
    camera: Intrinsics
    """Of the picture."""
    camera_known: bool
    """Whether the camera is this frame's own and not borrowed from another."""
    has_depth: bool
    """Whether a depth map ships."""


class Footage(Protocol):
    """An opened recording."""

    @property
    def views(self) -> Sequence[StoredView]:
        """Every frame of the video, in order."""
        ...

    @property
    def fps(self) -> float:
        """Frames per second of the video."""
        ...

    @property
    def problems(self) -> Sequence[str]:
        """What was left out or cannot be read, as far as it was noticed."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where cameras, poses, pictures, depth and masks are from."""
        ...

    def pictures(self) -> Iterator[NDArray[np.uint8]]:
        """The views' pictures `(H, W, 3)` in order; raises UserError where one cannot be read."""
        ...

    def picture(self, view: int) -> NDArray[np.uint8]:
        """One view's picture; raises UserError where it cannot be read."""
        ...

    def depth(self, view: int) -> NDArray[np.float32] | None:
        """One view's shipped depth map `(h, w)` in metres, 0 unknown; None where there is none or it is damaged."""
        ...

    def mask(self, view: int) -> NDArray[np.int64] | None:
        """One view's shipped instance ids `(h, w)`; None where there are none or they are damaged."""
        ...

    def close(self) -> None:
        """Let go of open files."""
        ...
