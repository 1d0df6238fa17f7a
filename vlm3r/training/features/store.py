"""Reading a feature store: the features of a video, and of a batch of videos, each sample with its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vlm3r.errors import UserError
from vlm3r.processing.video import VideoFrames
from vlm3r.training.features.content import FileTable, stamp_of
from vlm3r.training.features.manifest import PARTS, Expectation, Manifest, Part, read_manifest
from vlm3r.training.features.shards import (
    EXTRACT_AGAIN,
    PATTERN,
    VideoRecord,
    read_records,
    read_tensors,
    tensor_names,
)


@dataclass(frozen=True, eq=False)
class StoredVideo:
    """The features of one video, and what its prompt needs to know of it."""

    tensors: dict[str, Tensor]
    """Argument of the model to `(frame, token, dim)`: `camera_tokens`, `patch_tokens`, `vision_tokens`."""
    record: VideoRecord
    """Which frames they are of, and when those are shown."""

    @property
    def frame_indices(self) -> tuple[int, ...]:
        """Numbers of the encoded frames."""
        return self.record.frame_indices

    @property
    def timestamps(self) -> tuple[float, ...]:
        """Seconds at which each of them is shown."""
        return self.record.timestamps

    @property
    def duration(self) -> float:
        """Length of the whole video in seconds."""
        return self.record.duration

    @property
    def clip(self) -> VideoFrames:
        """The video as the processor takes it, with frames of no pixels: for prompts, with `with_pixels=False`."""
        record = self.record
        count = len(record.frame_indices)
        return VideoFrames(
            frames=np.empty((count, 0, 0, 3), np.uint8),
            indices=np.asarray(record.frame_indices, np.int64),
            timestamps=np.asarray(record.timestamps, np.float64),
            shown_times=None if record.shown_times is None else np.asarray(record.shown_times, np.float64),
            duration=record.duration,
            fps=record.fps,
            total_frames=record.total_frames,
            decoder=record.decoder,
            source=record.source,
            notes=record.notes,
        )


@dataclass
class _Held:
    """Where a store holds each part of one video."""

    record: VideoRecord
    shards: dict[str, tuple[Path, VideoRecord]] = field(default_factory=dict)


class FeatureStore:
    """Features of many videos, by content; made by `FeatureStore.open`. Holds no tensors and no open files."""

    def __init__(self, folder: Path, manifest: Manifest, videos: dict[str, _Held], files: FileTable):
        self.folder = folder
        self.manifest = manifest
        self._videos = videos
        self._files = files

    @classmethod
    def open(cls, folder: str | Path, expect: Expectation | None = None) -> FeatureStore:
        """A store whose shards' headers have been read.

        Args:
            folder: where `vlm3r features extract` wrote.
            expect: what the model and the recipe at hand would compute features with; None takes any.

        Raises:
            UserError: there is no store, it was made with something else than expected, or a shard is damaged.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if expect is not None:
            manifest.require(expect, folder)
        videos: dict[str, _Held] = {}
        for shard in sorted(folder.glob(PATTERN)):
            for record in read_records(shard):
                _check_keys(manifest, shard, record)
                held = videos.setdefault(record.content, _Held(record))
                if held.record.frame_indices != record.frame_indices:
                    raise UserError(
                        f"{shard}: holds other frames of {record.source} than the shards before it; {EXTRACT_AGAIN}"
                    )
                held.shards |= dict.fromkeys(record.keys, (shard, record))
        return cls(folder, manifest, videos, FileTable.read(folder))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The encoders whose features the store may hold."""
        return self.manifest.parts

    def __len__(self) -> int:
        """Number of different videos."""
        return len(self._videos)

    def __contains__(self, path: str | Path) -> bool:
        """Whether there are features of what the file at `path` holds now."""
        try:
            self._locate(path)
        except UserError:
            return False
        return True

    def missing_parts(self, content: str, parts: Collection[Part]) -> tuple[Part, ...]:
        """Those of `parts` that the video of this content hash still lacks."""
        held = self._videos.get(content)
        return tuple(part for part in PARTS if part in parts and (held is None or part not in held.shards))

    def read(self, path: str | Path, parts: Collection[Part] | None = None, verify: bool = True) -> StoredVideo:
        """The features of a video.

        Args:
            path: the video. Where it is no longer there, the content that it had at extraction counts.
            parts: encoders whose features are wanted; None takes those that are there, `()` none, for a prompt alone.
            verify: whether to compare checksums, about 10 ms for 10 MB.

        Raises:
            UserError: the store has no such video, the video has changed since, a wanted part is missing, or a shard
                is damaged.
        """
        held = self._locate(path)
        wanted = self.parts if parts is None else tuple(parts)
        if parts is not None and (absent := [part for part in wanted if part not in held.shards]):
            raise UserError(
                f"{self.folder}: has no {absent[0]} features of {path}; run `vlm3r features extract --parts all` on it"
            )
        tensors: dict[str, Tensor] = {}
        for part in wanted:
            if part in held.shards:
                tensors |= self._read_part(held, part, verify)
        return StoredVideo(tensors, held.record)

    def verify(self) -> Iterator[tuple[str, str | None]]:
        """Every video's path at extraction, and one line on what is wrong with its features, or None."""
        for held in self._videos.values():
            problem = None
            try:
                for part in held.shards:
                    self._read_part(held, part, verify=True)
            except UserError as error:
                problem = str(error)
            yield held.record.source, problem

    def changed_files(self) -> Iterator[str]:
        """Paths whose video is there but is no longer the one that was extracted."""
        for path in self._files.paths:
            recorded = self._files.recorded(path)
            if stamp_of(path) is not None and recorded in self._videos and self._files.current(path) != recorded:
                yield path

    def _read_part(self, held: _Held, part: str, verify: bool) -> dict[str, Tensor]:
        shard, record = held.shards[part]
        return read_tensors(shard, tensor_names(record, (part,)), record.checksums if verify else None)

    def _locate(self, path: str | Path) -> _Held:
        before = self._files.recorded(path)
        content = before if before is not None and stamp_of(path) is None else self._files.current(path)
        held = self._videos.get(content)
        if held is not None:
            return held
        if before in self._videos:
            raise UserError(f"{path}: has changed since its features were extracted into {self.folder}; extract again")
        raise UserError(f"{path}: {self.folder} has no features of it; add it with `vlm3r features extract`")


