"""Files of one scene: the H.264 video, and depth and instance maps as 16-bit PNG."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from vlm3r.files import replacing

from .shapes import Array

MILLIMETRES = 1000
REPEATABLE = {"x264-params": "mbtree=0"}
"""With macroblock trees, x264's output depends on what happens to lie in memory beside the frames."""
TICK = Fraction(1, 90000)
"""Seconds by which times of frames are counted in videos whose frames are not evenly spaced."""
FARTHEST = 65.0
"""Metres; what is farther is stored as unknown."""


def write_video(
    path: Path, frames: Iterable[Array], fps: float, quality: int = 20, times: Iterable[float] | None = None
) -> None:
    """Encode uint8 frames (height, width, 3) as H.264; the file appears whole or not at all.

    One thread and fixed options, so that equal frames give equal bytes with the same encoder build.

    Args:
        path: an `.mp4` file.
        frames: pictures of one size with even width and height.
        fps: frames per second.
        quality: H.264's constant rate factor; smaller is better and larger.
        times: seconds from the first frame at which each is shown, ascending; evenly spaced where not given.
    """
    clock = iter(times) if times is not None else None
    with (
        replacing(path) as building,
        av.open(str(building), "w", format="mp4", options={"movflags": "faststart"}) as out,
    ):
        stream = None
        for frame in frames:
            if stream is None:
                stream = out.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
                if clock is not None:
                    stream.codec_context.time_base = TICK
                stream.options = {"crf": str(quality), "preset": "medium", "threads": "1", "g": "48"} | REPEATABLE
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            if clock is not None:
                picture.time_base, picture.pts = TICK, round(next(clock) / TICK)
            out.mux(stream.encode(picture))
        if stream is not None:
            out.mux(stream.encode())


def write_depth(path: Path, depth: Array) -> None:
    """Write metres (height, width) as 16-bit millimetres; 0 is unknown or farther than `FARTHEST`."""
    known = np.isfinite(depth) & (depth > 0) & (depth < FARTHEST)
    _write_png(path, np.where(known, np.rint(np.where(known, depth, 0) * MILLIMETRES), 0))


def write_instances(path: Path, instances: Array) -> None:
    """Write instance ids (height, width) as 16-bit numbers; 0 is no object."""
    _write_png(path, instances)


def _write_png(path: Path, values: Array) -> None:
    Image.fromarray(values.astype(np.uint16)).save(path, format="PNG", compress_level=3)


def read_png(path: Path) -> Array:
    """The numbers (height, width) in a 16-bit PNG; divide depth by `MILLIMETRES`."""
    with Image.open(path) as image:
        return np.asarray(image).astype(np.int64)
