from __future__ import annotations

import dataclasses

import pytest
import torch
from cut3r.losses import (
    LossWeights,
    Predictions,
    Targets,
    losses,
    mean_length,
    patch_position_loss,
    pointmap_loss,
    pose_loss,
)
from torch import Tensor

SHAPE = (2, 3, 4, 4)
"""Batch, frame, height, width."""
ONES = torch.ones(SHAPE[0])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit_poses(seed: int) -> Tensor:
    pose = random(*SHAPE[:2], 7, seed=seed)
    return torch.cat((pose[..., :3], torch.nn.functional.normalize(pose[..., 3:], dim=-1)), -1)


@pytest.fixture
def target() -> Targets:
    valid = random(*SHAPE, seed=1) > -0.5
    return Targets(
        random(*SHAPE, 3, seed=2), random(*SHAPE, 3, seed=3), valid, unit_poses(4), random(*SHAPE, 3, seed=5)
    )


def perfect(target: Targets, confidence: float = 1.0) -> Predictions:
    sure = torch.full(SHAPE, confidence)
    return Predictions(target.own_view, sure, target.world, sure, target.pose, target.colour)


def test_a_perfect_prediction_of_confidence_one_costs_nothing(target: Targets) -> None:
    parts = losses(perfect(target), target, LossWeights(colour=1))
    assert {name: float(value) for name, value in parts.items()} == pytest.approx(dict.fromkeys(parts, 0), abs=1e-6)


def test_confidence_in_a_perfect_prediction_earns_its_logarithm(target: Targets) -> None:
    part = losses(perfect(target, 5.0), target, LossWeights(confidence=0.3))["own_view"]
    assert float(part) == pytest.approx(-0.3 * torch.tensor(5.0).log().item(), rel=1e-5)


def test_a_known_offset_costs_confidence_times_its_length_over_the_scale(target: Targets) -> None:
    moved = target.own_view + torch.tensor([2.0, -3.0, 6.0])  # 7 long
    scale = torch.tensor([2.0, 5.0])
    valid = torch.ones(SHAPE, dtype=torch.bool)
    loss = pointmap_loss(moved, torch.full(SHAPE, 4.0), target.own_view, valid, scale, scale, 0.2)
    expected = (4 * 7 / 2 + 4 * 7 / 5) / 2 - 0.2 * torch.tensor(4.0).log().item()
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_the_best_confidence_is_alpha_over_the_error() -> None:
    error, alpha = 0.05, 0.2
    confidence = torch.full(SHAPE, alpha / error, requires_grad=True)
    points = torch.zeros(*SHAPE, 3)
    valid = torch.ones(SHAPE, dtype=torch.bool)
    pointmap_loss(points + torch.tensor([error, 0, 0]), confidence, points, valid, ONES, ONES, alpha).backward()
    assert confidence.grad is not None
    assert confidence.grad.abs().max() < 1e-8


def test_metric_losses_see_a_wrong_scale_and_normalised_ones_do_not(target: Targets) -> None:
    doubled = dataclasses.replace(perfect(target), own_view=2 * target.own_view, world=2 * target.world)
    doubled = dataclasses.replace(doubled, pose=torch.cat((2 * target.pose[..., :3], target.pose[..., 3:]), -1))
    metric = losses(doubled, target, LossWeights(scale="metric"))
    normalised = losses(doubled, target, LossWeights(scale="normalised"))
    lengths, scale = target.world.norm(dim=-1), mean_length(target.world, target.valid)[:, None, None, None]
    assert float(metric["world"]) == pytest.approx(float((lengths / scale)[target.valid].mean()), rel=1e-5)
    assert metric["pose"] > 0.1
    assert float(normalised["world"]) == pytest.approx(0, abs=1e-6)
    assert float(normalised["pose"]) == pytest.approx(0, abs=1e-6)


def test_invalid_pixels_add_nothing_to_losses_or_gradients_whatever_stands_there(target: Targets) -> None:
    def run(filler: float) -> tuple[dict[str, float], Tensor]:
        hole = ~target.valid[..., None]
        points = random(*SHAPE, 3, seed=7).masked_fill(hole, filler).requires_grad_()
        sure = (2 + random(*SHAPE, seed=8).abs()).masked_fill(hole[..., 0], filler)
        truth = dataclasses.replace(
            target, own_view=target.own_view.masked_fill(hole, filler), world=target.world.masked_fill(hole, filler)
        )
        parts = losses(Predictions(points, sure, points, sure, target.pose), truth, LossWeights())
        parts["loss"].backward()
        assert points.grad is not None
        return {name: float(value.detach()) for name, value in parts.items()}, points.grad

    with_zeros, with_nan = run(0.0), run(float("nan"))
    assert with_nan[0] == pytest.approx(with_zeros[0])
    assert with_nan[1].equal(with_zeros[1])
    assert not with_nan[1][~target.valid].any()
    assert with_nan[1][target.valid].abs().sum() > 0


