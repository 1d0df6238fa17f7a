"""Published weight names and native ones, as declared tables that are read in both directions.

A table is a sequence of `(published prefix, native prefix)`; the first prefix that matches renames the key. No native
prefix is the beginning of another native one of the same table, so every table can be inverted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")
Table = tuple[tuple[str, str], ...]

PROJECTOR: Table = (
    ("model.mm_projector.0.", "projector.linear_1."),
    ("model.mm_projector.2.", "projector.linear_2."),
)

LANGUAGE: Table = (
    ("model.embed_tokens.", "language_model.model.embed_tokens."),
    ("model.layers.", "language_model.model.layers."),
    ("model.norm.", "language_model.model.norm."),
    ("lm_head.", "language_model.lm_head."),
)

BASE: Table = (
    *PROJECTOR,
    ("model.image_newline", "image_newline"),
    ("model.vision_tower.vision_tower.vision_model.", "vision_tower."),
    *LANGUAGE,
)
"""The base model, LLaVA-NeXT-Video-7B-Qwen2."""

NON_LORA: Table = (
    *PROJECTOR,
    ("model.fusion_block.clip_norm.", "fusion.visual_norm."),
    ("model.fusion_block.spatial_encoder_norm.", "fusion.geometry_norm."),
    ("model.fusion_block.clip_query_proj.", "fusion.query_proj."),
    ("model.fusion_block.spatial_encoder_key_proj.", "fusion.key_proj."),
    ("model.fusion_block.spatial_encoder_value_proj.", "fusion.value_proj."),
    ("model.fusion_block.cross_attention.", "fusion.attention."),
    ("model.fusion_block.out_proj.", "fusion.out_proj."),
    ("model.fusion_block.out_norm.", "fusion.out_norm."),
)
"""`non_lora_trainables.bin`, after its container prefix is taken off: fusion and projector."""

NON_LORA_PREFIXES = ("base_model.model.", "model.", "")
"""Prefixes that training frameworks put before `model.fusion_block` and `model.mm_projector`."""

ADAPTER_PREFIX = "base_model.model."
"""What PEFT puts before every adapter key."""


class UnknownKeyError(KeyError):
    """A weight name that no row of a table covers."""


def to_native(key: str, table: Table) -> str:
    """The native name of a published weight."""
    return _rename(key, table)


def to_published(key: str, table: Table) -> str:
    """The published name of a native weight."""
    return _rename(key, tuple((native, published) for published, native in table))


def _rename(key: str, table: Table) -> str:
    for source, target in table:
        if key == source or (source.endswith(".") and key.startswith(source)):
            return target + key[len(source) :]
    raise UnknownKeyError(key)


def covered(key: str, table: Table) -> bool:
    """Whether a native weight belongs to the table."""
    return any(key == native or (native.endswith(".") and key.startswith(native)) for _, native in table)


def strip_non_lora_prefix(tensors: Mapping[str, T]) -> dict[str, T]:
    """`non_lora_trainables` with keys that begin with `model.fusion_block` or `model.mm_projector`."""
    return {_strip_non_lora_key(key): value for key, value in tensors.items()}


def _strip_non_lora_key(key: str) -> str:
    for prefix in NON_LORA_PREFIXES:
        rest = key.removeprefix(prefix)
        if key.startswith(prefix) and rest.startswith(("model.fusion_block.", "model.mm_projector.")):
            return rest
    raise UnknownKeyError(key)


def drop_tolerated(keys: Iterable[str], vision_layers: int) -> list[str]:
    """The base model's keys without those that a published copy may hold beyond the model.

    These are SigLIP's dropped last layer (number `vision_layers`), its pooling head and its position ids.
    """
    prefix = re.escape("model.vision_tower.vision_tower.vision_model.")
    extra = re.compile(rf"{prefix}(encoder\.layers\.{vision_layers}\.|head\.|embeddings\.position_ids$)")
    return [key for key in keys if not extra.match(key)]
