"""Frames of a video, a directory of images or a list of images, with their true numbers and times.

PyAV reads every file; decord is an alternative for common files and never a silent stand-in. Both give the same frames
for the same numbers. At most the chosen frames are in memory. What is odd but usable about a file (it ends early, it is
rotated, its frame rate varies) is in `notes`; what is not usable raises UserError.

Damage is found where FFmpeg reports it; a flipped bit that still decodes to something cannot be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import __version__ as pillow_version

from vlm3r.errors import UserError
from vlm3r.processing.container import FrameTable, quarter_turns, read_table
from vlm3r.processing.decoders import TableMismatch, available_decoders, get_decoder, pyav_frames
from vlm3r.processing.image_frames import IMAGE_SUFFIXES, image_frames, image_size, list_images
from vlm3r.processing.sampling import FrameChoice, FrameSampling

__all__ = [
    "Frame",
    "VideoFrames",
    "VideoInfo",
    "available_decoders",
    "decode_indices",
    "iterate_frames",
    "probe",
    "read_images",
    "read_video",
]

IMAGE_FPS = 30.0
"""Frame rate in frames a second that a directory or list of images is assumed to have."""

StrPath = str | PathLike[str]


@dataclass(frozen=True, eq=False)
class VideoFrames:
    """Chosen frames of one video and where they come from."""

    frames: NDArray[np.uint8]
    """(frame, H, W, 3) RGB, upright."""

    indices: NDArray[np.int64]
    """(frame,) number of each frame in the video, counting frames that decode from 0 in presentation order."""

    timestamps: NDArray[np.float64]
    """(frame,) seconds at which each frame is shown, 0 for the video's first frame."""

    shown_times: NDArray[np.float64] | None
    """(frame,) seconds that the time sentence of the prompt states (see `FrameSampling.times`); None: not known."""

    duration: float
    """Length of the whole video in seconds: its frame count over its average frame rate."""

    fps: float
    """Average frame rate of the video in frames a second."""

    total_frames: int
    """Number of frames of the video that decode."""

    decoder: str
    """Decoder and its version; empty for frames from memory."""

    source: str
    """Path of the video, the directory, or the first image; empty for frames from memory."""

    notes: tuple[str, ...] = ()
    """What is odd about the video, one line each, such as "variable frame rate"; to be shown to the user."""

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[-1] != 3 or self.frames.dtype != np.uint8:
            raise ValueError(f"frames must be (frame, H, W, 3) uint8, not {self.frames.shape} {self.frames.dtype}")
        for name in ("indices", "timestamps", "shown_times"):
            value = getattr(self, name)
            if value is not None and value.shape != (len(self.frames),):
                raise ValueError(f"{name} must be (frame,) = ({len(self.frames)},), not {value.shape}")

    @classmethod
    def from_array(cls, frames: NDArray[np.uint8], timestamps: Sequence[float] | None = None) -> VideoFrames:
        """Frames (frame, H, W, 3) uint8 from memory, with the seconds at which each was taken if known.

        Without times, one frame a second is assumed and `shown_times` is None. The length of the video is taken to be
        the last time plus the mean gap between frames.
        """
        count = len(frames)
        times = np.arange(count, dtype=np.float64) if timestamps is None else np.asarray(timestamps, np.float64)
        if timestamps is not None and np.any(np.diff(times) < 0):
            raise ValueError("timestamps must not descend: frames stand in the order of time")
        gap = float(times[-1] - times[0]) / (count - 1) if count > 1 and times.shape == (count,) else 1.0
        duration = float(times[-1]) + gap if len(times) else 0.0
        shown = None if timestamps is None else times
        return cls(frames, np.arange(count), times, shown, duration, 1 / gap if gap > 0 else 1.0, count, "", "")

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True)
class VideoInfo:
    """What a video is, without its frames."""

    source: str
    """Path of the video or directory."""

    width: int
    """Pixels, upright."""

    height: int
    """Pixels, upright."""

    fps: float
    """Average frame rate in frames a second."""

    total_frames: int
    """Number of frames that the file's packets promise; damage inside the file is only found by decoding."""

    header_frames: int
    """Frame count in the container's header; 0: it has none."""

    duration: float
    """Length in seconds."""

    container: str
    """FFmpeg's name of the container format; "images" for a directory."""

    codec: str
    """FFmpeg's name of the codec; "images" for a directory."""

    rotation: int
    """Degrees counter-clockwise (0, 90, 180, 270) by which stored frames are turned to be upright."""

    notes: tuple[str, ...]
    """What is odd about the video, one line each."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of `iterate_frames`."""

    index: int
    """Number of the frame in the video."""

    timestamp: float
    """Seconds since the first frame."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB, upright."""


