from __future__ import annotations

import gc
import weakref

import pytest
import torch
from safetensors.torch import load, save

from tests.cut3r.cut3r_golden import model_of, tiny_frames

CLOSE = {"rtol": 1e-5, "atol": 2e-5}


@pytest.fixture
def model():
    return model_of("tiny")


@pytest.mark.parametrize("state_update", ["cut3r", "ttt3r"])
@pytest.mark.parametrize("sizes", [[1] * 6, [2, 4], [3, 1, 2]])
def test_frames_one_by_one_in_chunks_or_at_once_give_the_same(model, sizes, state_update):
    frames = tiny_frames(2, 6)
    reset = torch.zeros(2, 6, dtype=torch.bool)
    reset[1, 2] = True
    with torch.no_grad():
        whole = model(frames, reset=reset, heads=True, state_update=state_update)
    stream = model.stream(2, heads=True, state_update=state_update)
    parts = [
        stream.push(chunk, reset=flags)
        for chunk, flags in zip(frames.split(sizes, dim=1), reset.split(sizes, dim=1), strict=True)
    ]
    for name in ("camera_tokens", "patch_tokens", "camera_pose", "rgb", "conf"):
        joined = torch.cat([getattr(part, name) for part in parts], dim=1)
        torch.testing.assert_close(joined, getattr(whole, name), **CLOSE)
    torch.testing.assert_close(parts[-1].state, whole.state, **CLOSE)
    torch.testing.assert_close(parts[-1].memory, whole.memory, **CLOSE)
    assert stream.frames_seen == 6


@pytest.mark.parametrize("state_update", ["cut3r", "ttt3r"])
def test_a_restored_stream_continues_with_the_same_bits(model, state_update):
    frames = tiny_frames(1, 6)
    for cut in (0, 1, 3):
        stream = model.stream(state_update=state_update)
        for t in range(cut):
            stream.push(frames[:, t : t + 1])
        stored = save(stream.state_dict())
        resumed = model.stream(state_update=state_update)
        resumed.load_state_dict(load(stored))
        assert resumed.frames_seen == cut
        for t in range(cut, 6):
            ours, theirs = stream.push(frames[:, t : t + 1]), resumed.push(frames[:, t : t + 1])
            assert torch.equal(ours.camera_tokens, theirs.camera_tokens)
            assert torch.equal(ours.patch_tokens, theirs.patch_tokens)
            assert torch.equal(ours.memory, theirs.memory)


def test_a_saved_state_is_a_copy(model):
    stream = model.stream()
    stream.push(tiny_frames(1, 2))
    saved = stream.state_dict()
    before = {name: value.clone() for name, value in saved.items()}
    stream.push(tiny_frames(1, 2, seed=1))
    assert all(torch.equal(value, saved[name]) for name, value in before.items())
    other = model.stream()
    other.load_state_dict(saved)
    saved["state"].zero_()
    assert other.state_dict()["state"].abs().sum() > 0


def test_a_state_that_does_not_fit_is_refused(model):
    saved = model.stream(2).state_dict()
    with pytest.raises(ValueError, match=r"state must be .*\(1, 28, 40\).* got .*\(2, 28, 40\)"):
        model.stream(1).load_state_dict(saved)
    with pytest.raises(ValueError, match="has the tensors"):
        model.stream(2).load_state_dict({name: saved[name] for name in ("state", "memory")})
    with pytest.raises(ValueError, match=r"batch \(axis 0\) must be 2, the stream's, got 1"):
        model.stream(2).push(tiny_frames(1, 1))


def test_elements_of_a_streamed_batch_may_have_different_masks(model):
    frames, rays = tiny_frames(2, 3), torch.rand(2, 3, 48, 64, 6)
    img_mask = torch.tensor([[True, True, False], [True, False, True]])
    ray_mask = torch.tensor([[False, True, True], [False, False, True]])
    both = model.stream(2).push(frames, img_mask=img_mask, ray_maps=rays, ray_mask=ray_mask)
    for i in range(2):
        row = slice(i, i + 1)
        one = model.stream(1).push(frames[row], img_mask=img_mask[row], ray_maps=rays[row], ray_mask=ray_mask[row])
        torch.testing.assert_close(both.patch_tokens[row], one.patch_tokens, **CLOSE)
        torch.testing.assert_close(both.state[row], one.state, **CLOSE)


def test_frames_may_change_size_within_a_stream(model):
    stream = model.stream()
    stream.push(tiny_frames(1, 1))
    output = stream.push(tiny_frames(1, 1, height=32, width=80))
    assert output.patch_tokens.shape == (1, 1, 10, 40)


def test_a_long_stream_keeps_nothing_but_its_state(model):
    stream = model.stream()
    frame = tiny_frames(1, 1, height=16, width=16)

    def living() -> int:
        gc.collect()
        return sum(value.numel() for value in gc.get_objects() if type(value) is torch.Tensor)

    counts, outputs = {}, []
    for t in range(300):
        output = stream.push(frame)
        outputs.append(weakref.ref(output.patch_tokens))
        assert output.state.grad_fn is None
        del output
        if t in (10, 299):
            counts[t] = living()
    assert counts[10] == counts[299]
    assert not any(reference() is not None for reference in outputs)
    assert stream.frames_seen == 300
    assert all(torch.isfinite(value).all() for value in stream.state_dict().values())
