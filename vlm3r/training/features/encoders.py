"""The two frozen encoders of a checkpoint without its language model, and the hashes that identify them."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from cut3r import CUT3R
from torch import Tensor

from vlm3r.checkpoints.loading import read_checkpoint, resolve_device, resolve_dtype
from vlm3r.checkpoints.parts import Parts
from vlm3r.errors import UserError
from vlm3r.model import VLM3RConfig, VLM3RForConditionalGeneration
from vlm3r.model.geometry import encode_geometry
from vlm3r.model.vision import VisionTower
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.video import VideoFrames
from vlm3r.training.features.manifest import PARTS, WEIGHTS, Expectation, Part
from vlm3r.workers import Engine

HASH_BYTES = 16


@dataclass(frozen=True)
class EncoderSource:
    """Where the encoders come from and how many frames they are given; arguments as those of `vlm3r.load`."""

    checkpoint: str | None = None
    """Folder or hub id of any layout; None is the embedded model."""
    base: str | None = None
    """Base model of a LoRA repository."""
    geometry: str | None = None
    """CUT3R's file, folder or hub id."""
    frames: int | None = None
    """Frames taken from each video; None is the checkpoint's own number."""

    def absolute(self) -> EncoderSource:
        """The same source for a process with another working directory."""

        def there(name: str | None) -> str | None:
            return str(Path(name).absolute()) if name is not None and Path(name).exists() else name

        return replace(self, checkpoint=there(self.checkpoint), base=there(self.base), geometry=there(self.geometry))

    def read(self) -> Parts:
        """The checkpoint's parts, weights mapped into memory; an adapter that changes an encoder is merged.

        Raises:
            UserError: it cannot be read.
        """
        parts, _ = read_checkpoint(self.checkpoint, self.base, self.geometry)
        if self.frames is not None:
            parts = replace(parts, settings=parts.settings | {"num_frames": self.frames})
        prefixes = tuple(WEIGHTS.values())
        if parts.adapter is not None and any(name.startswith(prefixes) for name in parts.adapter.matrices):
            return parts.merged()
        return replace(parts, adapter=None)


@dataclass(frozen=True)
class Encoders:
    """Encoders on their device, ready to run."""

    processor: VLM3RProcessor
    """Chooses and transforms frames as for the whole model."""
    config: VLM3RConfig
    """The whole model's configuration."""
    vision: VisionTower | None
    """SigLIP, where it is asked for."""
    geometry: CUT3R | None
    """CUT3R, where it is asked for."""
    device: torch.device
    """Where they run."""

    def pixels(self, video: VideoFrames) -> Tensor:
        """What the model's processor makes of a video's frames: `(1, frame, 3, H, W)`."""
        return self.processor("", video=video)["pixel_values"]

    @torch.inference_mode()
    def encode(self, pixels: Tensor, parts: Iterable[Part]) -> dict[str, Tensor]:
        """Features of one video, on the CPU in the type in which they were computed.

        Args:
            pixels: `(1, frame, 3, H, W)`, normalised.
            parts: which encoders to run.

        Returns:
            `camera_tokens` `(frame, 1, dim)` and `patch_tokens` `(frame, patch, dim)` of the geometry encoder,
            `vision_tokens` `(frame, patch, dim)` of the visual encoder.
        """
        pixels = pixels.to(self.device)
        found: dict[str, Tensor] = {}
        for part in parts:
            if part == "geometry":
                assert self.geometry is not None
                camera, patches = encode_geometry(self.geometry, pixels, self.config.geometry_image_size)
                found |= {"camera_tokens": camera[0], "patch_tokens": patches[0]}
            else:
                assert self.vision is not None
                found["vision_tokens"] = self.vision(pixels)[0]
        return {name: tensor.cpu() for name, tensor in found.items()}