def test_a_sequence_without_a_valid_pixel_costs_nothing(target: Targets) -> None:
    empty = dataclasses.replace(target, valid=torch.zeros(SHAPE, dtype=torch.bool))
    parts = losses(dataclasses.replace(perfect(empty), own_view=target.world), empty, LossWeights(patch_position=1))
    assert float(parts["own_view"]) == 0


def test_a_quaternion_and_its_negative_are_the_same_rotation() -> None:
    pose, target = unit_poses(1), unit_poses(2)
    negated = torch.cat((pose[..., :3], -pose[..., 3:]), -1)
    assert float(pose_loss(negated, target, ONES, ONES)) == pytest.approx(float(pose_loss(pose, target, ONES, ONES)))
    exact = torch.cat((target[..., :3], -target[..., 3:]), -1)
    assert float(pose_loss(exact, target, ONES, ONES)) == pytest.approx(0, abs=1e-7)


def test_a_pose_costs_its_distance_over_the_scale_and_the_chord_of_its_quaternion() -> None:
    target = torch.tensor([0.0, 0, 0, 1, 0, 0, 0]).expand(2, 3, 7)
    angle = torch.tensor(0.6)
    pose = torch.tensor([0.0, 3, 4, torch.cos(angle / 2), torch.sin(angle / 2), 0, 0]).expand(2, 3, 7)
    expected = 5 / 2 + 2 * torch.sin(angle / 4)
    assert float(pose_loss(pose, target, 2 * ONES, 2 * ONES)) == pytest.approx(float(expected), rel=1e-5)


def test_a_patch_position_is_compared_with_the_mean_of_its_valid_pixels(target: Targets) -> None:
    rows = columns = 2
    centres = torch.zeros(*SHAPE[:2], rows, columns, 3)
    for row in range(rows):
        for column in range(columns):
            part = (..., slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2))
            valid = target.valid[part].float()[..., None]
            points = target.world[(*part, slice(None))]
            centres[:, :, row, column] = (points * valid).sum((2, 3)) / valid.sum((2, 3)).clamp_min(1)
    assert float(patch_position_loss(centres, target, ONES, ONES)) == pytest.approx(0, abs=1e-6)
    moved = centres + torch.tensor([0.0, 0.6, 0.8])
    assert float(patch_position_loss(moved, target, 2 * ONES, 2 * ONES)) == pytest.approx(0.5, rel=1e-5)


def test_the_total_is_the_weighted_sum(target: Targets) -> None:
    wrong = Predictions(
        random(*SHAPE, 3), torch.full(SHAPE, 2.0), random(*SHAPE, 3, seed=9), torch.full(SHAPE, 3.0), unit_poses(6)
    )
    parts = losses(wrong, target, LossWeights(own_view=2, world=0.5, pose=3))
    expected = 2 * parts["own_view"] + 0.5 * parts["world"] + 3 * parts["pose"]
    assert float(parts["loss"]) == pytest.approx(float(expected), rel=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    shape = (1, 2, 2, 2)
    points, truth = random(*shape, 3).double().requires_grad_(), random(*shape, 3, seed=1).double()
    sure = (1.5 + random(*shape, seed=2).abs()).double().requires_grad_()
    valid = random(*shape, seed=3) > 0
    scale = torch.tensor([1.7], dtype=torch.float64)

    def normalised(points: Tensor, sure: Tensor) -> Tensor:
        return pointmap_loss(points, sure, truth, valid, mean_length(points, valid), scale, 0.2)

    assert torch.autograd.gradcheck(normalised, (points, sure))
    pose, true_pose = random(1, 2, 7).double().requires_grad_(), random(1, 2, 7, seed=1).double()
    assert torch.autograd.gradcheck(lambda pose: pose_loss(pose, true_pose, scale, scale), (pose,))


def test_weights_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        LossWeights(pose=-1)
