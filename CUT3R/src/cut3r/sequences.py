"""RGB-D sequences: what training learns from, and how batches are drawn from them.

Which sequences a step sees, and how they are changed, depends on the seed and the step alone, so that a run that was
cut off continues as if it had not been.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])
GREY = torch.tensor([0.299, 0.587, 0.114])


@dataclass(frozen=True, eq=False)
class RGBDSequence:
    """Frames of one walk in order, with depth and camera poses. Arrays may be mapped from files."""

    frames: NDArray[np.uint8]
    """(frame, H, W, 3) RGB."""
    depth: NDArray[np.floating[Any]]
    """(frame, h, w) metres along the optical axis, 0 where unknown; the same view as `frames`, at a size of its own."""
    intrinsics: NDArray[np.floating[Any]]
    """(3, 3) in pixels of `depth`, pixel centres at half-integers."""
    camera_to_world: NDArray[np.floating[Any]]
    """(frame, 4, 4), camera axes x right, y down, z forward."""

    def __len__(self) -> int:
        return len(self.frames)


class Sequences(Protocol):
    """A collection of sequences, such as a list."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> RGBDSequence:
        """One of them."""
        ...


@dataclass(frozen=True)
class Augmentation:
    """Random changes to a sequence; each draws anew for every sequence of every step."""

    mirror: float = 0.5
    """Chance that left and right are swapped, in pictures, depth and poses."""
    reverse: float = 0.5
    """Chance that a sequence runs backwards."""
    most_stride: int = 1
    """Frames are taken every n-th, n from 1 to this number where the sequence is long enough."""
    brightness: float = 0.2
    """Most relative change of brightness, one draw a sequence."""
    contrast: float = 0.2
    """Most relative change of contrast."""
    saturation: float = 0.2
    """Most relative change of saturation."""
    flicker: float = 0.05
    """Most relative change of brightness from frame to frame."""

    def __post_init__(self) -> None:
        if not (0 <= self.mirror <= 1 and 0 <= self.reverse <= 1) or self.most_stride < 1:
            raise ValueError("mirror and reverse are chances from 0 to 1, and most_stride must be at least 1")
        if not all(0 <= v < 1 for v in (self.brightness, self.contrast, self.saturation, self.flicker)):
            raise ValueError("brightness, contrast, saturation and flicker must be at least 0 and below 1")


@dataclass(frozen=True)
class Batch:
    """Sequences of one length, side by side."""

    frames: Tensor
    """(batch, frame, 3, size, size) in [-1, 1], float32."""
    depth: Tensor
    """(batch, frame, size, size) metres, float32; 0 where unknown."""
    intrinsics: Tensor
    """(batch, 3, 3) in pixels of `depth`, float32."""
    camera_to_world: Tensor
    """(batch, frame, 4, 4) float64."""

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        poses = self.camera_to_world
        # Some accelerators have no float64.
        poses = poses.float() if device.type == "mps" else poses
        return Batch(*(t.to(device) for t in (self.frames, self.depth, self.intrinsics, poses)))


class Draw:
    """Batches as a function of the step: epoch after epoch in an order that the seed decides."""

    def __init__(self, sequences: Sequences, size: int, augmentation: Augmentation, seed: int) -> None:
        if not len(sequences):
            raise ValueError("there are no sequences to learn from")
        self.sequences, self.size, self.augmentation, self.seed = sequences, size, augmentation, seed
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def batch(self, step: int, drawn_before: int, batch: int, frames: int) -> Batch:
        """`batch` sequences of `frames` frames for a step before which `drawn_before` sequences were drawn."""
        parts = []
        for i in range(batch):
            rng = np.random.default_rng([self.seed, step, i])
            sequence = self.sequences[self._index(drawn_before + i)]
            parts.append(_prepare(sequence, frames, self.size, self.augmentation, rng))
        return collate(parts)

    def _index(self, number: int) -> int:
        epoch, position = divmod(number, len(self.sequences))
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.sequences))
        return int(self._order[position])


def whole(sequence: RGBDSequence, size: int, most_frames: int | None = None) -> Batch:
    """A sequence as it is, as a batch of one; at most its first `most_frames`."""
    return collate([_tensors(sequence, np.arange(len(sequence))[:most_frames], size)])