@lru_cache(maxsize=1)
def load_encoders(source: EncoderSource, parts: tuple[Part, ...], device: str, dtype: str) -> Encoders:
    """The encoders of a checkpoint in evaluation mode; a process keeps those that it loaded last.

    Args:
        source: the checkpoint.
        parts: encoders that are needed.
        device: a name as for `vlm3r.load`.
        dtype: likewise.

    Raises:
        UserError: the checkpoint or the device cannot be used.
    """
    checkpoint = source.read()
    target = resolve_device(device)
    precision = resolve_dtype(dtype, target, checkpoint)
    prefixes = tuple(WEIGHTS[part] for part in parts)
    # Copied, because memory-mapped weights lie unaligned, which changes the last bits of products on a CPU.
    tensors = {n: t.to(precision, copy=True) for n, t in checkpoint.tensors.items() if n.startswith(prefixes)}
    encoders = replace(checkpoint, tensors=tensors)
    return Encoders(
        processor=processor_of(checkpoint),
        config=checkpoint.config,
        vision=_vision_tower(encoders, target) if "vision" in parts else None,
        geometry=encoders.geometry_encoder().to(target).eval() if "geometry" in parts else None,
        device=target,
    )


def _vision_tower(parts: Parts, device: torch.device) -> VisionTower:
    prefix = WEIGHTS["vision"]
    with init_empty_weights(include_buffers=False):
        tower: Any = VisionTower(parts.config.siglip)
    state = {name.removeprefix(prefix): t for name, t in parts.tensors.items() if name.startswith(prefix)}
    tower.load_state_dict(state, assign=True)
    return tower.to(device).eval()


def processor_of(parts: Parts) -> VLM3RProcessor:
    """The processor that `vlm3r.load` would give."""
    return VLM3RProcessor.from_config(parts.config, parts.tokenizer, **parts.settings)


def process_device(device: str, engine: Engine) -> str:
    """`device`, or for `auto` and `cuda` on a machine with several GPUs the one of this process's number.

    Local processes are numbered, so that they spread evenly; those of a cluster spread by their process ids.
    """
    count = torch.cuda.device_count()
    if device not in ("auto", "cuda") or count < 2:
        return device
    number = multiprocessing.current_process().name.rpartition("-")[2]
    index = int(number) - 1 if number.isdigit() else 0
    return f"cuda:{(os.getpid() if engine == 'ray' else index) % count}"


def expectation_of(model: VLM3RForConditionalGeneration, processor: VLM3RProcessor) -> Expectation:
    """What features must have been made with to stand for those that this model would compute.

    The encoders' weights must be whole: call it before they are sharded over processes.
    """
    return make_expectation(model.config, model.state_dict(), processor)


def expectation_of_source(source: EncoderSource) -> Expectation:
    """As `expectation_of` for the model that `vlm3r.load` would give, without building it.

    Raises:
        UserError: the checkpoint cannot be read.
    """
    parts = source.read()
    return make_expectation(parts.config, parts.tensors, processor_of(parts))


def make_expectation(config: VLM3RConfig, tensors: Mapping[str, Tensor], processor: VLM3RProcessor) -> Expectation:
    """What features of a model of these weights `{name: tensor}` are made with."""
    present: tuple[Part, ...] = PARTS if config.geometry == "cut3r" else ("vision",)
    transform = processor.image_processor
    return Expectation(
        weights={part: weights_hash(tensors, WEIGHTS[part]) for part in present},
        num_frames=processor.num_frames,
        video_fps=processor.video_fps,
        force_sample=processor.force_sample,
        frame_size=transform.size["height"],
        geometry_size=config.geometry_image_size,
        pixel_transform=(
            f"resample {int(transform.resample)}, scale {transform.rescale_factor:.6g}, "
            f"mean {_numbers(transform.image_mean)}, deviation {_numbers(transform.image_std)}"
        ),
    )


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


def weights_hash(tensors: Mapping[str, Tensor], prefix: str) -> str:
    """Hash over names, shapes and values of the weights whose names start with `prefix`, in name order.

    Values count as rounded to bfloat16, so that it is the same whether a checkpoint was loaded in float32 or in
    bfloat16, and from whatever files.

    Raises:
        UserError: there are no such weights.
    """
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    names = sorted(name for name in tensors if name.startswith(prefix))
    if not names:
        raise UserError(f"the model has no weights under {prefix!r}, so there are no features of them to store")
    for name in names:
        tensor = tensors[name].detach()
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.to(torch.bfloat16).cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
