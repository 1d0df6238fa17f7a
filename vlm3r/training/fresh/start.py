"""How a fresh language model starts: weights that can already look one token back, match and copy.

A question with options is answered by finding a word of the prompt again and naming the letter in front of it.
Attention from purely random weights takes very long to form that circuit, because each of its halves is useless without
the other; these weights hold weak forms of both, and training makes of them what it needs. Queries like keys and
outputs like transposed values are the mimetic initialisation of Trockman and Kolter (2023, "Mimetic Initialization of
Self-Attention Layers"); the backward-looking heads use what rotary positions make of a bias.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2Attention

EMBEDDING_SCALE = 20.0
"""Times the usual spread: blocks must not drown the tokens themselves."""
HEAD_SCALE = 0.1
"""Of the embedding, as the head's rows: what a block copies is what is said."""
PROJECTION_SCALE = 2.0
"""Times the usual spread of attention's matrices."""
KEY_LIKE_QUERY = (0.9, 0.3)
"""Shares of the query's matrix and of noise in the key's."""
OUTPUT_LIKE_VALUE = (0.7, 0.7)
"""Shares of the value's transposed matrix and of noise in the output's."""
SLOWEST = 0.03
"""Radians a token of the slowest rotation that places heads."""
SHARPNESS = 5.0
"""Length of the placing biases in every plane of rotation."""


@torch.no_grad()
def copying_start(model: Qwen2ForCausalLM, generator: torch.Generator) -> None:
    """Change fresh weights in place.

    Args:
        model: a Qwen2 with untied embeddings and ordinary rotary positions, fresh from its own initialisation.
        generator: of the noise.
    """
    embedding = model.model.embed_tokens.weight
    embedding.data.mul_(EMBEDDING_SCALE)
    model.lm_head.weight.data.copy_(HEAD_SCALE * embedding)
    blocks: list[Any] = list(model.model.layers)
    for block in blocks:
        _match_and_copy(block.self_attn, generator)
    _look_back(blocks[0].self_attn, model.model.rotary_emb.get_buffer("inv_freq"))


def _match_and_copy(attention: Qwen2Attention, generator: torch.Generator) -> None:
    """Keys like queries: tokens look at their like. Outputs like transposed values: what is looked at is passed on."""
    size: int = attention.head_dim
    query, key, value = (getattr(attention, f"{name}_proj").weight for name in "qkv")
    output = attention.o_proj.weight
    group = len(query) // len(key)  # heads that share a key head
    first_of_group = query.unflatten(0, (-1, group, size))[:, 0].flatten(0, 1)
    key.copy_(_mixed(first_of_group, KEY_LIKE_QUERY, generator))
    for_each_head = value.unflatten(0, (-1, 1, size)).expand(-1, group, -1, -1).flatten(0, 2)
    output.copy_(_mixed(for_each_head.T, OUTPUT_LIKE_VALUE, generator))
    for weight in (query, key, value, output):
        weight.mul_(PROJECTION_SCALE)


def _mixed(like: Tensor, shares: tuple[float, float], generator: torch.Generator) -> Tensor:
    noise = torch.randn(like.shape, generator=generator) * like.std()
    return shares[0] * like + shares[1] * noise


def _look_back(attention: Qwen2Attention, frequencies: Tensor) -> None:
    """Biases by which head `h` looks `h + 1` tokens back.

    Rotary positions turn the planes of a query and a key by `frequency * place`. A key bias along a plane's first axis
    and a query bias turned back by `frequency * distance` thus score `cos(frequency * (places between - distance))`,
    which is largest where the key is `distance` tokens back.
    """
    size: int = attention.head_dim
    query, key = attention.q_proj.bias.view(-1, size), attention.k_proj.bias.view(-1, size)
    group = len(query) // len(key)
    used = frequencies[frequencies > SLOWEST]
    key[:, : len(used)] = SHARPNESS
    for head in range(len(key)):
        angles = (head + 1) * used
        mine = query[head * group : (head + 1) * group]
        mine[:, : len(used)] = SHARPNESS * angles.cos()
        mine[:, size // 2 : size // 2 + len(used)] = -SHARPNESS * angles.sin()
