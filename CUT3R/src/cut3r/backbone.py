"""The learned parts of CUT3R: ViT encoders, pose memory, and the twin decoder's step over one frame.

Parameter names are those of the published model, so its weights load without renaming.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cut3r.config import CUT3RConfig
from cut3r.heads import DPTHeads, LinearHeads
from cut3r.initialise import initialise
from cut3r.inputs import RAY_CHANNELS, FrameInputs
from cut3r.layers import DecoderBlock, EncoderBlock, Rope, rope_tables

ENCODE_CHUNK = 8
"""Images encoded together unless told otherwise: enough to fill a device, few enough to bound memory."""


Encoder = Callable[[Tensor, "Constants"], Tensor]


class Carry(NamedTuple):
    """What travels from frame to frame."""

    state: Tensor
    """(batch, state token, dim)."""
    memory: Tensor
    """(batch, slot, 2 * dim)."""
    fresh: Tensor
    """(batch,) bool: the state is still the initial one (no update since the start or since a reset)."""
    started: Tensor
    """(batch,) bool: at least one frame of the sequence has gone by."""


class Constants(NamedTuple):
    """What is the same for all frames of one size: computed once for a rollout, reused by every block and frame."""

    encoder: Rope
    """Patches, for the image encoder's head width."""
    rays: Rope
    """Patches, for the ray-map encoder's head width."""
    image: tuple[Rope, Rope]
    """Camera token and patches, for the head widths of the image and of the state branch."""
    state: tuple[Rope, Rope]
    """State tokens, for the head widths of the image and of the state branch."""
    initial_state: Tensor
    """(1, state token, dim)."""


class Step(NamedTuple):
    """One frame's results."""

    carry: Carry
    camera: Tensor
    """(batch, 1, dim)."""
    patches: Tensor
    """(batch, patch, dim)."""
    pose_in: Tensor
    """Camera token that entered the decoder, (batch, 1, dim)."""
    hooked: tuple[Tensor, ...]
    """Intermediate tokens that the heads need, each (batch, patch, width); empty without heads."""


class PatchEmbed(nn.Module):
    """Non-overlapping patches, one token each."""

    def __init__(self, channels: int, dim: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, patch_size, stride=patch_size)

    def forward(self, planes: Tensor) -> Tensor:
        """(image, channel, height, width) to (image, patch, dim), patches row by row."""
        return self.proj(planes).flatten(2).transpose(1, 2)


class PoseMemory(nn.Module):
    """Slots of (image query, camera token) pairs: gives a first guess of the camera token and stores the final one."""

    def __init__(self, config: CUT3RConfig) -> None:
        super().__init__()
        dim = config.dec_embed_dim
        size = (2 * dim, config.dec_num_heads, config.mlp_ratio, config.norm_eps)
        self.proj_q = nn.Linear(config.enc_embed_dim, dim)
        self.masked_token = nn.Parameter(torch.empty(1, 1, dim))
        self.mem = nn.Parameter(torch.empty(1, config.local_mem_size, 2 * dim))
        self.write_blocks = nn.ModuleList(DecoderBlock(*size) for _ in range(config.memory_depth))
        self.read_blocks = nn.ModuleList(DecoderBlock(*size) for _ in range(config.memory_depth))

    def read(self, query: Tensor, memory: Tensor) -> Tensor:
        """`query` (batch, 1, dim) looked up in `memory` (batch, slot, 2 * dim): a camera token (batch, 1, dim)."""
        token = torch.cat((query, self.masked_token.expand(len(query), -1, -1)), dim=-1)  # (batch, 1, 2 * dim)
        for block in self.read_blocks:
            token, _ = block(token, memory)
        return token[..., query.shape[-1] :]

    def write(self, query: Tensor, camera: Tensor, memory: Tensor) -> Tensor:
        """`memory` after storing the pair (query, camera), both (batch, 1, dim)."""
        token = torch.cat((query, camera), dim=-1)  # (batch, 1, 2 * dim)
        for block in self.write_blocks:
            memory, _ = block(memory, token)
        return memory


