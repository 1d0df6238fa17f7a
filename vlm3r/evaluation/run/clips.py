"""Videos on their way to the model: decoded ahead in other processes, encoded with or without a probe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from vlm3r.errors import UserError
from vlm3r.processing.sampling import FrameSampling
from vlm3r.processing.video import VideoFrames, read_video

if TYPE_CHECKING:  # decoding processes need no torch
    from torch import Tensor

    from vlm3r.evaluation.run.probes import Geometry, Probe
    from vlm3r.model import VLM3RForConditionalGeneration
    from vlm3r.processing.processor import VLM3RProcessor


class TokenStore(Protocol):
    """Tokens of the frozen encoders by video, computed earlier."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Encoders whose tokens it may hold: `geometry`, `vision`."""
        ...

    def read(self, path: str | Path) -> Any:
        """An object with `tensors`, by the model's argument names, `(frame, token, dim)`, and `clip`, for prompts."""
        ...


@dataclass(frozen=True)
class ClipTask:
    """One video to decode."""

    path: Path
    """The video."""
    partner: Path | None = None
    """The video whose geometry it is to be given."""
    decode: bool = True
    """False where all tokens are stored."""


@dataclass(frozen=True)
class Clip:
    """A decoded video."""

    task: ClipTask
    """Where it comes from."""
    video: VideoFrames | None
    """Its frames, squashed to the model's square; None where they are not needed."""
    partner: VideoFrames | None
    """The partner's, likewise."""


def read_clip(sampling: FrameSampling, side: int, task: ClipTask, decoder: str = "auto") -> Clip:
    """Decode a video and squash its frames as the image transform would, which leaves little to send.

    Args:
        sampling: which frames.
        side: of the model's square, pixels.
        task: what to decode.
        decoder: name of the video decoder.

    Raises:
        UserError: the video or its partner cannot be read.
    """
    if not task.decode:
        return Clip(task, None, None)
    partner = None if task.partner is None else _squashed(task.partner, sampling, side, decoder)
    return Clip(task, _squashed(task.path, sampling, side, decoder), partner)


def _squashed(path: Path, sampling: FrameSampling, side: int, decoder: str) -> VideoFrames:
    video = read_video(path, sampling, decoder)
    pictures = (Image.fromarray(frame) for frame in video.frames)
    small = [np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC)) for picture in pictures]
    return replace(video, frames=np.stack(small))


def encode(
    model: VLM3RForConditionalGeneration,
    processor: VLM3RProcessor,
    clip: Clip,
    probe: Probe,
    seed: int,
    store: TokenStore | None = None,
) -> tuple[VideoFrames, dict[str, Tensor]]:
    """A clip's frames, as prompts need them, and its tokens as an argument for `open_video`.

    Raises:
        UserError: stored tokens are missing or belong to other frames.
    """
    from vlm3r.evaluation.run.probes import CHANGING, change_geometry, grey_frames

    video, given = _stored(clip.task.path, clip.video, store)
    if probe == "dummy-video":
        frames = grey_frames(len(video), processor.image_processor.size["width"])
        return video, {"video_embeddings": model.encode_video(processor.frame_pixels(frames)[None]).sequences[0]}
    pixels = None if clip.video is None else processor.frame_pixels(clip.video.frames)[None]
    if probe in CHANGING:
        own, other = _geometry(model, pixels, given), None
        if clip.task.partner is not None:
            partner, tokens = _stored(clip.task.partner, clip.partner, store)
            frames = None if clip.partner is None else processor.frame_pixels(partner.frames)[None]
            other = _geometry(model, frames, tokens)
        changed = change_geometry(probe, own, other, f"{seed} {clip.task.path.parent.name} {clip.task.path.name}")
        given |= dict(zip(("camera_tokens", "patch_tokens"), changed, strict=True))
    stages = model.encode_video(pixels, **given)
    return video, {"video_embeddings": stages.sequences[0]}


def _stored(path: Path, video: VideoFrames | None, store: TokenStore | None) -> tuple[VideoFrames, dict[str, Tensor]]:
    """The video as prompts need it, and the tokens `(1, frame, token, dim)` that the store has of it."""
    if store is None:
        assert video is not None
        return video, {}
    stored = store.read(path)
    if video is not None and not np.array_equal(video.indices, stored.clip.indices):
        raise UserError(f"{path}: its stored features are of other frames; extract them again")
    return video or stored.clip, {name: tokens[None] for name, tokens in stored.tensors.items()}


def _geometry(model: VLM3RForConditionalGeneration, pixels: Tensor | None, given: dict[str, Tensor]) -> Geometry:
    from vlm3r.model.geometry import encode_geometry

    if "camera_tokens" in given and "patch_tokens" in given:
        return given["camera_tokens"], given["patch_tokens"]
    assert pixels is not None
    return encode_geometry(model.geometry_encoder, pixels.to(model.device), model.config.geometry_image_size)
