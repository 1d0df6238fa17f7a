"""Attention over a pack without its empty blocks: the prefix once, then the questions side by side.

A dense block mask spends most of its work on pairs of questions that must not see each other. Here the prefix attends
to itself causally, and every question, as one element of a batch, to the prefix and itself. The results are those of
the dense mask. FlexAttention does the same on GPUs without the copies that this makes of the prefix's keys and values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from vlm3r.training.packing import PADDING, PREFIX

NAME = "packed_sdpa"
"""Attention implementation of the language model under which transformers finds this one."""


@dataclass(frozen=True)
class PackLayout:
    """Where the questions of one packed sequence are; stands in place of an attention mask."""

    prefix: int
    """Tokens that all questions share."""
    places: Tensor
    """`(question, token)`: places in the sequence, shorter questions padded with their last place."""
    kept: Tensor
    """`(question, token)` bool: no padding."""
    visible: Tensor
    """`(token, prefix + token)` bool: what a question's token may look at; the same for all questions."""
    tail: int
    """Tokens of padding after the last question."""


def layout_of(segments: Tensor) -> PackLayout | None:
    """The layout of `segments` `(1, token)`; None for a sequence without questions of its own, or for several."""
    if segments.shape[0] != 1:
        return None
    numbers, counts = torch.unique_consecutive(segments[0], return_counts=True)
    sizes = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    prefix, tail = sizes.pop(PREFIX, 0), sizes.pop(PADDING, 0)
    if not sizes or not prefix:
        return None
    lengths = torch.tensor(list(sizes.values()), device=segments.device)
    longest = torch.arange(int(lengths.max()), device=segments.device)
    starts = prefix + lengths.cumsum(0) - lengths
    kept = longest < lengths[:, None]
    places = starts[:, None] + torch.minimum(longest, lengths[:, None] - 1)
    own = longest[:, None] >= longest
    visible = torch.cat([own.new_ones(len(longest), prefix), own], dim=1)
    return PackLayout(prefix, places, kept, visible, tail)


def packed_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **settings: Any
) -> tuple[Tensor, None]:
    """transformers' attention interface: scaled-dot-product attention that understands a `PackLayout` as its mask.

    Args:
        module: the attention layer.
        query: `(batch, head, token, head dim)`.
        key: `(batch, key head, token, head dim)`.
        value: as `key`.
        attention_mask: a layout, or what `sdpa` takes, which then runs.
        settings: `scaling`, `dropout`.

    Returns:
        `(batch, token, head, head dim)`, and no weights.
    """
    if not isinstance(attention_mask, PackLayout):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    groups: Any = getattr(module, "num_key_value_groups", 1)
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    options = {"dropout_p": settings.get("dropout", 0.0), "scale": settings.get("scaling")}
    pack, start = attention_mask, attention_mask.prefix
    shared = F.scaled_dot_product_attention(
        query[:, :, :start], key[:, :, :start], value[:, :, :start], is_causal=True, **options
    )

    def questions(tokens: Tensor) -> Tensor:
        return tokens[0][:, pack.places].transpose(0, 1)  # (question, head, token, head dim)

    def behind_prefix(tokens: Tensor) -> Tensor:
        prefix = tokens[:, :, :start].expand(len(pack.places), -1, -1, -1)
        return torch.cat([prefix, questions(tokens)], dim=2)

    asked = F.scaled_dot_product_attention(
        questions(query), behind_prefix(key), behind_prefix(value), attn_mask=pack.visible, **options
    )
    flat = asked.transpose(1, 2)[pack.kept]  # (token, head, head dim), in the order of the sequence
    rest = flat.new_zeros(pack.tail, *flat.shape[1:])
    return torch.cat([shared[0].transpose(0, 1), flat, rest])[None], None


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