def read_video(
    path: StrPath, sampling: FrameSampling | None = None, decoder: str = "auto", image_fps: float = IMAGE_FPS
) -> VideoFrames:
    """Chosen frames of a video file or of a directory of images.

    Args:
        path: Video file, a directory whose images sorted by name are the frames, or a single image.
        sampling: Which frames; default 32 spread evenly.
        decoder: "auto" (which is pyav), "pyav" or "decord".
        image_fps: Frame rate assumed for images.

    Raises:
        UserError: The file is missing, empty, incomplete or no video, a chosen frame is damaged, or the decoder is
            unknown, missing, or cannot read this file.
    """
    chosen = sampling or FrameSampling()
    return _read(Path(path), lambda *video: _choose(chosen, *video), decoder, image_fps)


def decode_indices(
    path: StrPath, indices: Sequence[int], decoder: str = "auto", image_fps: float = IMAGE_FPS
) -> VideoFrames:
    """Frames with the given numbers, in the given order; `shown_times` are the true ones. Otherwise as `read_video`.

    Raises:
        UserError: As `read_video`, and if a number is negative or not below the count of frames.
    """
    wanted = np.asarray(indices, np.int64).reshape(-1)

    def choose(total: int, fps: float, header: int, times: NDArray[np.float64]) -> FrameChoice:
        outside = wanted[(wanted < 0) | (wanted >= total)]
        if len(outside) or not len(wanted):
            which = f"frame {outside[0]} does not exist" if len(outside) else "no frame was asked for"
            raise UserError(f"{path}: {which}: give numbers from 0 to {total - 1}")
        return FrameChoice(wanted, times[wanted], total / fps)

    return _read(Path(path), choose, decoder, image_fps)


def read_images(paths: Iterable[StrPath], sampling: FrameSampling | None = None, fps: float = IMAGE_FPS) -> VideoFrames:
    """Chosen frames of a list of images, taken in the given order; other sizes are resized to the first image's.

    Raises:
        UserError: The list is empty, or a chosen image is missing or cannot be read.
    """
    chosen = sampling or FrameSampling()
    return _read_images([Path(path) for path in paths], lambda *video: _choose(chosen, *video), fps, None)


def probe(path: StrPath, image_fps: float = IMAGE_FPS) -> VideoInfo:
    """What a video file or directory of images is; decodes one frame, for the upright size.

    Raises:
        UserError: As `read_video`.
    """
    source = Path(path)
    images = _images_of(source)
    if images is not None:
        (width, height), count = image_size(images[0]), len(images)
        notes = (_assumed(image_fps),)
        seconds = count / image_fps
        return VideoInfo(str(path), width, height, image_fps, count, 0, seconds, "images", "images", 0, notes)
    table = read_table(source)
    try:
        height, width = next(pyav_frames(source, table, [0]))[1].shape[:2]
    except TableMismatch as mismatch:
        table = mismatch.repaired
        height, width = next(pyav_frames(source, table, [0]))[1].shape[:2]
    turns = quarter_turns(source)
    return VideoInfo(
        str(path),
        width,
        height,
        table.fps,
        len(table.times),
        table.header_frames,
        table.duration,
        table.container,
        table.codec,
        90 * turns,
        _notes(table, turns),
    )


