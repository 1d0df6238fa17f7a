from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from cut3r import CUT3R, CheckpointError
from cut3r.evaluate import Constant, EvaluateConfig, bootstrap, evaluate, fit_constant
from cut3r.losses import Predictions, Targets
from cut3r.metrics import compose, geometry_errors, rotation_angles, steps
from cut3r.targets import pose_vectors
from scipy.spatial.transform import Rotation

from tests.cut3r.rgbd import SIZE, tiny_config, wall

CONFIG = EvaluateConfig(image_size=SIZE)


def truth(frames: int = 5, seed: int = 0) -> Targets:
    return CONFIG.targets(wall(frames, seed))[1]


def perfect(target: Targets) -> Predictions:
    ones = torch.ones(target.valid.shape)
    return Predictions(target.own_view, ones, target.world, ones, target.pose)


def errors(predicted: Predictions, target: Targets) -> dict[str, float]:
    return {name: float(value[0]) for name, value in geometry_errors(predicted, target).items()}


def test_perfect_geometry_has_no_errors() -> None:
    expected = {"depth_within_25": 1.0}
    for name, value in errors(perfect(truth()), truth()).items():
        assert value == pytest.approx(expected.get(name, 0.0), abs=0.05 if "degrees" in name else 1e-5), name


def test_depth_a_tenth_too_far_is_a_relative_error_of_a_tenth_that_scaling_removes() -> None:
    target = truth()
    found = errors(dataclasses.replace(perfect(target), own_view=1.1 * target.own_view), target)
    assert found["depth_abs_rel"] == pytest.approx(0.1, rel=1e-4)
    assert found["depth_abs_rel_scaled"] == pytest.approx(0, abs=1e-5)
    assert found["depth_within_25"] == 1
    assert found["own_view_m"] == pytest.approx(0.1 * float(target.own_view.norm(dim=-1).mean()), rel=1e-4)


@pytest.mark.parametrize("factor", [1.3, 1 / 1.3])
def test_depth_within_25_percent_counts_both_sides_as_ratios(factor: float) -> None:
    target = truth()
    points = target.own_view.clone()
    points[..., :2, :, :] *= factor
    share = 1 - 2 / target.valid.shape[2]
    found = errors(dataclasses.replace(perfect(target), own_view=points), target)
    assert found["depth_within_25"] == pytest.approx(share)


def test_invalid_pixels_do_not_enter_errors() -> None:
    target = truth()
    valid = target.valid.clone()
    valid[:, :, ::2] = False
    spoilt = torch.where(valid[..., None], target.own_view, torch.nan)
    found = errors(
        dataclasses.replace(perfect(target), own_view=spoilt, world=spoilt), dataclasses.replace(target, valid=valid)
    )
    assert found["depth_abs_rel"] == pytest.approx(0, abs=1e-6)
    assert found["depth_within_25"] == 1
    assert all(math.isfinite(value) for value in found.values())


def test_world_points_are_off_by_the_distance_that_they_were_moved() -> None:
    target = truth()
    moved = dataclasses.replace(perfect(target), world=target.world + torch.tensor([0.0, 0.3, 0.4]))
    assert errors(moved, target)["world_m"] == pytest.approx(0.5, rel=1e-4)


def test_pose_errors_leave_the_first_frame_out_and_are_metres_and_degrees() -> None:
    target = truth()
    turn = Rotation.from_euler("y", 7, degrees=True)
    matrices = torch.eye(4).repeat(1, 5, 1, 1)
    matrices[..., :3, :3] = torch.from_numpy(turn.as_matrix()).float()
    pose = pose_vectors(matrices)
    pose[:, 1:, :3] = torch.tensor([0.0, 0.6, 0.8])
    still = torch.tensor([0.0, 0, 0, 1, 0, 0, 0]).expand(1, 5, 7)
    found = errors(dataclasses.replace(perfect(target), pose=pose), dataclasses.replace(target, pose=still))
    assert found["translation_m"] == pytest.approx(1, rel=1e-4)
    assert found["rotation_degrees"] == pytest.approx(7, rel=1e-3)
    assert found["step_rotation_degrees"] == pytest.approx(0, abs=0.05)
    assert found["step_translation_m"] == pytest.approx(1 / 4, rel=1e-4)


