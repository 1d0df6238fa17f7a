"""A recording of colour, depth and poses frame by frame, whatever kind of file holds it; nothing is aligned yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vlm3r.scenes.schema import Array, Intrinsics


@dataclass(frozen=True, eq=False)
class StreamFrame:
    """One frame as stored."""

    number: int
    """In the sensor's stream, from 0."""
    pose: Array | None
    """(4, 4) camera-to-world in the recording's own world, maybe not finite; None where none is stored."""
    has_colour: bool
    has_depth: bool


class SensorStream(Protocol):
    """An opened recording."""

    kind: str
    """What holds it, for the record."""
    problems: tuple[str, ...]
    """What is missing, broken or left out, one line each."""

    @property
    def frames(self) -> Sequence[StreamFrame]:
        """The frames in order."""
        ...

    @property
    def colour_camera(self) -> Intrinsics:
        """Of the colour pictures."""
        ...

    @property
    def depth_camera(self) -> Intrinsics:
        """Of the depth maps."""
        ...

    def colour(self, position: int) -> NDArray[np.uint8]:
        """The picture `(H, W, 3)` RGB of `frames[position]`.

        Raises:
            UserError: it is missing or damaged.
        """
        ...

    def depth(self, position: int) -> NDArray[np.float32]:
        """The depth map `(h, w)` of `frames[position]`, in metres, 0 unknown.

        Raises:
            UserError: it is missing or damaged.
        """
        ...

    def close(self) -> None:
        """Let go of open files."""
        ...