def collate(parts: list[Batch]) -> Batch:
    """One batch of several."""
    names = ("frames", "depth", "intrinsics", "camera_to_world")
    return Batch(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def in_order(sequences: Sequences) -> Iterator[RGBDSequence]:
    """The sequences one after the other."""
    return (sequences[i] for i in range(len(sequences)))


def choose_frames(available: int, wanted: int, augmentation: Augmentation, rng: np.random.Generator) -> NDArray:
    """Ascending or descending frame numbers, (wanted,); a sequence that is too short is walked to and fro."""
    longest = 1 if wanted < 2 else (available - 1) // (wanted - 1)
    stride = int(rng.integers(1, max(1, min(augmentation.most_stride, longest)) + 1))
    slack = available - 1 - (wanted - 1) * stride
    numbers = (int(rng.integers(slack + 1)) if slack > 0 else 0) + stride * np.arange(wanted)
    turn = max(1, available - 1)
    numbers = turn - np.abs(turn - numbers % (2 * turn)) if available > 1 else np.zeros(wanted, np.int64)
    return numbers[::-1] if rng.random() < augmentation.reverse else numbers


def _prepare(
    sequence: RGBDSequence, frames: int, size: int, augmentation: Augmentation, rng: np.random.Generator
) -> Batch:
    part = _tensors(sequence, choose_frames(len(sequence), frames, augmentation, rng), size)
    if rng.random() < augmentation.mirror:
        part = mirrored(part)
    return Batch(jittered(part.frames, augmentation, rng), part.depth, part.intrinsics, part.camera_to_world)


def _tensors(sequence: RGBDSequence, numbers: NDArray, size: int) -> Batch:
    """The chosen frames as a batch of one at `size` x `size`, squeezed to a square as VLM-3R's frames are."""
    pictures = torch.from_numpy(np.ascontiguousarray(sequence.frames[numbers])).permute(0, 3, 1, 2).float()
    pictures = pictures / 127.5 - 1
    if pictures.shape[-2:] != (size, size):
        # As VLM-3R resizes a processed frame for its geometry encoder.
        pictures = F.interpolate(pictures, size=(size, size), mode="bilinear", align_corners=False)
    depth = torch.from_numpy(np.ascontiguousarray(sequence.depth[numbers])).float()
    height, width = depth.shape[-2:]
    if (height, width) != (size, size):
        depth = F.interpolate(depth[:, None], size=(size, size), mode="nearest-exact")[:, 0]
    scale = np.diag([size / width, size / height, 1.0])
    intrinsics = torch.from_numpy(scale @ np.asarray(sequence.intrinsics, np.float64)).float()
    poses = torch.from_numpy(np.asarray(sequence.camera_to_world, np.float64)[numbers])
    return Batch(pictures[None], depth[None], intrinsics[None], poses[None])


def mirrored(batch: Batch) -> Batch:
    """The world seen in a mirror that swaps left and right: pictures and depth flipped, poses to match."""
    flip = torch.from_numpy(MIRROR)
    intrinsics = batch.intrinsics.clone()
    intrinsics[:, 0, 2] = batch.depth.shape[-1] - intrinsics[:, 0, 2]
    return Batch(batch.frames.flip(-1), batch.depth.flip(-1), intrinsics, flip @ batch.camera_to_world @ flip)


def jittered(frames: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    """Frames (1, frame, 3, size, size) in [-1, 1] with colours changed at random, and clipped."""

    def factor(most: float, count: int = 1) -> Tensor:
        draws = torch.from_numpy(rng.uniform(1 - most, 1 + most, count)).float()
        return draws.view(1, -1, 1, 1, 1)

    if not any((augmentation.brightness, augmentation.contrast, augmentation.saturation, augmentation.flicker)):
        return frames
    values = (frames + 1) / 2  # (1, frame, 3, size, size) in [0, 1]
    grey = (values * GREY.view(1, 1, 3, 1, 1)).sum(2, keepdim=True)
    values = grey + (values - grey) * factor(augmentation.saturation)
    mean = grey.mean()
    values = mean + (values - mean) * factor(augmentation.contrast)
    values = values * factor(augmentation.brightness) * factor(augmentation.flicker, frames.shape[1])
    return values.clamp(0, 1) * 2 - 1
