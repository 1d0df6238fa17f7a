"""Probes change the geometry that fusion sees, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.run.small import FRAMES, write_video
from vlm3r.errors import UserError
from vlm3r.evaluation.run.clips import ClipTask, encode, read_clip
from vlm3r.evaluation.run.probes import CHANGING, change_geometry, grey_frames, moved_frames, partners
from vlm3r.inference.ask import encode_clip


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probes")
    for number in range(2):
        write_video(folder / f"v{number}", number)
    return folder / "v0", folder / "v1"


def read(processor, *paths, decode=True):
    side = processor.image_processor.size["width"]
    return read_clip(processor.sampling, side, ClipTask(*paths, decode=decode))


def stages_of(loaded, monkeypatch, clip, probe, store=None):
    """The stages of `encode_video` under a probe, and the clip's tokens."""
    seen = []
    original = loaded[0].encode_video
    with monkeypatch.context() as patch, torch.inference_mode():
        patch.setattr(loaded[0], "encode_video", lambda *a, **k: seen.append(original(*a, **k)) or seen[-1])
        video, tokens = encode(*loaded, clip, probe, 0, store)
    assert len(video) == FRAMES
    return seen[-1], tokens["video_embeddings"]


def test_frames_squashed_while_decoding_give_the_pixels_of_whole_frames(loaded, paths):
    processor = loaded[1]
    whole = processor.load_video(paths[0])
    squashed = read(processor, paths[0]).video
    assert squashed.frames.shape[1] != whole.frames.shape[1]
    assert torch.equal(processor.frame_pixels(squashed.frames), processor.frame_pixels(whole.frames))


def test_without_a_probe_a_clip_is_encoded_as_ever(loaded, monkeypatch, paths):
    expected = encode_clip(*loaded, loaded[1].load_video(paths[0]))["video_embeddings"]
    assert torch.equal(stages_of(loaded, monkeypatch, read(loaded[1], paths[0]), "none")[1], expected)


@pytest.mark.parametrize("probe", CHANGING)
def test_a_probe_changes_geometry_only(loaded, monkeypatch, paths, probe):
    own, tokens = stages_of(loaded, monkeypatch, read(loaded[1], paths[0]), "none")
    other, _ = stages_of(loaded, monkeypatch, read(loaded[1], paths[1]), "none")
    partner = paths[1:] if probe == "swap" else ()
    found, changed = stages_of(loaded, monkeypatch, read(loaded[1], paths[0], *partner), probe)
    assert torch.equal(found.vision_tokens, own.vision_tokens)
    assert not torch.allclose(changed, tokens)
    for name in ("camera_tokens", "patch_tokens"):
        before, after = getattr(own, name), getattr(found, name)
        assert after.shape == before.shape
        if probe == "zero":
            assert not after.any()
        elif probe == "swap":
            assert torch.equal(after, getattr(other, name))
        else:
            same = (after[0, :, None] == before[0, None]).flatten(2).all(dim=2)  # (frame after, frame before)
            assert same.sum(dim=0).tolist() == same.sum(dim=1).tolist() == [1] * FRAMES
            assert not same.diagonal().any()


@pytest.mark.parametrize("parts", [("geometry", "vision"), ("geometry",)])
@pytest.mark.parametrize("probe", ["none", "shuffle", "swap"])
def test_stored_tokens_give_the_tokens_of_decoded_frames(loaded, monkeypatch, paths, parts, probe):
    processor = loaded[1]
    names = [*(["vision_tokens"] if "vision" in parts else []), "camera_tokens", "patch_tokens"]
    stored = {}
    for path in paths:
        stages, _ = stages_of(loaded, monkeypatch, read(processor, path), "none")
        tensors = {name: getattr(stages, name)[0] for name in names}
        stored[path] = SimpleNamespace(tensors=tensors, clip=processor.load_video(path))
    store = SimpleNamespace(parts=parts, read=stored.__getitem__)
    chosen = paths if probe == "swap" else paths[:1]
    _, expected = stages_of(loaded, monkeypatch, read(processor, *chosen), probe)
    clip = read(processor, *chosen, decode="vision" not in parts)
    _, found = stages_of(loaded, monkeypatch, clip, probe, store)
    assert torch.equal(found, expected)


def test_stored_tokens_of_other_frames_are_refused(loaded, paths):
    clip = read(loaded[1], paths[0])
    other = SimpleNamespace(tensors={}, clip=SimpleNamespace(indices=np.array([0, 0, 1, 2])))
    with pytest.raises(UserError, match="of other frames"):
        encode(*loaded, clip, "none", 0, SimpleNamespace(parts=("geometry",), read=lambda _: other))


@given(frames=st.integers(1, 40), key=st.text(max_size=3))
def test_shuffled_frames_are_all_there_and_none_in_its_place(frames, key):
    order = moved_frames(frames, key)
    assert sorted(order) == list(range(frames))
    assert frames == 1 or not (order == np.arange(frames)).any()
    assert np.array_equal(order, moved_frames(frames, key))


@given(count=st.integers(2, 30), seed=st.integers(0, 9))
def test_every_video_gets_the_geometry_of_another_one(count, seed):
    videos = [f"v{i}" for i in range(count)]
    found = partners(videos, seed)
    assert sorted(found) == sorted(found.values()) == sorted(videos)
    assert all(video != other for video, other in found.items())


def test_a_shorter_partner_lends_its_frames_again():
    own, other = torch.zeros(1, 5, 1, 2), torch.arange(3.0).reshape(1, 3, 1, 1).expand(1, 3, 1, 2)
    assert change_geometry("swap", (own, own), (other, other), "")[0][0, :, 0, 0].tolist() == [0, 1, 2, 0, 1]


@pytest.mark.parametrize("stored", [False, True])
def test_a_dummy_video_is_as_long_and_the_same_for_all(loaded, monkeypatch, paths, stored):
    processor = loaded[1]
    own, tokens = stages_of(loaded, monkeypatch, read(processor, paths[0]), "none")
    tensors = {name: getattr(own, name)[0] for name in ("vision_tokens", "camera_tokens", "patch_tokens")}
    entry = SimpleNamespace(tensors=tensors, clip=processor.load_video(paths[0]))
    store = SimpleNamespace(parts=("geometry", "vision"), read=lambda _: entry) if stored else None
    clips = [read(processor, path, decode=not stored) for path in paths]
    found = [stages_of(loaded, monkeypatch, clip, "dummy-video", store)[1] for clip in clips]
    assert torch.equal(found[0], found[1])
    assert found[0].shape == tokens.shape
    assert not torch.allclose(found[0], tokens)


def test_a_dummy_video_is_grey_and_close_to_nothing_after_normalisation(loaded):
    pixels = loaded[1].frame_pixels(grey_frames(2, loaded[1].image_processor.size["width"]))
    assert pixels.abs().max() < 0.005
    assert pixels.unique().numel() == 1


def test_probes_that_do_not_fit_are_named():
    tokens = torch.zeros(1, 2, 1, 2)
    with pytest.raises(ValueError, match="swap"):
        change_geometry("swap", (tokens, tokens), None, "")
    with pytest.raises(UserError, match="at least two videos"):
        partners(["one"], 0)
