"""Heads: decoder tokens to pointmaps, confidences, colours and a camera pose. Nothing flows back from them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cut3r.config import CUT3RConfig
from cut3r.layers import Mlp, ModulatedBlock, Rope

POINT_CHANNELS = 4  # x, y, z and a confidence
COLOUR_CHANNELS = 3
POSE_NUMBERS = 7  # translation and quaternion


def _exp_direction(raw: Tensor) -> Tensor:
    """`raw` (..., 3) with its length n replaced by exp(n) - 1."""
    length = raw.norm(dim=-1, keepdim=True)
    return raw / length.clamp_min(1e-8) * torch.expm1(length)


def as_points(raw: Tensor, flip_behind: bool = False) -> tuple[Tensor, Tensor]:
    """Points (batch, height, width, 3) and confidence (batch, height, width) of a raw map (batch, 4, height, width).

    `flip_behind` mirrors points with negative depth through the camera, as the published linear head does.
    """
    raw = raw.float().permute(0, 2, 3, 1)  # (batch, height, width, 4)
    vector = raw[..., :3]
    if flip_behind:
        vector = torch.where(vector[..., 2:] < 0, -vector, vector)
    return _exp_direction(vector), 1 + raw[..., 3].exp()


def as_colours(raw: Tensor) -> Tensor:
    """Colours in (-1, 1), (batch, height, width, 3), of a raw map (batch, 3, height, width)."""
    margin = 1e-6
    return 2 * (margin + (1 - 2 * margin) * raw.float().permute(0, 2, 3, 1).sigmoid()) - 1


class PoseHead(nn.Module):
    """Camera pose from the camera token."""

    def __init__(self, config: CUT3RConfig) -> None:
        super().__init__()
        dim = config.dec_embed_dim
        self.mlp = Mlp(dim, config.mlp_ratio * dim, POSE_NUMBERS)

    def forward(self, camera_token: Tensor) -> Tensor:
        """(batch, dim) to translation and unit quaternion with w >= 0, (batch, 7)."""
        raw = self.mlp(camera_token).float()
        quaternion = F.normalize(raw[..., 3:], dim=-1)
        quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
        return torch.cat((_exp_direction(raw[..., :3]), quaternion), dim=-1)


class Heads(nn.Module):
    """The parts that the linear and the DPT variant share; subclasses add the three dense maps."""

    hooks: tuple[int, ...]
    """Entries of the decoder list to keep for `forward`: 0 is the encoder tokens, l the image branch after layer l."""

    def __init__(self, config: CUT3RConfig) -> None:
        super().__init__()
        dim = config.dec_embed_dim
        self.final_transform = nn.ModuleList(
            ModulatedBlock(dim, config.dec_num_heads, config.mlp_ratio, config.norm_eps)
            for _ in range(config.head_transform_depth)
        )
        self.pose_head = PoseHead(config)

    def forward(
        self, camera: Tensor, patches: Tensor, hooked: tuple[Tensor, ...], grid: tuple[int, int], rope: Rope
    ) -> dict[str, Tensor]:
        """Maps and pose of one frame under the names of `CUT3ROutput`, each with the batch as first axis.

        `camera` (batch, 1, dim) and `patches` (batch, patch, dim) are the final tokens, `hooked` the decoder entries
        named by `hooks` without pose tokens, `grid` the patch rows and columns, `rope` the patches' tables.
        """
        cross = patches
        for block in self.final_transform:
            cross = block(cross, camera, rope)
        self_map, colour_map, cross_map = self._maps(patches, cross, hooked, grid)
        points_self, conf_self = as_points(self_map, flip_behind=self._flips_behind)
        points, conf = as_points(cross_map)
        return {
            "pts3d_in_self_view": points_self,
            "conf_self": conf_self,
            "pts3d_in_other_view": points,
            "conf": conf,
            "rgb": as_colours(colour_map),
            "camera_pose": self.pose_head(camera[:, 0]),
        }

    _flips_behind = False

    def _maps(
        self, patches: Tensor, cross: Tensor, hooked: tuple[Tensor, ...], grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Raw own-view, colour and world-frame maps, (batch, channel, height, width)."""
        raise NotImplementedError


