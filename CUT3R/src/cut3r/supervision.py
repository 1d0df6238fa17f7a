"""What the heads predict at a regular part of the pixels, which is all that training needs and costs far less."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cut3r.heads import COLOUR_CHANNELS, POINT_CHANNELS, LinearHeads, as_colours, as_points
from cut3r.inputs import FrameInputs
from cut3r.layers import Mlp
from cut3r.losses import Predictions
from cut3r.model import CUT3R


def predict(
    model: CUT3R,
    inputs: FrameInputs,
    stride: int = 1,
    offset: tuple[int, int] = (0, 0),
    colours: bool = False,
    detach_every: int = 0,
) -> tuple[Predictions, Tensor]:
    """Predictions at the pixels `offset`, `offset + stride`, ..., and the patch tokens (batch, frame, patch, dim).

    `stride` must divide the patch size. With `detach_every` n, gradients do not flow from one run of n frames into the
    one before it: less memory, and steadier gradients over long sequences. Linear heads compute the wanted pixels
    alone, for all frames at once; DPT heads compute every pixel.
    """
    linear = isinstance(model.downstream_head, LinearHeads)
    camera, patches, maps = _roll_out(model, inputs, not linear, detach_every)
    if linear:
        maps = _linear_maps(model, camera, patches, inputs.frames.shape[-2:], stride, offset, colours)
        return Predictions(**maps), patches
    where = (..., slice(offset[0], None, stride), slice(offset[1], None, stride))
    points = (*where, slice(None))
    return Predictions(
        own_view=maps["pts3d_in_self_view"][points],
        own_confidence=maps["conf_self"][where],
        world=maps["pts3d_in_other_view"][points],
        world_confidence=maps["conf"][where],
        pose=maps["camera_pose"],
        colour=maps["rgb"][points] if colours else None,
    ), patches


def _roll_out(
    model: CUT3R, inputs: FrameInputs, heads: bool, detach_every: int
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Camera tokens, patch tokens, and with `heads` the full maps, of whole sequences."""
    batch, count = inputs.img_mask.shape
    constants = model.constants(*inputs.frames.shape[-2:])
    carry = model.initial_carry(batch, constants)
    length = detach_every or count
    outputs = []
    for start in range(0, count, length):
        if start:
            carry = carry._replace(state=carry.state.detach(), memory=carry.memory.detach())
        part = inputs.select(start, min(start + length, count))
        masked = (model.masked_img_token, None)
        output, carry = model.rollout(part, carry, constants, heads, "cut3r", batch * length, masked)
        outputs.append(output)
    names = ["camera_tokens", "patch_tokens"]
    if heads:
        names += ["pts3d_in_self_view", "conf_self", "pts3d_in_other_view", "conf", "rgb", "camera_pose"]
    joined = {name: torch.cat([getattr(output, name) for output in outputs], dim=1) for name in names}
    return joined.pop("camera_tokens"), joined.pop("patch_tokens"), joined


def _linear_maps(
    model: CUT3R,
    camera: Tensor,
    patches: Tensor,
    sides: tuple[int, ...],
    stride: int,
    offset: tuple[int, int],
    colours: bool,
) -> dict[str, Tensor]:
    head = model.downstream_head
    assert isinstance(head, LinearHeads)
    size, shape = head.patch_size, patches.shape[:2]
    camera, patches = camera.flatten(0, 1), patches.flatten(0, 1)  # (image, token, dim)
    cross = patches
    rope = model.constants(sides[0], sides[1]).image[0].tokens_from(1)
    for block in head.final_transform:
        cross = block(cross, camera, rope)
    grid = tuple(side // size for side in sides)

    def sparse(mlp: Mlp, tokens: Tensor, channels: int) -> Tensor:
        weight = mlp.fc2.weight.unflatten(0, (channels, size, size))[:, offset[0] :: stride, offset[1] :: stride]
        bias = mlp.fc2.bias.unflatten(0, (channels, size, size))[:, offset[0] :: stride, offset[1] :: stride]
        values = F.linear(F.gelu(mlp.fc1(tokens)), weight.flatten(0, 2), bias.flatten())
        planes = values.transpose(1, 2).unflatten(2, grid)  # (image, channel * pixel, row, column)
        return F.pixel_shuffle(planes, size // stride)  # (image, channel, height, width)

    own, own_confidence = as_points(sparse(head.proj, patches, POINT_CHANNELS), flip_behind=True)
    world, world_confidence = as_points(sparse(head.cross_proj, cross, POINT_CHANNELS))
    maps = {
        "own_view": own,
        "own_confidence": own_confidence,
        "world": world,
        "world_confidence": world_confidence,
        "pose": head.pose_head(camera[:, 0]),
    }
    if colours:
        maps["colour"] = as_colours(sparse(head.rgb_proj, patches, COLOUR_CHANNELS))
    return {name: value.unflatten(0, shape) for name, value in maps.items()}
