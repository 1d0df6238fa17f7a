"""Changes to what a model is given that show what its answers owe to geometry, to the video, or to option letters."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from vlm3r.errors import UserError
from vlm3r.qa.splits import stable_number

Probe = Literal[
    "none", "zero", "shuffle", "swap", "camera-only", "patch-only", "blind", "dummy-video", "permute-options"
]
PROBES: tuple[Probe, ...] = get_args(Probe)
"""`zero`: geometry tokens of zeros. `shuffle`: every frame gets another frame's geometry. `swap`: the geometry is that
of another video. `camera-only`, `patch-only`: fusion sees one kind of geometry token. `blind`: no video at all.
`dummy-video`: as many grey frames, so that prompts stay as they are. `permute-options`: options in another order."""
GREY = 128
"""Value of every pixel of a dummy video, which normalised is close to 0."""
CHANGING = ("zero", "shuffle", "swap")
"""Probes that change tokens; the others are settings of the model or the prompt."""
FEATURES = {"camera-only": "camera_tokens", "patch-only": "patch_tokens"}
"""Probes that are a choice of `geometry_features`."""

Geometry = tuple[Tensor, Tensor]
"""Camera tokens `(clip, frame, 1, dim)` and patch tokens `(clip, frame, patch, dim)`."""


def change_geometry(probe: Probe, own: Geometry, other: Geometry | None, key: str) -> Geometry:
    """Geometry tokens as a probe wants them, in the shape of the clip's own.

    Args:
        probe: one of `CHANGING`.
        own: the clip's tokens.
        other: for `swap`, those of another video; where it has fewer frames they are taken again from the first.
        key: what the order of `shuffle` follows from, such as the video's name and a seed.

    Raises:
        ValueError: another probe, or `swap` without the other tokens.
    """
    if probe == "zero":
        return torch.zeros_like(own[0]), torch.zeros_like(own[1])
    frames = own[0].shape[1]
    if probe == "shuffle":
        order = torch.from_numpy(moved_frames(frames, key))
        return own[0][:, order], own[1][:, order]
    if probe == "swap" and other is not None:
        order = torch.arange(frames) % other[0].shape[1]
        return other[0][:, order], other[1][:, order]
    raise ValueError(f"probe {probe!r} changes no geometry, or lacks the other video's")


def grey_frames(count: int, side: int) -> np.ndarray:
    """Frames `(count, side, side, 3)` uint8 that show nothing."""
    return np.full((count, side, side, 3), GREY, np.uint8)


def moved_frames(frames: int, key: str) -> np.ndarray:
    """A random order `(frame,)` in which, of several frames, none stays in its place."""
    ring = np.random.default_rng(stable_number("shuffle", key)).permutation(frames)
    order = np.empty_like(ring)
    order[ring] = np.roll(ring, 1)
    return order


def partners(videos: list[str], seed: int) -> dict[str, str]:
    """For each video another one of the list, each of them once.

    Raises:
        UserError: there are fewer than two.
    """
    if len(videos) < 2:
        raise UserError("--probe swap needs a benchmark of at least two videos")
    ring = np.random.default_rng([seed, 7]).permutation(len(videos))
    return {videos[ring[place]]: videos[ring[place - 1]] for place in range(len(ring))}
