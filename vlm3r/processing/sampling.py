"""Which frames of a video the model sees, and the times that its prompt states.

Three pieces of published code choose frames for VLM-3R in three ways, and the benchmark uses two of them. All are
here, named after their use, as arithmetic on frame counts: nothing in this file opens a video.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError

Strategy = Literal["uniform", "fps", "eval_pyav", "all"]
Times = Literal["published", "true"]


@dataclass(frozen=True, eq=False)
class FrameChoice:
    """Frames chosen from one video, and what the prompt says about them."""

    indices: NDArray[np.int64]
    """(frame,) numbers of the chosen frames, counting decoded frames from 0 in presentation order; may repeat."""

    times: NDArray[np.float64]
    """(frame,) seconds that the time sentence states for each frame (see `FrameSampling.times`)."""

    duration: float
    """Seconds that the time sentence states for the whole video: the frame count over the average frame rate."""

    @property
    def time_instruction(self) -> str:
        """The sentence that tells the language model when the frames were taken."""
        return time_instruction(self.duration, self.times)


@dataclass(frozen=True)
class FrameSampling:
    """How frames are chosen from a video; raises UserError for a value that cannot work."""

    strategy: Strategy = "uniform"
    """`uniform`: exactly `num_frames` indices by linspace, truncated; a short video repeats frames.
    `fps`: every round(frame rate / `video_fps`)-th frame, or `uniform` when that gives more than `num_frames`.
    `eval_pyav`: linspace over the frame count in the container's header, without repeats, the last frame added where
    linspace misses it, and frames that do not decode lost: the count can differ from `num_frames` either way.
    `all`: every frame; `num_frames` is ignored."""

    num_frames: int | None = 32
    """Frames to choose. None, for `fps` only: no upper limit (the published `frames_upbound` 0)."""

    video_fps: float = 1.0
    """Frames a second that `fps` aims at. The step between frames is a whole number of frames, at least 1."""

    force_sample: bool = False
    """Makes `fps` choose as `uniform` does even where its own frames are few enough. The published training sets it."""

    times: Times = "published"
    """`published`: the times of the published time sentence. After `fps` without resampling these are index / step,
    which is wrong by the factor `video_fps` where that is not 1; otherwise index / average frame rate.
    `true`: when each frame is shown, which also holds at a variable frame rate."""

    def __post_init__(self) -> None:
        check_name("sampling strategy", self.strategy, get_args(Strategy))
        check_name("kind of times", self.times, get_args(Times))
        if self.num_frames is None:
            if self.strategy not in ("fps", "all"):
                raise UserError(f"num_frames is needed for the sampling strategy {self.strategy!r}: give 1 or more")
            if self.force_sample:
                raise UserError("force_sample resamples to num_frames, which is None: give 1 or more frames")
        elif isinstance(self.num_frames, bool) or not isinstance(self.num_frames, (int, np.integer)):
            raise UserError(f"num_frames must be a whole number, not {self.num_frames!r}: give 1 or more")
        elif self.num_frames < 1:
            raise UserError(f"num_frames is {self.num_frames}: give 1 or more frames")
        if not (np.isfinite(self.video_fps) and self.video_fps > 0):
            raise UserError(f"video_fps is {self.video_fps}: give a number of frames a second above 0")

    @classmethod
    def published_training(
        cls, num_frames: int | None = 32, video_fps: float = 1.0, force_sample: bool = True
    ) -> FrameSampling:
        """The choice of the published training; its script sets `force_sample`."""
        return cls("fps", num_frames, video_fps, force_sample)

    @classmethod
    def published_demo(cls, num_frames: int = 32, video_fps: float = 1.0, force_sample: bool = True) -> FrameSampling:
        """The choice of the published video demo, which takes `force_sample` from the checkpoint's configuration."""
        return cls("fps", num_frames, video_fps, force_sample)

    @classmethod
    def published_eval_pyav(cls, num_frames: int = 32) -> FrameSampling:
        """The choice of the published benchmark wrapper with its default video backend, pyav."""
        return cls("eval_pyav", num_frames)

    @classmethod
    def published_eval_decord(cls, num_frames: int = 32) -> FrameSampling:
        """The choice of the published benchmark wrapper with the video backend decord."""
        return cls("uniform", num_frames)

    def choose(
        self,
        total_frames: int,
        fps: float,
        *,
        header_frames: int | None = None,
        frame_times: NDArray[np.float64] | None = None,
    ) -> FrameChoice:
        """Frames chosen from a video of `total_frames` frames that decode, at `fps` frames a second on average.

        Args:
            total_frames: Number of frames that decode; no index reaches it.
            fps: Average frame rate in frames a second.
            header_frames: Frame count in the container's header, used by `eval_pyav` alone; None or 0: unknown, in
                which case `total_frames` stands in for it.
            frame_times: (total_frames,) seconds at which each frame is shown, for `times="true"`; None: index / fps.

        Raises:
            UserError: No frame, or a frame rate that is not positive.
        """
        if total_frames < 1:
            raise UserError("the video has no frame that can be decoded: give another file")
        if not (np.isfinite(fps) and fps > 0):
            raise UserError(f"the video's frame rate is {fps}: state a frame rate above 0")
        indices, divisor = self._indices(total_frames, fps, header_frames or total_frames)
        if self.times == "published":
            times = indices / divisor
        else:
            times = indices / fps if frame_times is None else np.asarray(frame_times, np.float64)[indices]
        return FrameChoice(indices, times, total_frames / fps)

    def _indices(self, total_frames: int, fps: float, header_frames: int) -> tuple[NDArray[np.int64], float]:
        """Chosen indices, and the number that the published sentence divides them by to get seconds."""
        if self.strategy == "all":
            return np.arange(total_frames), fps
        if self.strategy == "fps":
            step = max(1, round(fps / self.video_fps))
            indices = np.arange(0, total_frames, step)
            if self.num_frames is None or (len(indices) <= self.num_frames and not self.force_sample):
                return indices, step
        assert self.num_frames is not None
        if self.strategy == "eval_pyav":
            spread = _linspace(header_frames, min(header_frames, self.num_frames))
            indices = np.unique(np.append(spread, header_frames - 1))
            return indices[indices < total_frames], fps
        return _linspace(total_frames, self.num_frames), fps


def time_instruction(duration_s: float, times_s: Iterable[float]) -> str:
    """The published sentence stating how long the video is and when its frames were taken.

    Args:
        duration_s: Length of the video in seconds.
        times_s: Time of each frame in seconds.
    """
    times = [f"{time:.2f}s" for time in times_s]
    return (
        f"The video lasts for {duration_s:.2f} seconds, and {len(times)} frames are uniformly sampled from it. "
        f"These frames are located at {','.join(times)}."
        "Please answer the following questions related to this video."
    )


def _linspace(total_frames: int, num_frames: int) -> NDArray[np.int64]:
    """(num_frames,) indices spread over the video, first and last frame included, truncated to whole numbers."""
    return np.linspace(0, total_frames - 1, num_frames, dtype=np.int64)


def check_name(what: str, name: str, known: tuple[str, ...]) -> None:
    """Raises UserError naming the nearest known name when `name` is not known."""
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0)
        raise UserError(f"unknown {what} {name!r}: did you mean {near[0]!r}? (known: {', '.join(known)})")
