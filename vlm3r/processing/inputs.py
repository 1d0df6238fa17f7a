"""What a caller may give as videos and pictures, brought to one form per question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from vlm3r.errors import UserError
from vlm3r.processing.image_frames import IMAGE_SUFFIXES, open_rgb, to_rgb
from vlm3r.processing.video import VideoFrames

VideoReader = Callable[[Path], VideoFrames]


def per_question(value: Any, count: int, single: bool, what: str) -> list[Any]:
    """One entry per question; a missing argument gives None for each.

    Raises:
        ValueError: several questions and another number of entries.
    """
    if value is None:
        return [None] * count
    if single:
        return [value]
    if not isinstance(value, list | tuple) or len(value) != count:
        raise ValueError(f"{count} questions need a list of {count} {what} (None where a question has none)")
    return list(value)


def videos_of(value: Any, timestamps: Any, read: VideoReader) -> list[VideoFrames]:
    """The videos of one question.

    Args:
        value: None, one video, or a list of videos; a video is a path, a `VideoFrames`, an array
            `(frame, H, W, 3)` uint8, or a list of pictures of one size.
        timestamps: seconds of each frame, for one array or list of pictures.
        read: reads a video file or a folder of frames.

    Raises:
        UserError: a file cannot be read.
        ValueError: something else was given, or no frames.
    """
    if value is None:
        return []
    several = isinstance(value, list | tuple) and len(value) > 0 and not is_picture(value[0])
    videos = list(value) if several else [value]
    if timestamps is not None and len(videos) > 1:
        raise ValueError("timestamps belong to one video; give VideoFrames where a question has several")
    return [_video_of(video, timestamps, read) for video in videos]


def _video_of(video: Any, timestamps: Sequence[float] | None, read: VideoReader) -> VideoFrames:
    if isinstance(video, VideoFrames):
        return video
    if isinstance(video, str | Path):
        return read(Path(video))
    if isinstance(video, list | tuple):
        frames = [np.asarray(picture_of(picture)) for picture in video]
        if len({frame.shape for frame in frames}) != 1:
            raise ValueError(f"the frames of a video must be pictures of one size, and at least one; got {len(frames)}")
        return VideoFrames.from_array(np.stack(frames), timestamps)
    return VideoFrames.from_array(np.asarray(video), timestamps)


def pictures_of(value: Any) -> list[Image.Image]:
    """The still images of one question: None, one picture or path, or a list of them; RGB, of any sizes."""
    if value is None:
        return []
    pictures = [value] if is_picture(value) or isinstance(value, str | Path) else list(value)
    return [picture_of(picture) for picture in pictures]


def picture_of(value: Any) -> Image.Image:
    """One picture in RGB: a path, a PIL image, or an array `(H, W)`, `(H, W, 3)` or `(H, W, 4)` of uint8.

    Raises:
        UserError: the file cannot be read, or it has more than 8 bits a channel.
        ValueError: an array of another shape or type.
    """
    if isinstance(value, str | Path):
        return open_rgb(Path(value))
    if isinstance(value, Image.Image):
        return to_rgb(value, "a picture")
    array = np.asarray(value)
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (3, 4))):
        raise ValueError(f"a picture must be (H, W), (H, W, 3) or (H, W, 4) uint8, not {array.shape} {array.dtype}")
    return to_rgb(Image.fromarray(array), "a picture")


def is_picture(value: Any) -> bool:
    """Whether `value` is one picture rather than a path, a video or a list."""
    return isinstance(value, Image.Image) or (isinstance(value, np.ndarray | Tensor) and value.ndim in (2, 3))


def refuse_single_picture(path: Path) -> None:
    """Raise `UserError` if a video's path is that of a still picture."""
    if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
        raise UserError(f"{path} is a picture, not a video: give it as an image, or give the folder of its frames")
