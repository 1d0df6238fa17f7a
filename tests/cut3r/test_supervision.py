from __future__ import annotations

import dataclasses

import pytest
import torch
from cut3r import CUT3R
from cut3r.inputs import FrameInputs, check_inputs
from cut3r.supervision import predict
from torch import Tensor

from tests.cut3r.rgbd import tiny_config

SMALL_DPT = {"dpt_feature_dim": 8, "dpt_last_dim": 4, "dpt_layer_dims": (4, 4, 4, 4), "head_type": "dpt"}
NAMES = {
    "own_view": "pts3d_in_self_view",
    "own_confidence": "conf_self",
    "world": "pts3d_in_other_view",
    "world_confidence": "conf",
    "colour": "rgb",
}


def inputs_of(frames: Tensor) -> FrameInputs:
    return check_inputs(frames, None, None, None, None, None, 16)


@pytest.fixture
def frames() -> Tensor:
    return torch.rand(2, 5, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("changes", [{}, SMALL_DPT], ids=["linear", "dpt"])
@pytest.mark.parametrize(("stride", "offset"), [(1, (0, 0)), (4, (3, 1))])
def test_sparse_predictions_are_the_full_maps_at_their_pixels(
    frames: Tensor, changes: dict, stride: int, offset: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    model = CUT3R(tiny_config(**changes))
    with torch.no_grad():
        full = model(frames, heads=True)
        sparse, patches = predict(model, inputs_of(frames), stride, offset, colours=True)
    for ours, theirs in NAMES.items():
        expected = getattr(full, theirs)[:, :, offset[0] :: stride, offset[1] :: stride]
        torch.testing.assert_close(getattr(sparse, ours), expected, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(sparse.pose, full.camera_pose, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(patches, full.patch_tokens, atol=2e-6, rtol=1e-5)


def test_cutting_gradients_between_runs_of_frames_changes_gradients_and_no_value(frames: Tensor) -> None:
    torch.manual_seed(0)
    model = CUT3R(tiny_config())
    results = []
    for detach_every in (0, 2):
        leaf = frames.clone().requires_grad_()
        predicted, _ = predict(model, inputs_of(leaf), 4, detach_every=detach_every)
        predicted.world[:, 4].sum().backward()
        assert leaf.grad is not None
        results.append((dataclasses.replace(predicted), leaf.grad.abs().sum((2, 3, 4))))
    (whole, through), (cut, stopped) = results
    torch.testing.assert_close(cut.world, whole.world, atol=1e-6, rtol=1e-5)
    assert (through > 0).all()
    assert (stopped[:, 4:] > 0).all() and not stopped[:, :4].any()
