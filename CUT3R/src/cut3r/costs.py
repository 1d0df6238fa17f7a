"""FLOPs and parameters of a CUT3R model, from its configuration alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cut3r.config import CUT3RConfig
from cut3r.heads import COLOUR_CHANNELS, POINT_CHANNELS, POSE_NUMBERS
from cut3r.model import CUT3R


@dataclass(frozen=True)
class FrameCosts:
    """FLOPs of one frame of one sequence, two for a multiply-add; matrix products, convolutions and attention only."""

    encoder: int
    """Image encoder."""
    decoder: int
    """Twin decoder: image and state branch."""
    memory: int
    """Reading and writing of the pose memory."""
    heads: int
    """Pointmap, colour and pose heads; 0 where they are not run."""

    @property
    def total(self) -> int:
        """The sum of the parts."""
        return self.encoder + self.decoder + self.memory + self.heads


def flops_per_frame(config: CUT3RConfig, height: int, width: int, heads: bool = False) -> FrameCosts:
    """FLOPs to process one image of `height` x `width` pixels as one frame of a sequence."""
    rows, columns = height // config.patch_size, width // config.patch_size
    return FrameCosts(
        encoder=_encoder(config, rows * columns),
        decoder=_decoder(config, rows * columns),
        memory=_memory(config),
        heads=_heads(config, rows, columns) if heads else 0,
    )


def count_parameters(config: CUT3RConfig) -> dict[str, int]:
    """Numbers of parameters by top-level part of the model, and their `total`; no memory is allocated."""
    with torch.device("meta"):
        return parameters_by_part(CUT3R(config))


def parameters_by_part(model: torch.nn.Module) -> dict[str, int]:
    """Numbers of parameters of a model by the first word of their names, and their `total`."""
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        part = name.partition(".")[0]
        counts[part] = counts.get(part, 0) + parameter.numel()
    return counts | {"total": sum(counts.values())}


def _linear(tokens: int, dim: int, out: int) -> int:
    return 2 * tokens * dim * out


def _mlp(tokens: int, dim: int, hidden: int, out: int) -> int:
    return _linear(tokens, dim, hidden) + _linear(tokens, hidden, out)


def _attention(queries: int, keys: int, dim: int) -> int:
    """Projections of queries, keys, values and result, and the two products of attention."""
    projections = 2 * _linear(queries, dim, dim) + 2 * _linear(keys, dim, dim)
    return projections + 4 * queries * keys * dim


def _decoder_block(tokens: int, context: int, dim: int, ratio: int) -> int:
    attention = _attention(tokens, tokens, dim) + _attention(tokens, context, dim)
    return attention + _mlp(tokens, dim, ratio * dim, dim)


def _encoder(config: CUT3RConfig, patches: int) -> int:
    dim = config.enc_embed_dim
    block = _attention(patches, patches, dim) + _mlp(patches, dim, config.mlp_ratio * dim, dim)
    return _linear(patches, 3 * config.patch_size**2, dim) + config.enc_depth * block


def _decoder(config: CUT3RConfig, patches: int) -> int:
    dim, state, ratio = config.dec_embed_dim, config.state_size, config.mlp_ratio
    tokens = patches + 1
    layer = _decoder_block(tokens, state, dim, ratio) + _decoder_block(state, tokens, dim, ratio)
    return _linear(patches, config.enc_embed_dim, dim) + config.dec_depth * layer


def _memory(config: CUT3RConfig) -> int:
    slots, pair, ratio = config.local_mem_size, 2 * config.dec_embed_dim, config.mlp_ratio
    blocks = _decoder_block(1, slots, pair, ratio) + _decoder_block(slots, 1, pair, ratio)
    return _linear(1, config.enc_embed_dim, config.dec_embed_dim) + config.memory_depth * blocks


def _heads(config: CUT3RConfig, rows: int, columns: int) -> int:
    dim, patches = config.dec_embed_dim, rows * columns
    hidden = config.mlp_ratio * dim
    block = _attention(patches, patches, dim) + _mlp(patches, dim, hidden, dim) + 2 * _linear(1, dim, 2 * dim)
    shared = config.head_transform_depth * block + _mlp(1, dim, hidden, POSE_NUMBERS)
    maps = (POINT_CHANNELS, COLOUR_CHANNELS, POINT_CHANNELS)
    if config.head_type == "linear":
        return shared + sum(_mlp(patches, dim, hidden, channels * config.patch_size**2) for channels in maps)
    return shared + sum(_dpt(config, rows, columns, channels) for channels in maps)


def _dpt(config: CUT3RConfig, rows: int, columns: int, channels: int) -> int:
    dims, feature, last = config.dpt_layer_dims, config.dpt_feature_dim, config.dpt_last_dim
    widths = (config.enc_embed_dim, *[config.dec_embed_dim] * 3)
    patches, half = rows * columns, -(-rows // 2) * -(-columns // 2)
    total = sum(_linear(patches, width, dim) for width, dim in zip(widths, dims, strict=True))
    # Transposed convolutions without overlap cost one product an input pixel for every pixel of their kernel.
    total += _linear(patches, dims[0], 16 * dims[0]) + _linear(patches, dims[1], 4 * dims[1])
    total += _linear(half, 9 * dims[3], dims[3])
    pixels = (16 * patches, 4 * patches, patches, half)
    for level, (count, dim) in enumerate(zip(pixels, dims, strict=True)):
        convolutions = 2 if level == 3 else 4  # the coarsest level skips the first residual unit
        total += _linear(count, 9 * dim, feature) + convolutions * _linear(count, 9 * feature, feature)
        total += _linear(count, feature, feature)
    total += _linear(64 * patches, 9 * feature, last)
    return total + _linear(256 * patches, 9 * last, last) + _linear(256 * patches, last, channels)