def test_rotation_angles_and_steps_agree_with_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = Rotation.random(50, rng=rng), Rotation.random(50, rng=rng)
    quaternions = [torch.from_numpy(np.roll(r.as_quat(), 1, -1)) for r in (a, b)]
    expected = np.degrees((a.inv() * b).magnitude())
    np.testing.assert_allclose(rotation_angles(*quaternions).numpy(), expected, atol=1e-6)
    translations = torch.from_numpy(rng.normal(size=(50, 3)))
    found = steps(torch.cat((translations, quaternions[0]), -1))
    moved = a[:-1].inv().apply(np.diff(translations.numpy(), axis=0))
    np.testing.assert_allclose(found[:, :3].numpy(), moved, atol=1e-12)
    turned = (a[:-1].inv() * a[1:]).as_matrix()
    np.testing.assert_allclose(Rotation.from_quat(np.roll(found[:, 3:].numpy(), -1, -1)).as_matrix(), turned, atol=1e-9)


def test_a_repeated_step_is_the_power_of_its_matrix() -> None:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = Rotation.from_euler("xyz", [5, 20, -3], degrees=True).as_matrix(), [0.1, 0, 0.5]
    chain = compose(pose_vectors(torch.from_numpy(matrix)), 6)
    powers = np.stack([np.linalg.matrix_power(matrix, n) for n in range(6)])
    torch.testing.assert_close(chain, pose_vectors(torch.from_numpy(powers)))


def test_a_constant_learnt_from_one_sequence_is_that_sequence_where_frames_do_not_differ() -> None:
    sequence = wall(frames=1)
    target = CONFIG.targets(sequence)[1]
    constant = fit_constant([sequence], CONFIG)
    found = errors(constant.predictions(1), target)
    assert found["depth_abs_rel"] == pytest.approx(0, abs=1e-6)
    assert found["world_m"] == pytest.approx(0, abs=1e-6)


def test_no_other_constant_depth_has_a_smaller_absolute_error() -> None:
    sequences = [wall(seed=i) for i in range(5)]
    constant = fit_constant(sequences, CONFIG)
    depths = torch.cat([CONFIG.targets(s)[1].own_view[0, ..., 2] for s in sequences])
    best = (depths - constant.depth).abs().mean(0)
    for other in (depths.mean(0), constant.depth + 0.02, constant.depth - 0.02, depths[3]):
        assert (best <= (depths - other).abs().mean(0) + 1e-6).all()


def test_the_constant_survives_its_file_and_longer_sequences(tmp_path: Path) -> None:
    constant = fit_constant([wall(4), wall(6, seed=1)], CONFIG)
    constant.save(tmp_path / "constant.safetensors")
    again = Constant.load(tmp_path / "constant.safetensors")
    assert all(value.equal(getattr(constant, name)) for name, value in vars(again).items())
    assert again.predictions(9).world[0, 8].equal(constant.world[5])
    (tmp_path / "constant.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match=r"constant\.safetensors"):
        Constant.load(tmp_path / "constant.safetensors")


def test_the_interval_of_a_mean_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = bootstrap(values, seed=1)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert found["mean"] == pytest.approx(values.mean())
    assert found["low"] == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found["high"] == pytest.approx(values.mean() + half, abs=0.1 * half)
    same = bootstrap(np.full(5, 1.5), seed=0)
    assert same == {"mean": 1.5, "low": 1.5, "high": 1.5}


def test_the_report_compares_model_and_constant_on_every_sequence() -> None:
    torch.manual_seed(0)
    sequences = [wall(5, seed=i) for i in range(4)]
    model = CUT3R(tiny_config())
    report = evaluate(model, sequences, fit_constant(sequences, CONFIG), CONFIG)
    assert json.loads(json.dumps(report)) == report
    assert report["sequences"] == 4
    for name, values in report["per_sequence"].items():
        assert len(values) == 4
        assert report["model"][name]["mean"] == pytest.approx(np.mean(values))
        gap = report["model"][name]["mean"] - report["constant"][name]["mean"]
        assert report["difference"][name]["mean"] == pytest.approx(gap, abs=1e-9)
    assert report["constant"]["depth_abs_rel"]["mean"] < report["model"]["depth_abs_rel"]["mean"]
    alone = evaluate(model, sequences[2:3], None, CONFIG)
    assert "constant" not in alone
    assert alone["per_sequence"]["world_m"][0] == pytest.approx(report["per_sequence"]["world_m"][2])
