from __future__ import annotations

import dataclasses

import pytest
import torch
from cut3r import CUT3R, CUT3RConfig

from tests.cut3r.cut3r_golden import constructor_of, model_of, tiny_frames

CLOSE = {"rtol": 1e-5, "atol": 2e-5}
NAN = float("nan")


@pytest.fixture
def model():
    return model_of("tiny")


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def tensors(output):
    return {
        field.name: getattr(output, field.name)
        for field in dataclasses.fields(output)
        if getattr(output, field.name) is not None
    }


def assert_same(first, second, **tolerance):
    first, second = tensors(first), tensors(second)
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], msg=lambda text, name=name: f"{name}: {text}", **tolerance)


def test_shapes_are_the_documented_ones(model):
    output = model(tiny_frames(2, 3), heads=True)
    shapes = {name: tuple(value.shape) for name, value in tensors(output).items()}
    assert shapes == {
        "camera_tokens": (2, 3, 1, 40),
        "patch_tokens": (2, 3, 12, 40),
        "state": (2, 28, 40),
        "memory": (2, 12, 80),
        "pts3d_in_self_view": (2, 3, 48, 64, 3),
        "conf_self": (2, 3, 48, 64),
        "pts3d_in_other_view": (2, 3, 48, 64, 3),
        "conf": (2, 3, 48, 64),
        "rgb": (2, 3, 48, 64, 3),
        "camera_pose": (2, 3, 7),
    }


def test_the_order_of_frames_matters(model):
    frames = tiny_frames(1, 3)
    forward, backward = model(frames), model(frames.flip(1))
    assert (forward.patch_tokens - backward.patch_tokens.flip(1)).abs().max() > 1e-2
    assert (forward.state - backward.state).abs().max() > 1e-2


def test_a_later_frame_changes_no_earlier_one(model):
    frames = tiny_frames(1, 4)
    changed = frames.clone()
    changed[:, 3] += 1
    first, second = model(frames), model(changed)
    torch.testing.assert_close(first.patch_tokens[:, :3], second.patch_tokens[:, :3], **CLOSE)
    assert (first.patch_tokens[:, 3] - second.patch_tokens[:, 3]).abs().max() > 1e-2


def test_a_batch_of_two_videos_equals_two_batches_of_one(model):
    frames = tiny_frames(2, 3)
    both = tensors(model(frames, heads=True))
    single = [tensors(model(frames[i : i + 1], heads=True)) for i in range(2)]
    for name, value in both.items():
        torch.testing.assert_close(value, torch.cat([one[name] for one in single]), **CLOSE)


@pytest.mark.parametrize("chunk", [1, 2, 3, 64])
def test_the_encoding_chunk_changes_nothing(model, chunk):
    frames = tiny_frames(2, 5)
    assert_same(model(frames, encode_chunk=chunk), model(frames), **CLOSE)


def test_no_more_images_are_encoded_together_than_asked_for(model):
    sizes = []
    hook = model.patch_embed.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    model(tiny_frames(3, 5), encode_chunk=2)
    hook.remove()
    assert max(sizes) <= 2
    assert sum(sizes) == 15


@pytest.mark.parametrize("name", ["tiny", "tiny_dpt"])
def test_heads_change_no_token_and_do_not_run_unless_asked_for(name):
    model, frames = model_of(name), tiny_frames(1, 2)
    calls = []
    hook = model.downstream_head.register_forward_hook(lambda *_: calls.append(1))
    without = model(frames)
    assert not calls
    with_heads = model(frames, heads=True)
    hook.remove()
    assert len(calls) == 2
    for field in ("camera_tokens", "patch_tokens", "state", "memory"):
        assert torch.equal(getattr(without, field), getattr(with_heads, field))
    assert without.camera_pose is None
    assert without.rgb is None


def test_poses_are_unit_quaternions_and_confidences_exceed_one(model):
    output = model(tiny_frames(1, 3), heads=True)
    quaternions = output.camera_pose[..., 3:]
    torch.testing.assert_close(quaternions.norm(dim=-1), torch.ones(1, 3))
    assert (quaternions[..., 0] >= 0).all()
    assert (output.conf > 1).all()
    assert (output.conf_self > 1).all()
    assert (output.pts3d_in_self_view[..., 2] >= 0).all()
    assert (output.rgb.abs() <= 1).all()


@pytest.mark.parametrize("state_update", ["cut3r", "ttt3r"])
@pytest.mark.parametrize("online", [False, True])
def test_what_masked_inputs_hold_reaches_no_output(model, online, state_update):
    frames, rays = tiny_frames(2, 4), torch.rand(2, 4, 48, 64, 6)
    img_mask = torch.tensor([[True, True, False, False], [True, False, True, True]])
    ray_mask = torch.tensor([[False, True, True, False], [False, False, False, True]])

    def run(filler):
        images, maps = frames.clone(), rays.clone()
        images[~img_mask], maps[~ray_mask] = filler, filler
        arguments = {"img_mask": img_mask, "ray_maps": maps, "ray_mask": ray_mask}
        if online:
            return model.stream(2, heads=True, state_update=state_update).push(images, **arguments)
        return model(images, **arguments, heads=True, state_update=state_update)

    poisoned = run(NAN)
    assert all(torch.isfinite(value).all() for value in tensors(poisoned).values())
    assert_same(poisoned, run(0.5), rtol=0, atol=0)


