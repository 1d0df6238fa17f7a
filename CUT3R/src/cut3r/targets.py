"""The truth that training compares with: points and poses from depth maps and camera poses."""

from __future__ import annotations

import torch
from torch import Tensor

from cut3r.losses import Targets


def make_targets(
    depth: Tensor,
    intrinsics: Tensor,
    camera_to_world: Tensor,
    colours: Tensor,
    stride: int = 1,
    offset: tuple[int, int] = (0, 0),
) -> Targets:
    """Targets at the pixels `offset`, `offset + stride`, ... (row, column) of a batch of sequences.

    `depth` (batch, frame, height, width) metres along the optical axis, 0 where unknown; `intrinsics` (batch, 3, 3) in
    pixels of `depth`, pixel centres at half-integers; `camera_to_world` (batch, frame, 4, 4); `colours`
    (batch, frame, 3, height, width) in [-1, 1]. The world of the targets is the first frame's camera.
    """
    depth = depth[..., offset[0] :: stride, offset[1] :: stride].float()
    colours = colours[..., offset[0] :: stride, offset[1] :: stride]
    own_view = unproject(depth, intrinsics[:, None], stride, offset)
    to_first = relative_poses(camera_to_world)
    world = transform(to_first, own_view)
    return Targets(
        own_view=own_view,
        world=world,
        valid=depth > 0,
        pose=pose_vectors(to_first),
        colour=colours.movedim(2, -1).float(),
    )


def unproject(depth: Tensor, intrinsics: Tensor, stride: int = 1, offset: tuple[int, int] = (0, 0)) -> Tensor:
    """Points (..., height, width, 3), camera axes x right, y down, z forward, of a depth map (..., height, width).

    `intrinsics` (..., 3, 3) in pixels of the full map, of which `depth` holds every `stride`-th pixel from `offset`.
    """
    height, width = depth.shape[-2:]
    rows = offset[0] + stride * torch.arange(height, device=depth.device, dtype=torch.float32) + 0.5
    columns = offset[1] + stride * torch.arange(width, device=depth.device, dtype=torch.float32) + 0.5
    focal_x, focal_y = intrinsics[..., 0, 0, None, None], intrinsics[..., 1, 1, None, None]
    centre_x, centre_y = intrinsics[..., 0, 2, None, None], intrinsics[..., 1, 2, None, None]
    x = (columns[None, :] - centre_x) / focal_x  # (..., 1, width)
    y = (rows[:, None] - centre_y) / focal_y  # (..., height, 1)
    return torch.stack((x * depth, y * depth, depth), dim=-1)


def relative_poses(camera_to_world: Tensor) -> Tensor:
    """Poses (batch, frame, 4, 4) with the first frame's camera as world; computed in float64, returned as float32."""
    poses = camera_to_world.double()
    return (torch.linalg.inv(poses[:, :1]) @ poses).float()


def transform(matrices: Tensor, points: Tensor) -> Tensor:
    """Points (batch, frame, height, width, 3) moved by rigid matrices (batch, frame, 4, 4)."""
    rotation, translation = matrices[..., :3, :3], matrices[..., :3, 3]
    return torch.einsum("bfij,bfhwj->bfhwi", rotation, points) + translation[..., None, None, :]


def pose_vectors(matrices: Tensor) -> Tensor:
    """Translation and unit quaternion (w, x, y, z) with w >= 0, (..., 7), of rigid matrices (..., 4, 4)."""
    return torch.cat((matrices[..., :3, 3], quaternions(matrices[..., :3, :3])), dim=-1)


def quaternions(rotations: Tensor) -> Tensor:
    """Unit quaternions (w, x, y, z) with w >= 0, (..., 4), of rotation matrices (..., 3, 3).

    The quaternion's outer product with itself is linear in the matrix; the column with the largest diagonal is used,
    which is never near zero.
    """
    r = rotations
    xx, yy, zz = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    wx, wy, wz = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    xy, xz, yz = r[..., 0, 1] + r[..., 1, 0], r[..., 0, 2] + r[..., 2, 0], r[..., 1, 2] + r[..., 2, 1]
    products = torch.stack(  # four times the outer product, row by row
        [
            *(1 + xx + yy + zz, wx, wy, wz),
            *(wx, 1 + xx - yy - zz, xy, xz),
            *(wy, xy, 1 - xx + yy - zz, yz),
            *(wz, xz, yz, 1 - xx - yy + zz),
        ],
        dim=-1,
    ).unflatten(-1, (4, 4))
    best = products.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None].expand(*r.shape[:-2], 1, 4)
    quaternion = torch.nn.functional.normalize(products.gather(-2, best)[..., 0, :], dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def rotation_matrices(quaternion: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of unit quaternions (w, x, y, z), (..., 4)."""
    w, x, y, z = quaternion.unbind(-1)
    return torch.stack(
        [
            *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
            *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
            *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
        ],
        dim=-1,
    ).unflatten(-1, (3, 3))