def _check_keys(manifest: Manifest, shard: Path, record: VideoRecord) -> None:
    for part, key in record.keys.items():
        if part not in manifest.parts or manifest.key(part, record.content, record.frame_indices) != key:
            raise UserError(f"{shard}: its {part} features belong to another store; remove it from {shard.parent}")


def gather(stored: Sequence[StoredVideo]) -> dict[str, Tensor]:
    """Arguments of the model for a batch of clips, in the order given, each clip with its own features.

    Returns:
        each tensor as `(clip, frame, token, dim)`, shorter clips padded with zeros at their end, and `frame_counts`
        `(clip,)`.

    Raises:
        ValueError: there are no clips, or not all have features of the same encoders and sizes.
    """
    if not stored:
        raise ValueError("a batch needs at least one stored video")
    shapes = [{name: tuple(t.shape[1:]) for name, t in video.tensors.items()} for video in stored]
    for video, shape in zip(stored, shapes, strict=True):
        if shape != shapes[0]:
            raise ValueError(
                f"features (token, dim) of {video.record.source} are {shape}, those of {stored[0].record.source} "
                f"{shapes[0]}: a batch takes one kind"
            )
    batch = {name: pad_sequence([video.tensors[name] for video in stored], batch_first=True) for name in shapes[0]}
    return batch | {"frame_counts": torch.tensor([len(video.frame_indices) for video in stored])}
