"""A video file recorded beside pictures with time stamps: which of its frames shows what a picture shows.

Where the file begins on the pictures' clock, and how it is turned, is written nowhere that can be relied on. So both
are found by comparing pictures, and a recording that resembles none of them is not used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3r.errors import UserError
from vlm3r.processing.container import read_table
from vlm3r.processing.video import decode_indices, iterate_frames, probe
from vlm3r.scenes.raw.upright import turn_picture
from vlm3r.scenes.schema import Array

Picture = NDArray[np.uint8]

MAX_OFFSET = 3.0
"""Seconds that the recording may begin before or after the first picture."""
LIKENESS = 0.8
"""Least mean correlation of the compared pictures; unrelated ones stay below 0.5."""
SLACK = 0.05
"""Seconds that a frame may be away from the picture that it stands for."""
ASPECT_TOLERANCE = 0.02
COMPARED_FPS = 30.0
PENALTY = 1e-3
"""Correlation that a second of offset must gain, so that a still camera is taken to begin with its pictures."""
_LONG, _SHORT = 32, 24


@dataclass(frozen=True)
class Match:
    """How a recording relates to upright pictures with time stamps."""

    offset: float
    """Seconds to add to a picture's time for the recording's time."""
    turns: int
    """Quarter turns counter-clockwise that bring the recording's frames upright."""
    likeness: float
    """Mean correlation of the compared pictures, at most 1."""


class Recording:
    """A video file; frames are given as stored there, with the file's own rotation applied.

    Raises:
        UserError: the file is missing, damaged or no video.
    """

    def __init__(self, path: Path) -> None:
        info = probe(path)
        self.path = path
        self.width, self.height, self.fps = info.width, info.height, info.fps

    def turned_size(self, width: int, height: int) -> tuple[int, int] | None:
        """The recording's width and height when turned to the shape of a picture; None where neither way fits."""
        for size in ((self.width, self.height), (self.height, self.width)):
            if abs(size[0] * height / (size[1] * width) - 1) <= ASPECT_TOLERANCE:
                return size
        return None

    def match(self, times: Sequence[float], pictures: Sequence[Picture]) -> Match | None:
        """How the recording relates to upright pictures of ascending times, or None where it does not show them.

        Decodes the whole recording once.
        """
        stamps, thumbnails = self._thumbnails()
        flat = (self.height, self.width)
        best: Match | None = None
        for turns in range(4):
            if not _same_shape(turn_picture(pictures[0], -turns).shape[:2], flat):
                continue
            wanted = np.stack([_thumbnail(turn_picture(picture, -turns), flat) for picture in pictures])
            offset, likeness = _best_offset(wanted @ thumbnails.T, np.asarray(times, float), stamps)
            if best is None or likeness > best.likeness:
                best = Match(offset, turns, likeness)
        return best if best is not None and best.likeness >= LIKENESS else None

    def frames_at(self, times: Sequence[float]) -> Iterator[Picture | None]:
        """The frame nearest to each of some ascending times, None where none is within `SLACK`; two are in memory.

        Raises:
            UserError: the recording is damaged.
        """
        decoded = iterate_frames(self.path)
        before = after = next(decoded, None)
        for time in times:
            while after is not None and after.timestamp < time:
                before, after = after, next(decoded, None)
            around = [frame for frame in (before, after) if frame is not None]
            near = min(around, key=lambda frame: abs(frame.timestamp - time), default=None)
            yield near.image if near is not None and abs(near.timestamp - time) <= SLACK else None

    def frame_at(self, time: float) -> Picture | None:
        """The frame nearest to a time, or None where none is within `SLACK`."""
        index = int(np.abs(self._times - time).argmin())
        return decode_indices(self.path, [index]).frames[0] if abs(self._times[index] - time) <= SLACK else None

    @cached_property
    def _times(self) -> Array:
        return read_table(self.path).times

    def _thumbnails(self) -> tuple[Array, Array]:
        """Times (n,) and thumbnails (n, pixel) of at most `COMPARED_FPS` frames a second."""
        stamps, thumbnails = [], []
        for frame in iterate_frames(self.path, every=max(1, round(self.fps / COMPARED_FPS))):
            stamps.append(frame.timestamp)
            thumbnails.append(_thumbnail(frame.image, (self.height, self.width)))
        if not stamps:
            raise UserError(f"{self.path}: has no frame that can be decoded; download it again")
        return np.asarray(stamps), np.stack(thumbnails)


def _best_offset(likeness: Array, times: Array, stamps: Array) -> tuple[float, float]:
    """The offset with the highest mean of `likeness` (picture, frame), and that mean.

    At least half of the pictures must fall into the recording.
    """
    step = float(np.median(np.diff(stamps))) if len(stamps) > 1 else SLACK
    best = (0.0, -1.0)
    highest = -np.inf
    for offset in np.arange(-round(MAX_OFFSET / step), round(MAX_OFFSET / step) + 1) * step:
        wanted = times + offset
        nearest = np.abs(stamps[None] - wanted[:, None]).argmin(axis=1)
        covered = np.abs(stamps[nearest] - wanted) <= SLACK
        if covered.sum() * 2 < len(times):
            continue
        mean = float(likeness[np.flatnonzero(covered), nearest[covered]].mean())
        if mean - PENALTY * abs(offset) > highest:
            highest, best = mean - PENALTY * abs(offset), (float(offset), mean)
    return best


def _same_shape(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Whether both are wide, or both high; squares are either."""
    return (first[0] - first[1]) * (second[0] - second[1]) >= 0


def _thumbnail(picture: Picture, shape: tuple[int, int]) -> Array:
    """Grey values (pixel,) of mean 0 and length 1, wide or high as `shape` is."""
    size = (_LONG, _SHORT) if shape[1] >= shape[0] else (_SHORT, _LONG)
    grey = np.asarray(Image.fromarray(picture).convert("L").resize(size, Image.Resampling.BOX), float).ravel()
    grey -= grey.mean()
    return grey / max(float(np.linalg.norm(grey)), 1e-6)