def test_a_frame_that_may_not_update_leaves_no_trace_even_as_nan(model):
    frames = tiny_frames(1, 3)
    frames[:, 1] = NAN
    update = torch.tensor([[True, False, True]])
    output = model(frames, update=update)
    assert torch.isnan(output.patch_tokens[:, 1]).all()
    assert torch.isfinite(output.patch_tokens[:, 2]).all()
    expected = model(frames[:, [0, 2]])
    torch.testing.assert_close(output.patch_tokens[:, 2], expected.patch_tokens[:, 1], **CLOSE)
    torch.testing.assert_close(output.state, expected.state, **CLOSE)


def test_a_padded_element_equals_the_shorter_video(model):
    frames = tiny_frames(2, 4)
    img_mask = torch.tensor([[True] * 4, [True, True, False, False]])
    padded = model(frames, img_mask=img_mask)
    short = model(frames[1:, :2])
    torch.testing.assert_close(padded.patch_tokens[1:, :2], short.patch_tokens, **CLOSE)
    torch.testing.assert_close(padded.state[1:], short.state, **CLOSE)


def test_a_reset_takes_effect_after_its_frame_and_for_its_element_only(model):
    frames = tiny_frames(2, 4)
    reset = torch.zeros(2, 4, dtype=torch.bool)
    reset[0, 1] = True
    plain, cleared = model(frames), model(frames, reset=reset)
    torch.testing.assert_close(plain.patch_tokens[:, :2], cleared.patch_tokens[:, :2], **CLOSE)
    torch.testing.assert_close(plain.patch_tokens[1], cleared.patch_tokens[1], **CLOSE)
    assert (plain.patch_tokens[0, 2] - cleared.patch_tokens[0, 2]).abs().max() > 1e-2
    at_the_end = model(frames, reset=torch.tensor([[False] * 3 + [True]] * 2))
    initial = model.initial_carry(2, model.constants(48, 64))
    assert torch.equal(at_the_end.state, initial.state)
    assert torch.equal(at_the_end.memory, initial.memory)


def test_after_a_reset_the_camera_token_comes_from_memory_not_from_the_start(model):
    frames = tiny_frames(1, 2)
    reset = torch.tensor([[True, False]])
    again = model(frames, reset=reset)
    alone = model(frames[:, 1:])
    assert (again.camera_tokens[:, 1] - alone.camera_tokens[:, 0]).abs().max() > 1e-3


def test_offline_a_ray_map_anywhere_marks_frames_without_one(model):
    frames, rays = tiny_frames(1, 2), torch.rand(1, 2, 48, 64, 6)
    ray_mask = torch.tensor([[False, True]])
    with_rays = model(frames, ray_maps=rays, ray_mask=ray_mask)
    assert (with_rays.patch_tokens[:, 0] - model(frames).patch_tokens[:, 0]).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near_float32_and_in_its_type(dtype):
    model = CUT3R.from_published(constructor_of("tiny"), model_of("tiny").published_state_dict())
    frames = tiny_frames(1, 3)
    expected = model(frames, heads=True)
    output = model.to(dtype)(frames, heads=True)
    assert output.patch_tokens.dtype == output.state.dtype == dtype
    assert output.rgb.dtype == torch.float32
    error = (output.patch_tokens.float() - expected.patch_tokens).norm() / expected.patch_tokens.norm()
    assert error < (0.1 if dtype == torch.bfloat16 else 0.02)


def test_gradients_reach_every_parameter_that_images_touch(model):
    copy = CUT3R.from_published(constructor_of("tiny"), {k: v.clone() for k, v in model.published_state_dict().items()})
    with torch.enable_grad():
        output = copy(tiny_frames(1, 3), heads=True)
        maps = (output.pts3d_in_self_view, output.pts3d_in_other_view, output.conf, output.conf_self, output.rgb)
        (sum(value.mean() for value in maps) + output.camera_pose.sum()).backward()
    without = {name for name, parameter in copy.named_parameters() if parameter.grad is None}
    untouched = ("patch_embed_ray_map", "enc_blocks_ray_map", "enc_norm_ray_map", "masked_img", "masked_ray")
    assert without == {name for name, _ in copy.named_parameters() if name.startswith(untouched)}
    assert all(torch.isfinite(p.grad).all() for p in copy.parameters() if p.grad is not None)


def test_the_step_compiles_as_one_graph_that_serves_every_frame(model):
    frames = tiny_frames(2, 4)
    expected = model(frames)
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    model.step = torch.compile(model.step, backend=backend, fullgraph=True, dynamic=False)
    try:
        output = model(frames)
    finally:
        del model.step
    assert_same(output, expected, **CLOSE)
    assert len(graphs) == 1


def test_a_fresh_model_depends_on_the_seed_alone():
    config = CUT3RConfig.from_constructor(constructor_of("tiny"))
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(CUT3R(config).state_dict())
    assert all(torch.equal(value, models[1][key]) for key, value in models[0].items())
    assert not torch.equal(models[0]["pose_token"], models[2]["pose_token"])
    assert all(torch.isfinite(value).all() for value in models[0].values())


def test_a_fresh_model_gives_tokens_of_order_one():
    torch.manual_seed(0)
    model = CUT3R(CUT3RConfig.from_constructor(constructor_of("tiny")))
    output = model(tiny_frames(1, 4), heads=True)
    assert all(torch.isfinite(value).all() for value in tensors(output).values())
    assert 0.5 < output.patch_tokens.std() < 2
