"""Attention over a pack without its empty blocks: the prefix once, then the questions side by side.

A dense block mask spends most of its work on pairs of questions that must not see each other. Here the prefix attends
to itself causally; the questions' tokens look at the prefix in one matrix product, each question at itself, and one
softmax runs over both. The results are those of the dense mask. FlexAttention does the same on GPUs without storing the
attention weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from vlm3r.training.packing import PADDING, PREFIX

NAME = "packed_sdpa"
"""Attention implementation of the language model under which transformers finds this one."""


@dataclass(frozen=True)
class Questions:
    """Where the questions' own tokens are."""

    places: Tensor
    """`(question, token)`: places in the sequence, shorter questions padded with their last place."""
    kept: Tensor
    """`(question, token)` bool: no padding."""


@dataclass(frozen=True)
class PackLayout:
    """Where the questions of one packed sequence are; stands in place of an attention mask."""

    prefix: int
    """Tokens that all questions share."""
    tail: int
    """Tokens of padding after the last question."""
    questions: Questions | None
    """What is not shared; None for an ordinary causal sequence."""


def layout_of(segments: Tensor) -> PackLayout | None:
    """The layout of `segments` `(1, token)`; None for several sequences, or one without a prefix."""
    if segments.shape[0] != 1:
        return None
    numbers, counts = torch.unique_consecutive(segments[0], return_counts=True)
    sizes = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    prefix, tail = sizes.pop(PREFIX, 0), sizes.pop(PADDING, 0)
    if not prefix:
        return None
    if not sizes:
        return PackLayout(prefix, tail, None)
    lengths = torch.tensor(list(sizes.values()), device=segments.device)
    longest = torch.arange(int(lengths.max()), device=segments.device)
    starts = prefix + lengths.cumsum(0) - lengths
    kept = longest < lengths[:, None]
    places = starts[:, None] + torch.minimum(longest, lengths[:, None] - 1)
    return PackLayout(prefix, tail, Questions(places, kept))


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
    start, dropout, scale = attention_mask.prefix, settings.get("dropout", 0.0), settings.get("scaling")
    prefix = (tokens[:, :, :start] for tokens in (query, key, value))
    gqa = query.shape[1] != key.shape[1]
    shared = F.scaled_dot_product_attention(*prefix, is_causal=True, dropout_p=dropout, scale=scale, enable_gqa=gqa)
    parts = [shared[0].transpose(0, 1)]  # each (token, head, head dim), in the order of the sequence
    if attention_mask.questions is not None:
        scaled = query[0] * (query.shape[-1] ** -0.5 if scale is None else scale)
        parts.append(_ask(scaled, key[0], value[0], start, attention_mask.questions, dropout))
    parts.append(parts[0].new_zeros(attention_mask.tail, *parts[0].shape[1:]))
    return torch.cat(parts)[None], None


def _ask(query: Tensor, key: Tensor, value: Tensor, start: int, questions: Questions, dropout: float) -> Tensor:
    """The questions' own tokens after attention, `(token, head, head dim)`.

    Args:
        query: `(head, token, head dim)`, scaled.
        key: `(key head, token, head dim)`.
        value: as `key`.
        start: length of the prefix.
        questions: where they are.
        dropout: share of attention weights that are dropped.
    """
    count, longest = questions.places.shape
    shape = (len(key), len(query) // len(key), count, longest)  # (key head, head of its group, question, token)
    own_query = query[:, questions.places].unflatten(0, shape[:2])
    own_key, own_value = (tokens[:, None, questions.places] for tokens in (key, value))
    at_prefix = (own_query.flatten(1, 3) @ key[:, :start].mT).view(*shape, start)
    at_itself = own_query @ own_key.mT
    later = torch.ones(longest, longest, dtype=torch.bool, device=query.device).triu(1)
    weights = torch.cat([at_prefix, at_itself.masked_fill(later, -torch.inf)], dim=-1).softmax(dim=-1)
    weights = F.dropout(weights, dropout)
    from_prefix = (weights[..., :start].flatten(1, 3) @ value[:, :start]).view(*shape, -1)
    attended = (from_prefix + weights[..., start:] @ own_value).flatten(0, 1)  # (head, question, token, head dim)
    return attended.permute(1, 2, 0, 3)[questions.kept]


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
