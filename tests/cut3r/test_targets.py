from __future__ import annotations

import numpy as np
import torch
from cut3r.sequences import whole
from cut3r.targets import make_targets, pose_vectors, quaternions, relative_poses, rotation_matrices, unproject
from scipy.spatial.transform import Rotation

from tests.cut3r.rgbd import DISTANCE, INTRINSICS, NORMAL, SIZE, wall


def test_points_project_back_to_the_centres_of_their_pixels() -> None:
    depth = torch.rand(SIZE, SIZE, generator=torch.Generator().manual_seed(0)) + 1
    points = unproject(depth, torch.from_numpy(INTRINSICS).float())
    pixels = points @ torch.from_numpy(INTRINSICS).float().T / points[..., 2:]
    centres = torch.arange(SIZE) + 0.5
    torch.testing.assert_close(pixels[..., 0], centres.expand(SIZE, SIZE), atol=1e-4, rtol=0)
    torch.testing.assert_close(pixels[..., 1], centres[:, None].expand(SIZE, SIZE), atol=1e-4, rtol=0)


def test_world_points_of_every_frame_lie_on_the_wall_as_the_first_camera_sees_it() -> None:
    sequence = wall()
    batch = whole(sequence, SIZE)
    target = make_targets(batch.depth, batch.intrinsics, batch.camera_to_world, batch.frames)
    first = torch.from_numpy(sequence.camera_to_world[0]).float()
    in_room = target.world[0] @ first[:3, :3].T + first[:3, 3]
    distance = in_room @ torch.from_numpy(NORMAL).float()
    torch.testing.assert_close(distance, torch.full_like(distance, DISTANCE), atol=2e-5, rtol=0)


def test_the_first_frame_is_the_world() -> None:
    batch = whole(wall(), SIZE)
    target = make_targets(batch.depth, batch.intrinsics, batch.camera_to_world, batch.frames)
    torch.testing.assert_close(target.world[:, 0], target.own_view[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(target.pose[0, 0], torch.tensor([0.0, 0, 0, 1, 0, 0, 0]), atol=1e-6, rtol=0)


def test_sparse_targets_are_the_full_ones_at_their_pixels() -> None:
    batch = whole(wall(), SIZE)
    given = (batch.depth, batch.intrinsics, batch.camera_to_world, batch.frames)
    full, sparse = make_targets(*given), make_targets(*given, stride=4, offset=(1, 3))
    for name in ("own_view", "world", "valid", "colour"):
        assert getattr(sparse, name).equal(getattr(full, name)[:, :, 1::4, 3::4]), name


def test_unknown_depth_is_not_valid() -> None:
    batch = whole(wall(), SIZE)
    batch.depth[0, 2, 5, 7] = 0
    target = make_targets(batch.depth, batch.intrinsics, batch.camera_to_world, batch.frames)
    assert not target.valid[0, 2, 5, 7]
    assert int((~target.valid).sum()) == 1


def test_quaternions_agree_with_scipy_also_for_half_turns() -> None:
    turns = np.concatenate([Rotation.random(200, rng=np.random.default_rng(0)).as_rotvec(), np.pi * np.eye(3)])
    rotations = Rotation.from_rotvec(turns)
    found = quaternions(torch.from_numpy(rotations.as_matrix()))
    expected = np.roll(rotations.as_quat(), 1, axis=-1)
    agreement = np.abs((found.numpy() * expected).sum(-1))
    np.testing.assert_allclose(agreement, 1, atol=1e-12)
    assert (found[:, 0] >= 0).all()
    np.testing.assert_allclose(rotation_matrices(found).numpy(), rotations.as_matrix(), atol=1e-12)


def test_relative_poses_keep_millimetres_far_from_the_origin() -> None:
    poses = torch.from_numpy(wall().camera_to_world)[None]
    far = poses.clone()
    far[..., :3, 3] += torch.tensor([5e4, -3e4, 200.0], dtype=torch.float64)
    torch.testing.assert_close(relative_poses(far), relative_poses(poses), atol=1e-6, rtol=0)
    assert pose_vectors(relative_poses(far)).dtype == torch.float32
