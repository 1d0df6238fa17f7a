"""One shard: a safetensors file with the features of some videos, and in its header what is known of them.

Tensors and records stand in one file that appears under its name when it is whole, so that a shard is either there with
everything in it or not there at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vlm3r.errors import UserError
from vlm3r.files import first_line, replacing
from vlm3r.training.features.manifest import TENSORS
from vlm3r.training.settings import parse_settings, settings_record

PATTERN = "shard-*.safetensors"
RECORDS = "videos"
RECORDS_CHECKSUM = "videos_crc32"
EXTRACT_AGAIN = "delete it and run the same `vlm3r features extract` again"


@dataclass(frozen=True)
class VideoRecord:
    """What a store knows of one video beside its features."""

    content: str
    """Hash of the video's bytes."""
    source: str
    """Path under which it was extracted."""
    frame_indices: tuple[int, ...]
    """Numbers of the encoded frames, counting frames that decode from 0."""
    timestamps: tuple[float, ...]
    """Seconds at which each of them is shown."""
    shown_times: tuple[float, ...] | None
    """Seconds that the time sentence of the prompt states; None: not known."""
    duration: float
    """Length of the whole video in seconds."""
    fps: float
    """Average frame rate in frames a second."""
    total_frames: int
    """Frames of the video that decode."""
    decoder: str
    """Decoder and its version."""
    notes: tuple[str, ...]
    """What is odd about the video."""
    keys: dict[str, str]
    """Part to the name of its features in the shard."""
    checksums: dict[str, int]
    """Tensor to the CRC-32 of its bytes."""

    def __post_init__(self) -> None:
        if len(self.frame_indices) != len(self.timestamps) or not self.frame_indices:
            raise ValueError(f"{len(self.timestamps)} timestamps for {len(self.frame_indices)} frames")


def checksum(tensor: Tensor) -> int:
    """CRC-32 of a CPU tensor's bytes."""
    return zlib.crc32(tensor.contiguous().flatten().view(torch.uint8).numpy().data)


def write_shard(folder: Path, videos: Sequence[VideoRecord], tensors: Mapping[str, Tensor]) -> Path:
    """Write a shard in one step, under a name that follows from what is in it.

    Args:
        folder: the store.
        videos: records; their keys name the tensors.
        tensors: `<key>.<tensor>` to tensors.

    Raises:
        UserError: the folder is not writable or the disk is full.
    """
    name = hashlib.blake2b("\n".join(sorted(tensors)).encode(), digest_size=12).hexdigest()
    target = folder / PATTERN.replace("*", name)
    records = json.dumps([settings_record(video) for video in videos])
    header = {RECORDS: records, RECORDS_CHECKSUM: str(zlib.crc32(records.encode()))}
    with replacing(target) as building:
        # Safetensors makes private files; this one gets the permissions of a plain write.
        building.touch()
        mode = building.stat().st_mode
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, building, metadata=header)
        except SafetensorError as error:
            raise OSError(first_line(error)) from error
        building.chmod(mode)
        with building.open("rb") as file:
            os.fsync(file.fileno())
    return target


def read_records(path: Path) -> tuple[VideoRecord, ...]:
    """The records of a shard, from its header alone.

    Raises:
        UserError: the file is truncated, damaged, or no shard.
    """
    try:
        with safe_open(path, framework="pt") as shard:
            header, names = shard.metadata() or {}, set(shard.keys())
        if str(zlib.crc32(header[RECORDS].encode())) != header[RECORDS_CHECKSUM]:
            raise ValueError("the checksum of its records differs")
        rows = json.loads(header[RECORDS])
    except (SafetensorError, OSError, ValueError, LookupError, RecursionError) as error:
        raise UserError(f"{path}: truncated or no shard ({first_line(error)}); {EXTRACT_AGAIN}") from error
    videos = tuple(parse_settings(VideoRecord, row, str(path)) for row in rows)
    if lost := {name for video in videos for name in tensor_names(video).values()} - names:
        raise UserError(f"{path}: lacks the tensor {min(lost)} that its header lists; {EXTRACT_AGAIN}")
    return videos


def tensor_names(video: VideoRecord, parts: Collection[str] | None = None) -> dict[str, str]:
    """Each tensor of a video and its name in the shard; `parts` limits them to those of some encoders."""
    return {
        tensor: f"{video.keys[part]}.{tensor}"
        for part, wanted in TENSORS.items()
        if part in video.keys and (parts is None or part in parts)
        for tensor in wanted
    }


def read_tensors(path: Path, names: Mapping[str, str], checksums: Mapping[str, int] | None) -> dict[str, Tensor]:
    """Some tensors of a shard, mapped into memory one by one.

    Args:
        path: the shard.
        names: what each is called to its name in the shard.
        checksums: CRC-32 by the former name, to compare with; None leaves damage unnoticed.

    Raises:
        UserError: the file is missing, truncated or damaged.
    """
    found = {}
    try:
        with safe_open(path, framework="pt") as shard:
            for tensor, name in names.items():
                found[tensor] = shard.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: missing, truncated or damaged ({first_line(error)}); {EXTRACT_AGAIN}") from error
    for tensor, value in found.items():
        if checksums is not None and checksum(value) != checksums.get(tensor):
            raise UserError(f"{path}: {names[tensor]} is damaged (its checksum differs); {EXTRACT_AGAIN}")
    return found
