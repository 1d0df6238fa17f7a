"""The features of some videos, computed by one process and written as one shard."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.processing.video import VideoFrames
from vlm3r.training.features.content import Stamp, stamp_of
from vlm3r.training.features.encoders import Encoders, EncoderSource, load_encoders, process_device
from vlm3r.training.features.manifest import PARTS, TENSORS, Manifest, Part
from vlm3r.training.features.shards import VideoRecord, checksum, write_shard
from vlm3r.workers import Engine


@dataclass(frozen=True)
class VideoTask:
    """One video to encode."""

    path: str
    """Where it lies."""
    content: str
    """Hash of its bytes."""
    stamp: Stamp
    """Its size and time of change when it was hashed."""
    parts: tuple[Part, ...]
    """Encoders whose features are still missing."""


@dataclass(frozen=True)
class ShardTask:
    """One shard to write."""

    store: Path
    """Folder of the store."""
    manifest: Manifest
    """What the store is made with."""
    source: EncoderSource
    """The checkpoint."""
    device: str
    """Device as the user named it."""
    engine: Engine
    """What runs the task."""
    videos: tuple[VideoTask, ...]
    """What goes into the shard."""


@dataclass(frozen=True)
class ShardReport:
    """What became of a shard."""

    stored: tuple[str, ...]
    """Content hashes of the videos that are in it."""
    size: int
    """Bytes of the file; 0 where no video could be read."""
    device: str
    """Where the encoders ran."""
    failures: dict[str, str]
    """Path to the reason, for videos that could not be encoded."""
    unwritable: str | None = None
    """Why the shard could not be written, which would stop every other one too."""


def extract_shard(task: ShardTask) -> ShardReport:
    """Encode the videos of a task and write those that can be read as one shard.

    Raises:
        UserError: the checkpoint or the device cannot be used.
    """
    parts = tuple(part for part in PARTS if any(part in video.parts for video in task.videos))
    precision = task.manifest.computed_in
    encoders = load_encoders(task.source, parts, process_device(task.device, task.engine), precision)
    records: list[VideoRecord] = []
    tensors: dict[str, Tensor] = {}
    failures: dict[str, str] = {}
    for video, prepared in _prepared(encoders, task.videos):
        if isinstance(prepared, str):
            failures[video.path] = prepared
            continue
        frames, pixels = prepared
        record, found = _encode(task.manifest, encoders, video, frames, pixels)
        records.append(record)
        tensors |= found
    report = ShardReport(tuple(record.content for record in records), 0, str(encoders.device), failures)
    if not records:
        return report
    try:
        shard = write_shard(task.store, records, tensors)
        return replace(report, size=shard.stat().st_size)
    except UserError as error:
        return replace(report, stored=(), unwritable=str(error))


Prepared = tuple[VideoFrames, Tensor] | str


def _prepared(encoders: Encoders, videos: tuple[VideoTask, ...]) -> Iterator[tuple[VideoTask, Prepared]]:
    """Each video with its frames and pixels, or why it has none; the next is decoded while the caller encodes one."""
    with ThreadPoolExecutor(1) as ahead:
        waiting = None
        for video in videos:
            submitted = video, ahead.submit(_prepare, encoders, video)
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = submitted
        if waiting is not None:
            yield waiting[0], waiting[1].result()


def _prepare(encoders: Encoders, video: VideoTask) -> Prepared:
    try:
        frames = encoders.processor.load_video(video.path)
        pixels = encoders.pixels(frames)
        if stamp_of(video.path) != video.stamp:
            return f"{video.path}: was written to while it was read; run again when it is finished"
    except UserError as error:
        return str(error)
    # A damaged file can fail anywhere in a decoder, with any exception, and must not cost the others.
    except Exception as error:
        return f"{video.path}: cannot be decoded ({type(error).__name__}: {first_line(error)})"
    # Frames of full size would wait in memory for nothing.
    return replace(frames, frames=np.empty((len(frames), 0, 0, 3), np.uint8)), pixels


def _encode(
    manifest: Manifest, encoders: Encoders, video: VideoTask, frames: VideoFrames, pixels: Tensor
) -> tuple[VideoRecord, dict[str, Tensor]]:
    """The record of a video and its tensors under the names that they have in a shard."""
    indices = tuple(int(index) for index in frames.indices)
    keys = {part: manifest.key(part, video.content, indices) for part in video.parts}
    dtype = getattr(torch, manifest.dtype)
    encoded = {name: tensor.to(dtype) for name, tensor in encoders.encode(pixels, video.parts).items()}
    record = VideoRecord(
        content=video.content,
        source=video.path,
        frame_indices=indices,
        timestamps=tuple(map(float, frames.timestamps)),
        shown_times=None if frames.shown_times is None else tuple(map(float, frames.shown_times)),
        duration=float(frames.duration),
        fps=float(frames.fps),
        total_frames=int(frames.total_frames),
        decoder=frames.decoder,
        notes=frames.notes,
        keys=dict(keys),
        checksums={name: checksum(tensor) for name, tensor in encoded.items()},
    )
    return record, {f"{keys[part]}.{name}": encoded[name] for part in video.parts for name in TENSORS[part]}
