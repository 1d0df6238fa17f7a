"""The training objective: next-token cross-entropy of packed questions, with logits only where there is a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vlm3r.model.modeling import VISUAL_INPUTS, VLM3RForConditionalGeneration
from vlm3r.training.packed_attention import NAME as PACKED
from vlm3r.training.packed_attention import layout_of
from vlm3r.training.packing import dense_mask, eager_mask, flex_mask

TARGET_CHUNK = 4096
"""Targets whose logits exist at a time; more are recomputed in the backward pass, so that memory stays bounded."""


@dataclass(frozen=True)
class Losses:
    """What a batch came to."""

    weighted_sum: Tensor
    """Scalar with gradient: the sum of weight times cross-entropy over all targets."""
    per_target: Tensor
    """`(target,)` float32, detached: the cross-entropies."""


class PackedObjective(nn.Module):
    """A model and its loss on packed batches.

    The language model's blocks run once over the packed sequence; its output layer only on the places that predict a
    target. Frozen parts need no autograd, which follows from their inputs and weights asking for no gradient.
    """

    def __init__(self, model: VLM3RForConditionalGeneration):
        super().__init__()
        self.model = model
        if self.attention == "sdpa":
            # Computes what sdpa does, and packs without their empty blocks.
            model.language_model.set_attn_implementation(PACKED)

    @property
    def attention(self) -> str:
        """Name of the language model's attention kernel."""
        return self.model.language_model.config._attn_implementation or "sdpa"

    def forward(self, batch: dict[str, Any]) -> Losses:
        """The losses of a batch.

        Args:
            batch: `input_ids`, `position_ids`, `segments` `(batch, token)`; `sources` (places in the flattened batch),
                `targets` and `weights` `(target,)`; visual inputs under the names of the model's `embed`.
        """
        model = self.model
        visual = {name: batch[name] for name in VISUAL_INPUTS if batch.get(name) is not None}
        embedded = model.embed(batch["input_ids"], **visual)
        hidden = model.language_model.model(
            inputs_embeds=embedded,
            attention_mask=self._mask(batch["segments"], embedded.dtype),
            position_ids=batch["position_ids"],
            use_cache=False,
        ).last_hidden_state  # (batch, token, dim)
        wanted = hidden.flatten(0, 1)[batch["sources"]]  # (target, dim)
        losses = self._cross_entropies(wanted, batch["targets"])
        return Losses((losses * batch["weights"]).sum(), losses.detach())

    def _mask(self, segments: Tensor, dtype: torch.dtype) -> Any:
        if self.attention == "flash_attention_2":
            # One row a sequence, padded at its end: causal attention alone keeps padding out of every target.
            return None
        if self.attention == "flex_attention":
            return flex_mask(segments, compiled=segments.is_cuda)
        if self.attention == "eager":
            return eager_mask(segments, dtype)
        layout = layout_of(segments) if self.attention == PACKED else None
        if layout is None or (layout.questions is not None and segments.is_cuda):
            # On a GPU, memory counts: sdpa's own kernels store no attention weights.
            return dense_mask(segments)
        return {"full_attention": layout}

    def _cross_entropies(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """`(target,)` float32 cross-entropies over every row of the output layer, as published."""
        if len(targets) <= TARGET_CHUNK:
            return self._chunk(hidden, targets)
        pairs = zip(hidden.split(TARGET_CHUNK), targets.split(TARGET_CHUNK), strict=True)
        return torch.cat([checkpoint(self._chunk, h, t, use_reentrant=False) for h, t in pairs])  # pyright: ignore

    def _chunk(self, hidden: Tensor, targets: Tensor) -> Tensor:
        logits = self.model.language_model.lm_head(hidden)
        return F.cross_entropy(logits.float(), targets, reduction="none")