class LinearHeads(Heads):
    """One MLP a map, from each token to the pixels of its patch."""

    hooks = ()
    _flips_behind = True

    def __init__(self, config: CUT3RConfig) -> None:
        super().__init__(config)
        dim, pixels = config.dec_embed_dim, config.patch_size**2
        self.patch_size = config.patch_size
        self.proj = Mlp(dim, config.mlp_ratio * dim, POINT_CHANNELS * pixels)
        self.rgb_proj = Mlp(dim, config.mlp_ratio * dim, COLOUR_CHANNELS * pixels)
        self.cross_proj = Mlp(dim, config.mlp_ratio * dim, POINT_CHANNELS * pixels)

    def _maps(
        self, patches: Tensor, cross: Tensor, hooked: tuple[Tensor, ...], grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        def unpatch(values: Tensor) -> Tensor:
            planes = values.transpose(1, 2).unflatten(2, grid)  # (batch, channel * pixel, row, column)
            return F.pixel_shuffle(planes, self.patch_size)  # (batch, channel, height, width)

        return unpatch(self.proj(patches)), unpatch(self.rgb_proj(patches)), unpatch(self.cross_proj(cross))


class DPTHeads(Heads):
    """Three separate dense prediction transformers."""

    def __init__(self, config: CUT3RConfig) -> None:
        super().__init__(config)
        self.hooks = config.dpt_hooks[:3]
        self.dpt_self = DPT(config, POINT_CHANNELS)
        self.dpt_rgb = DPT(config, COLOUR_CHANNELS)
        self.dpt_cross = DPT(config, POINT_CHANNELS)

    def _maps(
        self, patches: Tensor, cross: Tensor, hooked: tuple[Tensor, ...], grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        own, world = (*hooked, patches), (*hooked, cross)
        return self.dpt_self(own, grid), self.dpt_rgb(own, grid), self.dpt_cross(world, grid)


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class ResidualConvUnit(nn.Module):
    """Two 3x3 convolutions, each behind a ReLU, around a skip."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, dim, row, column) to the same shape."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class FusionUnit(nn.Module):
    """One coarse-to-fine step: adds a finer map to the previous result and doubles the resolution."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(dim, dim, 1)
        # The coarsest unit has no previous result and leaves this one unused; published checkpoints carry its weights.
        self.resConfUnit1 = ResidualConvUnit(dim)
        self.resConfUnit2 = ResidualConvUnit(dim)

    def forward(self, level: Tensor, previous: Tensor | None) -> Tensor:
        """`level` and `previous` (batch, dim, row, column) to (batch, dim, 2 * row, 2 * column)."""
        x = level if previous is None else previous + self.resConfUnit1(level)
        # A 1x1 convolution commutes with bilinear upsampling: done first, it sees a quarter of the pixels.
        return _upsample(self.out_conv(self.resConfUnit2(x)))


class DPTScratch(nn.Module):
    """Projections of the four levels to one width, and the four fusion units."""

    def __init__(self, config: CUT3RConfig) -> None:
        super().__init__()
        dim = config.dpt_feature_dim
        for number, channels in enumerate(config.dpt_layer_dims, start=1):
            self.add_module(f"layer{number}_rn", nn.Conv2d(channels, dim, 3, padding=1, bias=False))
            self.add_module(f"refinenet{number}", FusionUnit(dim))

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Four maps, finest first, to (batch, dim, 8 * row, 8 * column) of the patch grid."""
        fused: Tensor | None = None
        for number in (4, 3, 2, 1):
            level = self.get_submodule(f"layer{number}_rn")(levels[number - 1])
            if fused is not None:
                # The coarsest level is rounded up, so that an odd grid side comes back one too large.
                fused = fused[..., : level.shape[-2], : level.shape[-1]]
            fused = self.get_submodule(f"refinenet{number}")(level, fused)
        assert fused is not None
        return fused


class DPT(nn.Module):
    """Dense prediction transformer: four token sets to one map at pixel resolution."""

    def __init__(self, config: CUT3RConfig, channels: int) -> None:
        super().__init__()
        widths = (config.enc_embed_dim, *[config.dec_embed_dim] * 3)
        dims, last = config.dpt_layer_dims, config.dpt_last_dim
        resamplers = (
            [nn.ConvTranspose2d(dims[0], dims[0], 4, stride=4)],
            [nn.ConvTranspose2d(dims[1], dims[1], 2, stride=2)],
            [],
            [nn.Conv2d(dims[3], dims[3], 3, stride=2, padding=1)],
        )
        self.act_postprocess = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, dim, 1), *resample)
            for width, dim, resample in zip(widths, dims, resamplers, strict=True)
        )
        self.scratch = DPTScratch(config)
        self.head = nn.Sequential(
            nn.Conv2d(config.dpt_feature_dim, last, 3, padding=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(last, last, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(last, channels, 1),
        )

    def forward(self, token_sets: tuple[Tensor, ...], grid: tuple[int, int]) -> Tensor:
        """Four token sets (batch, patch, width) to (batch, channel, 16 * row, 16 * column)."""
        levels = [
            post(tokens.transpose(1, 2).unflatten(2, grid))  # (batch, dim, row, column) at 4x, 2x, 1x and half
            for post, tokens in zip(self.act_postprocess, token_sets, strict=True)
        ]
        return self.head(self.scratch(levels))