def iterate_frames(
    path: StrPath, every: int = 1, decoder: str = "auto", image_fps: float = IMAGE_FPS
) -> Iterator[Frame]:
    """Every `every`-th frame in order, with constant memory whatever the length. A file that ends early ends early.

    Raises:
        UserError: As `read_video`; damage inside the file only when it is reached.
    """
    if every < 1:
        raise UserError(f"every is {every}: give 1 for all frames, 2 for every other, and so on")
    source, (_, _, decode) = Path(path), get_decoder(decoder)
    images = _images_of(source)
    if images is not None:
        for index, image, _ in image_frames(images, range(0, len(images), every)):
            yield Frame(index, index / image_fps, image)
        return
    table, after = read_table(source), -np.inf
    while True:
        wanted = [index for index in range(0, len(table.times), every) if table.times[index] > after]
        try:
            for index, image in decode(source, table, wanted):
                after = float(table.times[index])
                yield Frame(index, after, image)
            return
        except TableMismatch as mismatch:
            table = mismatch.repaired


_Choose = Callable[[int, float, int, NDArray[np.float64]], FrameChoice]


def _choose(sampling: FrameSampling, total: int, fps: float, header: int, times: NDArray[np.float64]) -> FrameChoice:
    return sampling.choose(total, fps, header_frames=header, frame_times=times)


def _read(path: Path, choose: _Choose, decoder: str, image_fps: float) -> VideoFrames:
    """Frames of a file or directory, chosen by `choose` from the count, rate, header count and times of its frames."""
    _, version, decode = get_decoder(decoder)
    images = _images_of(path)
    if images is not None:
        return _read_images(images, choose, image_fps, path)
    table = read_table(path)
    for _ in range(4):  # each repair removes one kind of disagreement between the packets and what decodes
        choice = choose(len(table.times), table.fps, table.header_frames, table.times)
        try:
            frames = _gather(path, choice.indices, decode(path, table, np.unique(choice.indices).tolist()))
        except TableMismatch as mismatch:
            table = mismatch.repaired
            continue
        return VideoFrames(
            frames,
            choice.indices,
            table.times[choice.indices],
            choice.times,
            choice.duration,
            table.fps,
            len(table.times),
            version,
            str(path),
            _notes(table, quarter_turns(path)),
        )
    raise UserError(f"{path}: its frames cannot be told apart reliably: convert it to H.264 in MP4")


def _read_images(paths: list[Path], choose: _Choose, fps: float, directory: Path | None) -> VideoFrames:
    """Frames chosen from images."""
    if not paths:
        raise UserError("the list of images is empty: give at least one image")
    if not (np.isfinite(fps) and fps > 0):
        raise UserError(f"the frame rate of the images is {fps}: give a number above 0")
    times = np.arange(len(paths)) / fps
    choice = choose(len(paths), fps, len(paths), times)
    width, height = image_size(paths[0])
    resized: list[int] = []

    def images() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for index, image, changed in image_frames(paths, np.unique(choice.indices).tolist(), (width, height)):
            resized.extend([index] * changed)
            yield index, image

    source = str(directory or paths[0])
    frames = _gather(Path(source), choice.indices, images())
    notes = (_assumed(fps),)
    if resized:
        notes += (f"{len(resized)} images were resized to {width}x{height}, the size of the first",)
    return VideoFrames(
        frames,
        choice.indices,
        times[choice.indices],
        choice.times,
        choice.duration,
        fps,
        len(paths),
        f"Pillow {pillow_version}",
        source,
        notes,
    )


def _gather(path: Path, indices: NDArray[np.int64], decoded: Iterator[tuple[int, NDArray[np.uint8]]]) -> NDArray:
    """(frame, H, W, 3) frames in the order of `indices`, which may repeat, from frames that come in any order."""
    frames = None
    for index, image in decoded:
        if frames is None:
            frames = np.empty((len(indices), *image.shape), np.uint8)
        if image.shape != frames.shape[1:]:
            size = "{1}x{0}".format(*image.shape)
            raise UserError(f"{path}: frame {index} changes size to {size}: convert the video to one size")
        frames[indices == index] = image
    assert frames is not None
    return frames


def _images_of(path: Path) -> list[Path] | None:
    """The images that a path stands for; None for a video file."""
    if path.is_dir():
        return list_images(path)
    return [path] if path.suffix.lower() in IMAGE_SUFFIXES else None


def _assumed(fps: float) -> str:
    return f"images: {fps:g} frames a second assumed"


def _notes(table: FrameTable, quarter_turns: int) -> tuple[str, ...]:
    return (*table.notes, f"rotated {90 * quarter_turns} degrees") if quarter_turns else table.notes
