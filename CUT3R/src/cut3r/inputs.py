"""Checks at the border of the model: frames, ray maps and masks of a rollout."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

RAY_CHANNELS = 6


@dataclass(frozen=True)
class FrameInputs:
    """Checked inputs of some frames. Masks are on the CPU, so that planning never waits for a device."""

    frames: Tensor
    """(batch, frame, 3, height, width) in [-1, 1]; anything, NaN included, where `img_mask` is false."""
    img_mask: Tensor
    """(batch, frame) bool: the element has an image."""
    ray_maps: Tensor | None
    """(batch, frame, height, width, 6); anything where `ray_mask` is false."""
    ray_mask: Tensor
    """(batch, frame) bool: the element has a ray map."""
    update: Tensor
    """(batch, frame) bool: state and memory take what the frame proposes; false wherever there is no image."""
    reset: Tensor
    """(batch, frame) bool: state and memory return to their initial values after the frame."""

    def select(self, start: int, stop: int) -> FrameInputs:
        """The frames `start` to `stop` (exclusive)."""
        part = slice(start, stop)
        return FrameInputs(
            self.frames[:, part],
            self.img_mask[:, part],
            None if self.ray_maps is None else self.ray_maps[:, part],
            self.ray_mask[:, part],
            self.update[:, part],
            self.reset[:, part],
        )


def check_inputs(
    frames: Tensor,
    img_mask: Tensor | None,
    ray_maps: Tensor | None,
    ray_mask: Tensor | None,
    update: Tensor | None,
    reset: Tensor | None,
    patch_size: int,
) -> FrameInputs:
    """The inputs with defaults filled in; a ValueError names the argument and the axis that is wrong."""
    _check_frames(frames, patch_size)
    batch, count, _, height, width = frames.shape
    shape = (batch, count)
    has_image = _mask("img_mask", img_mask, shape, default=True)
    has_rays = _mask("ray_mask", ray_mask, shape, default=False)
    if ray_maps is not None:
        expected = (batch, count, height, width, RAY_CHANNELS)
        _check_floating("ray_maps", ray_maps)
        if tuple(ray_maps.shape) != expected:
            raise ValueError(
                "ray_maps must be (batch, frame, height, width, 6) with the frames' sizes, "
                f"{expected}, got {tuple(ray_maps.shape)}"
            )
        if ray_mask is None:
            raise ValueError("ray_maps needs ray_mask, (batch, frame) bool: which elements have a ray map")
    elif bool(has_rays.any()):
        raise ValueError("ray_mask is true somewhere, but there are no ray_maps")
    wanted = _mask("update", update, shape, default=True)
    return FrameInputs(
        frames=frames,
        img_mask=has_image,
        ray_maps=ray_maps,
        ray_mask=has_rays,
        update=wanted & has_image,
        reset=_mask("reset", reset, shape, default=False),
    )


def _check_floating(name: str, value: Tensor) -> None:
    if not value.is_floating_point():
        raise ValueError(f"{name} must be floating point (frames in [-1, 1]), got {value.dtype}")


def _check_frames(frames: Tensor, patch_size: int) -> None:
    got = tuple(frames.shape)
    if frames.ndim != 5:
        hint = "; a single video needs a leading batch axis: frames[None]" if frames.ndim == 4 else ""
        raise ValueError(f"frames must be (batch, frame, 3, height, width), got {frames.ndim} axes {got}{hint}")
    batch, count, channels, height, width = got
    if channels != 3:
        hint = "; channels seem to be last: frames.permute(0, 1, 4, 2, 3)" if width == 3 else ""
        raise ValueError(f"frames must have 3 channels on axis 2 (batch, frame, 3, height, width), got {got}{hint}")
    for axis, name, size in ((0, "batch", batch), (1, "frame", count)):
        if size == 0:
            raise ValueError(f"frames has an empty {name} axis (axis {axis}): {got}")
    for axis, name, size in ((3, "height", height), (4, "width", width)):
        if size == 0 or size % patch_size:
            raise ValueError(f"frames' {name} (axis {axis}) must be a positive multiple of {patch_size}, got {size}")
    _check_floating("frames", frames)


def _mask(name: str, mask: Tensor | None, shape: tuple[int, int], default: bool) -> Tensor:
    if mask is None:
        return torch.full(shape, default, device="cpu")
    if mask.dtype != torch.bool:
        raise ValueError(f"{name} must be a bool tensor, got {mask.dtype}")
    if tuple(mask.shape) != shape:
        raise ValueError(f"{name} must be (batch, frame) = {shape}, got {tuple(mask.shape)}")
    return mask.cpu()
