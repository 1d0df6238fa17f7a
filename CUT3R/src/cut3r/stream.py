"""Rollouts over frames that arrive a few at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cut3r.backbone import Carry, Constants
from cut3r.config import StateUpdate
from cut3r.inputs import check_inputs
from cut3r.output import CUT3ROutput

if TYPE_CHECKING:
    from cut3r.model import CUT3R


class CUT3RStream:
    """A rollout in constant memory: holds state, pose memory and a frame counter, nothing per frame.

    For images the results are those of the whole sequence at once, however it is cut. Ray maps follow the published
    online rules: an element's tokens are the sum of what it has (image, ray map, zeros for neither), and the tokens
    for a missing image or ray map, which need knowledge of the whole sequence, are never added.
    """

    def __init__(
        self, model: CUT3R, batch_size: int, heads: bool, state_update: StateUpdate, encode_chunk: int
    ) -> None:
        """See `CUT3R.stream`."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self._model = model
        self._options = (heads, state_update, encode_chunk)
        self._batch_size = batch_size
        self._frames_seen = 0
        self._carry: Carry | None = None
        self._constants: tuple[tuple[int, int], Constants] | None = None

    @property
    def frames_seen(self) -> int:
        """How many frames have been pushed."""
        return self._frames_seen

    @torch.no_grad()
    def push(
        self,
        frames: Tensor,
        img_mask: Tensor | None = None,
        ray_maps: Tensor | None = None,
        ray_mask: Tensor | None = None,
        update: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> CUT3ROutput:
        """The output for the next frames, (batch, frame, 3, height, width) with one or more frames.

        Arguments are those of `CUT3R.forward`. For a query by ray map alone pass frames of the right size with any
        content, and `img_mask` false. The output's state and memory are those after the last pushed frame.
        """
        model = self._model
        inputs = check_inputs(frames, img_mask, ray_maps, ray_mask, update, reset, model.config.patch_size)
        if len(frames) != self._batch_size:
            raise ValueError(f"frames' batch (axis 0) must be {self._batch_size}, the stream's, got {len(frames)}")
        constants = self._constants_for(frames.shape[-2], frames.shape[-1])
        carry = self._carry or model.initial_carry(self._batch_size, constants)
        output, self._carry = model.rollout(inputs, carry, constants, *self._options, masked_tokens=None)
        self._frames_seen += inputs.img_mask.shape[1]
        return output

    def _constants_for(self, height: int, width: int) -> Constants:
        size = (height, width)
        if self._constants is None or self._constants[0] != size:
            self._constants = (size, self._model.constants(height, width))
        return self._constants[1]

    @torch.no_grad()
    def state_dict(self) -> dict[str, Tensor]:
        """A copy of everything that the next frame depends on, as plain contiguous tensors (safetensors takes them)."""
        size = self._model.config.patch_size
        carry = self._carry or self._model.initial_carry(self._batch_size, self._model.constants(size, size))
        tensors = {name: value.clone(memory_format=torch.contiguous_format) for name, value in carry._asdict().items()}
        return tensors | {"frames_seen": torch.tensor([self._frames_seen])}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Continues where `state_dict` was taken, with the same bits; ValueError for wrong names, shapes or types."""
        own = self.state_dict()
        if set(own) != set(tensors):
            raise ValueError(f"a stream's state has the tensors {sorted(own)}, got {sorted(tensors)}")
        for name, value in own.items():
            given = tensors[name]
            if given.shape != value.shape or given.dtype != value.dtype:
                raise ValueError(
                    f"{name} must be {value.dtype} {tuple(value.shape)} for this model and batch size, "
                    f"got {given.dtype} {tuple(given.shape)}"
                )
        device = self._model.pose_token.device
        self._carry = Carry(*(tensors[name].to(device, copy=True) for name in Carry._fields))
        self._frames_seen = int(tensors["frames_seen"])