class Backbone(nn.Module):
    """Parameters of CUT3R, the encoding of frames and one recurrent step; `CUT3R` adds the rollouts."""

    def __init__(self, config: CUT3RConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CUT3RConfig()
        enc, dec, eps, ratio = config.enc_embed_dim, config.dec_embed_dim, config.norm_eps, config.mlp_ratio

        def encoder(depth: int, heads: int) -> nn.ModuleList:
            return nn.ModuleList(EncoderBlock(enc, heads, ratio, eps) for _ in range(depth))

        def decoder(heads: int) -> nn.ModuleList:
            return nn.ModuleList(DecoderBlock(dec, heads, ratio, eps) for _ in range(config.dec_depth))

        self.patch_embed = PatchEmbed(3, enc, config.patch_size)
        self.enc_blocks = encoder(config.enc_depth, config.enc_num_heads)
        self.enc_norm = nn.LayerNorm(enc, eps=eps)
        self.patch_embed_ray_map = PatchEmbed(RAY_CHANNELS, enc, config.patch_size)
        self.enc_blocks_ray_map = encoder(config.ray_enc_depth, config.ray_enc_num_heads)
        self.enc_norm_ray_map = nn.LayerNorm(enc, eps=eps)
        self.masked_img_token = nn.Parameter(torch.empty(1, enc))
        self.masked_ray_map_token = nn.Parameter(torch.empty(1, enc))
        self.pose_token = nn.Parameter(torch.empty(1, 1, dec))
        self.pose_retriever = PoseMemory(config)
        self.register_tokens = nn.Embedding(config.state_size, enc)
        self.decoder_embed_state = nn.Linear(enc, dec)
        self.decoder_embed = nn.Linear(enc, dec)
        self.dec_blocks = decoder(config.dec_num_heads)
        self.dec_norm = nn.LayerNorm(dec, eps=eps)
        self.dec_blocks_state = decoder(config.state_dec_num_heads)
        self.dec_norm_state = nn.LayerNorm(dec, eps=eps)
        self.downstream_head = (DPTHeads if config.head_type == "dpt" else LinearHeads)(config)
        initialise(self)

    def encode(
        self,
        inputs: FrameInputs,
        constants: Constants,
        encode_chunk: int = ENCODE_CHUNK,
        masked_tokens: tuple[Tensor, Tensor | None] | None = None,
    ) -> Tensor:
        """Tokens that enter the decoder, (batch, frame, patch, enc dim): image tokens plus ray-map tokens.

        `masked_tokens` (offline rollouts) are added to elements without an image and without a ray map; the second is
        None where the whole sequence has no ray map.
        """
        tokens = self._encode_where(inputs.img_mask, inputs.frames, self._encode_images, constants, encode_chunk)
        if inputs.ray_maps is not None and bool(inputs.ray_mask.any()):
            planes = inputs.ray_maps.movedim(-1, 2)  # (batch, frame, 6, height, width)
            tokens = tokens + self._encode_where(inputs.ray_mask, planes, self._encode_rays, constants, encode_chunk)
        tokens = tokens.unflatten(0, inputs.img_mask.shape)
        for mask, token in zip((inputs.img_mask, inputs.ray_mask), masked_tokens or (None, None), strict=True):
            if token is not None and not bool(mask.all()):
                absent = ~mask.to(tokens.device)[..., None, None]
                tokens = torch.where(absent, tokens + token, tokens)
        return tokens

    def _encode_where(self, mask: Tensor, planes: Tensor, encoder: Encoder, constants: Constants, chunk: int) -> Tensor:
        """`encoder` on the elements of `planes` where `mask` holds, zeros elsewhere: (batch * frame, patch, dim)."""
        device, dtype = self.pose_token.device, self.pose_token.dtype
        rows = mask.flatten().nonzero()[:, 0]
        flat = planes.flatten(0, 1)
        if len(rows) == len(flat):
            parts = flat.split(chunk)
        else:
            parts = tuple(flat[part.to(flat.device)] for part in rows.split(chunk)) if len(rows) else ()
        encoded = [encoder(part.to(device, dtype), constants) for part in parts]
        if len(rows) == len(flat):
            return torch.cat(encoded)
        patches = constants.encoder.cos.shape[-2]
        zeros = torch.zeros(len(flat), patches, self.config.enc_embed_dim, device=device, dtype=dtype)
        return zeros.index_copy(0, rows.to(device), torch.cat(encoded)) if encoded else zeros

    def _encode_images(self, planes: Tensor, constants: Constants) -> Tensor:
        tokens = self.patch_embed(planes)
        for block in self.enc_blocks:
            tokens = block(tokens, constants.encoder)
        return self.enc_norm(tokens)

    def _encode_rays(self, planes: Tensor, constants: Constants) -> Tensor:
        tokens = self.patch_embed_ray_map(planes)
        for block in self.enc_blocks_ray_map:
            tokens = block(tokens, constants.rays)
        return self.enc_norm_ray_map(tokens)

    def constants(self, height: int, width: int) -> Constants:
        """Rotation tables and initial state for frames of `height` x `width` pixels, on the model's device."""
        config, device = self.config, self.pose_token.device
        patches = patch_positions(height // config.patch_size, width // config.patch_size, device)[None]
        return Constants(
            encoder=rope_tables(patches, config.enc_embed_dim // config.enc_num_heads, config.rope_base),
            rays=rope_tables(patches, config.enc_embed_dim // config.ray_enc_num_heads, config.rope_base),
            image=self._decoder_ropes(_with_camera_token(patches)),
            state=self._decoder_ropes(state_positions(config, device)[None]),
            initial_state=self.decoder_embed_state(self.register_tokens.weight)[None],
        )

    def _decoder_ropes(self, positions: Tensor) -> tuple[Rope, Rope]:
        """Tables of `positions` (batch or 1, token, 2) for the image and for the state branch's head width."""
        config = self.config
        heads = (config.dec_num_heads, config.state_dec_num_heads)
        image, state = (rope_tables(positions, config.dec_embed_dim // count, config.rope_base) for count in heads)
        return image, state

    def constants_of(self, inputs: FrameInputs, t: int, constants: Constants) -> Constants:
        """`constants` for frame `t`: elements with neither image nor ray map have all patches at position 0."""
        present = inputs.img_mask[:, t] | inputs.ray_mask[:, t]
        if bool(present.all()):
            return constants
        rows, columns = (side // self.config.patch_size for side in inputs.frames.shape[-2:])
        patches = patch_positions(rows, columns)
        positions = patches * present[:, None, None]  # (batch, patch, 2)
        device = constants.initial_state.device
        return constants._replace(image=self._decoder_ropes(_with_camera_token(positions.to(device))))

    def initial_carry(self, batch: int, constants: Constants) -> Carry:
        """The carry before the first frame."""
        flags = torch.ones(batch, dtype=torch.bool, device=self.pose_token.device)
        return Carry(
            # Copies, not views: the first step then sees the same strides and flags as every later one.
            state=constants.initial_state.repeat(batch, 1, 1),
            memory=self.pose_retriever.mem.repeat(batch, 1, 1),
            fresh=flags,
            started=~flags,
        )

    def step(
        self,
        encoded: Tensor,
        carry: Carry,
        update: Tensor,
        reset: Tensor,
        constants: Constants,
        heads: bool = False,
        ttt3r: bool = False,
    ) -> Step:
        """One frame: `encoded` (batch, patch, enc dim), `update` and `reset` (batch,) bool.

        The first frame of a sequence starts from the learned camera token, every later one (also after a reset) from a
        read of the pose memory. The state that is proposed is normed, the initial one is not, and the memory grows in
        scale with every write: so published.

        With `ttt3r`, S = S_old + beta * (S_new - S_old) per state token (TTT3R, arXiv:2509.26645), beta being the
        sigmoid of the state-to-image cross-attention logits (scaled and rotated as the attention sees them) averaged
        over layers, heads and the image branch's tokens, camera token included. The first update of a sequence, and
        the first one after a reset, replaces the state: there is nothing learned in the initial one to hold on to. The
        memory is replaced as ever.
        """
        query = self.pose_retriever.proj_q(encoded.mean(dim=1, keepdim=True))  # (batch, 1, dim)
        recalled = self.pose_retriever.read(query, carry.memory)
        pose_in = torch.where(carry.started[:, None, None], recalled, self.pose_token)
        hooks = self.downstream_head.hooks if heads else ()
        image, state, hooked, logits = self._decode(encoded, pose_in, carry.state, constants, hooks, ttt3r)
        camera, patches = image[:, :1], image[:, 1:]
        memory = self.pose_retriever.write(query, camera, carry.memory)
        if logits is not None:
            rate = logits.sigmoid()[..., None].to(state.dtype)  # (batch, state token, 1)
            blended = carry.state + rate * (state - carry.state)
            state = torch.where(carry.fresh[:, None, None], state, blended)
        take, clear = update[:, None, None], reset[:, None, None]
        # Selected rather than multiplied: what a rejected frame proposes must not leak, not even as NaN.
        state = torch.where(clear, constants.initial_state, torch.where(take, state, carry.state))
        memory = torch.where(clear, self.pose_retriever.mem, torch.where(take, memory, carry.memory))
        fresh = (carry.fresh & ~update) | reset
        carry = Carry(state, memory, fresh, torch.ones_like(carry.started))
        return Step(carry, camera, patches, pose_in, hooked)

    def _decode(
        self,
        encoded: Tensor,
        pose: Tensor,
        state: Tensor,
        constants: Constants,
        hooks: tuple[int, ...],
        want_logits: bool,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...], Tensor | None]:
        """Normed image branch (batch, 1 + patch, dim), normed state (batch, state token, dim), hooked tokens, logits.

        `hooks` name decoder entries: 0 for `encoded`, l for the image branch after layer l, returned without camera
        token. The logits are the layers' mean, (batch, state token).
        """
        image = torch.cat((pose, self.decoder_embed(encoded)), dim=1)  # (batch, 1 + patch, dim)
        image_ropes = (constants.image[0], constants.state[0])
        state_ropes = (constants.state[1], constants.image[1])
        entries = {0: encoded} if 0 in hooks else {}
        layer_logits: list[Tensor] = []
        for layer, (image_block, state_block) in enumerate(zip(self.dec_blocks, self.dec_blocks_state, strict=True), 1):
            # Both read what the previous layer left: neither sees the other's result of this layer.
            (image, _), (state, logits) = (
                image_block(image, state, image_ropes),
                state_block(state, image, state_ropes, want_logits),
            )
            if layer in hooks:
                entries[layer] = image[:, 1:]
            if logits is not None:
                layer_logits.append(logits)
        mean_logits = torch.stack(layer_logits).mean(0) if layer_logits else None
        hooked = tuple(entries[hook] for hook in hooks)
        return self.dec_norm(image), self.dec_norm_state(state), hooked, mean_logits


def patch_positions(rows: int, columns: int, device: torch.device | None = None) -> Tensor:
    """Positions (y, x) of the patches of a grid, row by row, (patch, 2)."""
    sides = (torch.arange(side, device=device) for side in (rows, columns))
    return torch.stack(torch.meshgrid(*sides, indexing="ij"), dim=-1).flatten(0, 1)


def _with_camera_token(patches: Tensor) -> Tensor:
    """Positions (batch, patch, 2) with the camera token's (-1, -1) in front."""
    return torch.cat((patches.new_full((len(patches), 1, 2), -1), patches), dim=1)


def state_positions(config: CUT3RConfig, device: torch.device | None = None) -> Tensor:
    """Positions (y, x) of the state tokens, (state token, 2): a grid whose width is even, or the diagonal."""
    index = torch.arange(config.state_size, device=device)
    if config.state_pe == "1d":
        return torch.stack((index, index), dim=-1)
    width = math.isqrt(config.state_size)
    width += width % 2
    return torch.stack((index // width, index % width), dim=-1)
