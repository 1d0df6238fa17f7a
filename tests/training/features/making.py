"""Videos and extraction settings for tests of feature stores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from vlm3r.training.features import EncoderSource, ExtractOptions

FPS = 4


def write_video(path: Path, frames: int, seed: int) -> Path:
    """A video of blurred noise that drifts, at 4 frames a second."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = coarse.repeat(12, axis=0).repeat(12, axis=1)  # (72, 96, 3)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        for index in range(frames):
            shifted = np.ascontiguousarray(np.roll(picture, 5 * index, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shifted, "rgb24")))
        container.mux(stream.encode())
    return path


@dataclass(frozen=True)
class Made:
    """A store of two videos of different numbers of frames, and what it was made with."""

    store: Path
    videos: tuple[Path, Path]
    source: EncoderSource
    checkpoint: Path


def options_for(source: EncoderSource, **changes) -> ExtractOptions:
    return ExtractOptions(**({"source": source, "device": "cpu", "workers": 1} | changes))
