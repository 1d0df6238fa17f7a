"""Which frame shows which object: the 2-D boxes of a scene as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vlm3r.scenes.schema import Array, Frame

Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]


class Sightings:
    """All sightings of objects that have a 3-D box, in the order of frames and of each frame's list.

    Args:
        frames: the frames of a video in order.
        owners: instance id -> position of the object.
        categories: category index of each object, (object,).
        picture_pixels: pixels of one picture, or None where unknown.
    """

    def __init__(
        self, frames: Sequence[Frame], owners: Mapping[int, int], categories: Indices, picture_pixels: int | None
    ) -> None:
        linked = [(f, owners[s.instance_id], s) for f, frame in enumerate(frames) for s in frame.sightings
                  if s.instance_id in owners]  # fmt: skip
        self.frame: Indices = np.array([f for f, _, _ in linked], np.intp)
        """(sighting,) position of the frame."""
        self.object: Indices = np.array([o for _, o, _ in linked], np.intp)
        """(sighting,) position of the object."""
        self.box: Array = np.array([s.box for _, _, s in linked], float).reshape(-1, 4)
        """(sighting, 4) xmin, ymin, xmax, ymax, inclusive pixels."""
        self.fraction: Array = _known([s.visible_fraction for _, _, s in linked])
        """(sighting,) visible share of the object, NaN where unknown."""
        pixels = _known([s.pixels for _, _, s in linked])
        area = (self.box[:, 2] - self.box[:, 0] + 1) * (self.box[:, 3] - self.box[:, 1] + 1)
        self.share: Array = np.where(np.isnan(pixels), area, pixels) / (picture_pixels or np.nan)
        """(sighting,) share of the picture that shows the object; the 2-D box's where pixels were not counted."""
        self.times: Array = _known([f.timestamp for f in frames])
        """(frame,) seconds, NaN where unknown."""
        self._categories = categories

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of frames and of objects."""
        return len(self.times), len(self._categories)

    def seen(self, min_share: float = 0.0, min_fraction: float = 0.0) -> Mask:
        """Whether each frame shows each object, (frame, object); sizes that are unknown pass."""
        large = ~(self.share < min_share) & ~(self.fraction < min_fraction)
        result = np.zeros(self.shape, bool)
        result[self.frame[large], self.object[large]] = True
        return result

    @cached_property
    def unique(self) -> Mask:
        """Whether an object is the only sighting of its category in a frame, of any size, (frame, object)."""
        kinds = self._categories[self.object]
        counts = np.zeros((self.shape[0], 1 + self._categories.max(initial=-1)), int)
        np.add.at(counts, (self.frame, kinds), 1)
        alone = counts[self.frame, kinds] == 1
        result = np.zeros(self.shape, bool)
        result[self.frame[alone], self.object[alone]] = True
        return result

    @cached_property
    def boxes(self) -> Array:
        """2-D box of each object in each frame, (frame, object, 4), NaN where it is not seen; the first one counts."""
        result = np.full((*self.shape, 4), np.nan)
        result[self.frame[::-1], self.object[::-1]] = self.box[::-1]
        return result

    def first_frames(self, min_share: float = 0.0) -> Indices:
        """Position of the first frame that shows each object, (object,); -1 where none does."""
        seen = self.seen(min_share)
        return np.where(seen.any(0), seen.argmax(0), -1) if len(seen) else np.full(self.shape[1], -1)

    def first_times(self, min_share: float = 0.0) -> Array:
        """Seconds until each object is first shown, (object,); NaN where it never is or times are unknown."""
        return _at(self.times, self.first_frames(min_share))

    def intervals(self, position: int, min_share: float = 0.0) -> Array:
        """Start and end in seconds of each run of consecutive frames that show an object, (run, 2)."""
        shown = np.concatenate([[False], self.seen(min_share)[:, position], [False]])
        edges = np.flatnonzero(shown[1:] != shown[:-1]).reshape(-1, 2)
        return self.times[edges - [0, 1]]


def _known(values: Sequence[float | None]) -> Array:
    return np.array([np.nan if v is None else v for v in values], float)


def _at(values: Array, positions: Indices) -> Array:
    """`values[positions]`, NaN where the position is -1."""
    return np.concatenate([values, [np.nan]])[positions]
