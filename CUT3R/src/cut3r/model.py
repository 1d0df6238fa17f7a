"""CUT3R: rollouts over sequences of frames, and reading and writing of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from cut3r import checkpoint
from cut3r.backbone import ENCODE_CHUNK, Backbone, Carry, Constants
from cut3r.config import CUT3RConfig, StateUpdate
from cut3r.inputs import FrameInputs, check_inputs
from cut3r.output import CUT3ROutput
from cut3r.stream import CUT3RStream


class CUT3R(Backbone):
    """The geometry encoder: frames in order to camera tokens, patch tokens and, when asked for, geometry.

    `step` is the recurrent part, with static shapes and no host synchronisation, so that
    `model.step = torch.compile(model.step)` compiles it for rollouts and streams alike; set it on each copy of a model.
    """

    def forward(
        self,
        frames: Tensor,
        img_mask: Tensor | None = None,
        ray_maps: Tensor | None = None,
        ray_mask: Tensor | None = None,
        update: Tensor | None = None,
        reset: Tensor | None = None,
        heads: bool = False,
        state_update: StateUpdate = "cut3r",
        encode_chunk: int = ENCODE_CHUNK,
    ) -> CUT3ROutput:
        """Rolls whole sequences out, the batch's side by side.

        `frames` (batch, frame, 3, height, width) in [-1, 1], height and width multiples of the patch size; on any
        device and in any floating type. `ray_maps` (batch, frame, height, width, 6). The masks are (batch, frame) bool:
        `img_mask` (default all), `ray_mask` (default none), `update` (default all: the frame may change state and
        memory, if it has an image), `reset` (default none: state and memory return to their initial values *after* the
        frame). Where a mask is false the input is not read.

        `state_update`: "cut3r" replaces the state; "ttt3r" moves each state token towards its proposal by a rate from
        its attention to the frame (see `step`). `encode_chunk` bounds how many images are encoded at a time. Raises
        ValueError for a wrong shape, and when there is no image at all.
        """
        inputs = check_inputs(frames, img_mask, ray_maps, ray_mask, update, reset, self.config.patch_size)
        if not bool(inputs.img_mask.any()):
            raise ValueError("img_mask is false everywhere: a sequence needs at least one image")
        constants = self.constants(*frames.shape[-2:])
        carry = self.initial_carry(len(frames), constants)
        any_rays = bool(inputs.ray_mask.any())
        masked_tokens = (self.masked_img_token, self.masked_ray_map_token if any_rays else None)
        output, _ = self.rollout(inputs, carry, constants, heads, state_update, encode_chunk, masked_tokens)
        return output

    def stream(
        self,
        batch_size: int = 1,
        heads: bool = False,
        state_update: StateUpdate = "cut3r",
        encode_chunk: int = ENCODE_CHUNK,
    ) -> CUT3RStream:
        """A rollout that takes frames as they come, in constant memory; see `CUT3RStream`."""
        return CUT3RStream(self, batch_size, heads, state_update, encode_chunk)

    def rollout(
        self,
        inputs: FrameInputs,
        carry: Carry,
        constants: Constants,
        heads: bool,
        state_update: StateUpdate,
        encode_chunk: int,
        masked_tokens: tuple[Tensor, Tensor | None] | None,
    ) -> tuple[CUT3ROutput, Carry]:
        """The output for `inputs` and the carry after them; `masked_tokens` as in `encode`."""
        if state_update not in get_args(StateUpdate):
            raise ValueError(f"state_update must be one of {get_args(StateUpdate)}, got {state_update!r}")
        if encode_chunk < 1:
            raise ValueError(f"encode_chunk must be at least 1, got {encode_chunk}")
        device = self.pose_token.device
        update, reset = inputs.update.to(device), inputs.reset.to(device)
        batch, count = inputs.img_mask.shape
        height, width = inputs.frames.shape[-2:]
        grid = (height // self.config.patch_size, width // self.config.patch_size)
        collected: dict[str, list[Tensor]] = {}
        stride = max(1, encode_chunk // batch)
        for start in range(0, count, stride):
            part = inputs.select(start, min(start + stride, count))
            encoded = self.encode(part, constants, encode_chunk, masked_tokens)  # (batch, frame, patch, enc dim)
            for t in range(encoded.shape[1]):
                now = self.constants_of(part, t, constants)
                step = self.step(
                    encoded[:, t], carry, update[:, start + t], reset[:, start + t], now, heads, state_update == "ttt3r"
                )
                carry = step.carry
                results = {"camera_tokens": step.camera, "patch_tokens": step.patches}
                if heads:
                    rope = now.image[0].tokens_from(1)
                    results |= self.downstream_head(step.camera, step.patches, step.hooked, grid, rope)
                for name, value in results.items():
                    collected.setdefault(name, []).append(value)
        stacked = {name: torch.stack(values, dim=1) for name, values in collected.items()}
        return CUT3ROutput(state=carry.state, memory=carry.memory, **stacked), carry

    @classmethod
    def from_published(cls, constructor: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> CUT3R:
        """The model for published constructor arguments (infinities as floats) and weights under published names.

        Strict: CheckpointError lists missing, unexpected and mis-shaped keys. The tensors are taken, not copied.
        """
        config = checkpoint.config_from_constructor(constructor, "the constructor arguments")
        return cls._with_weights(config, checkpoint.drop_aliases(state_dict, "the state dict"), "the state dict")

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> CUT3R:
        """The model in a published `.pth` file, in a folder that `save_pretrained` wrote, or in a hub repository.

        Nothing that the file contains is executed. `device` defaults to the CPU, `dtype` to that of the file. Raises
        CheckpointError, a ValueError whose one line names the file and the remedy.
        """
        config, weights, where = checkpoint.read(source)
        # Copied out of the mapped file, tensor by tensor: aligned memory, and no tie to what becomes of the file.
        weights = {name: value.to(device=device, dtype=dtype, copy=True) for name, value in weights.items()}
        return cls._with_weights(config, weights, where).eval()

    @classmethod
    def _with_weights(cls, config: CUT3RConfig, weights: Mapping[str, Tensor], where: str) -> CUT3R:
        try:
            with torch.device("meta"):
                model = cls(config)
        except (ArithmeticError, RuntimeError, ValueError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise checkpoint.CheckpointError(
                f"{where}: its configuration fits no model ({reason}); get it again"
            ) from error
        checkpoint.check_keys(model.state_dict(), weights, where)
        model.load_state_dict(weights, assign=True)
        return model

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes `config.json` and `model.safetensors` into `folder`; each file appears whole or not at all."""
        checkpoint.write_folder(self.config, self.state_dict(), folder)

    def published_state_dict(self) -> dict[str, Tensor]:
        """The weights under published names, second names included; tensors are shared with the model."""
        return checkpoint.add_aliases(self.state_dict())


def export_published(model: CUT3R, path: str | Path) -> None:
    """Writes `model` in the published layout: a `.pth` with the weights and the constructor string."""
    checkpoint.write_published(model.config, model.published_state_dict(), path)
