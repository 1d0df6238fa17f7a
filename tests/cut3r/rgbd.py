"""Small RGB-D sequences of a known scene: a camera that moves before a slanted, coloured wall."""

from __future__ import annotations

import numpy as np
from cut3r import CUT3RConfig
from cut3r.sequences import RGBDSequence
from scipy.spatial.transform import Rotation

SIZE = 32
INTRINSICS = np.array([[30.0, 0, 16], [0, 24.0, 17], [0, 0, 1]])
NORMAL, DISTANCE = np.array([0.2, 0.1, 1.0]), 3.0
"""The wall holds the world points x with NORMAL . x = DISTANCE."""


def tiny_config(**changes: object) -> CUT3RConfig:
    """A model that takes milliseconds."""
    sizes = {"enc_embed_dim": 32, "enc_depth": 1, "enc_num_heads": 2, "ray_enc_depth": 1, "ray_enc_num_heads": 2}
    sizes |= {"dec_embed_dim": 24, "dec_depth": 2, "dec_num_heads": 2, "state_dec_num_heads": 3, "state_size": 6}
    sizes |= {"local_mem_size": 4, "memory_depth": 1, "head_type": "linear", "head_transform_depth": 1}
    return CUT3RConfig(**(sizes | {"mlp_ratio": 2} | changes))  # type: ignore[arg-type]


def wall(frames: int = 6, seed: int = 0) -> RGBDSequence:
    """A walk of small steps and turns; the depth of every pixel is that of the wall."""
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(np.cumsum(rng.normal(0, 0.04, (frames, 3)), 0)).as_matrix()
    poses[:, :3, 3] = np.cumsum(rng.normal(0, 0.1, (frames, 3)), 0)
    columns, rows = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
    rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(INTRINSICS).T  # (height, width, 3), z = 1
    world = np.einsum("fij,hwj->fhwi", poses[:, :3, :3], rays)
    depth = (DISTANCE - poses[:, :3, 3] @ NORMAL)[:, None, None] / (world @ NORMAL)
    points = world * depth[..., None] + poses[:, None, None, :3, 3]
    colours = np.stack([np.sin(2 * points[..., 0]), np.cos(3 * points[..., 1]), np.sin(points.sum(-1))], -1)
    return RGBDSequence((127.5 * (1 + colours)).astype(np.uint8), depth.astype(np.float32), INTRINSICS, poses)
