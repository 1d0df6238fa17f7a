"""The last few open videos."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vlm3r.errors import UserError
from vlm3r.inference import video_cache
from vlm3r.inference.opened import open_video
from vlm3r.inference.video_cache import VideoCache

NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Four folders of two frames each, and a copy of the first under another name."""
    root = tmp_path_factory.mktemp("clips")
    for seed, name in enumerate(NAMES):
        (root / name).mkdir()
        for frame in range(2):
            pixels = np.random.default_rng((seed, frame)).integers(0, 256, (30, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{frame}.png")
    shutil.copytree(root / "a", root / "copy of a")
    return root


@pytest.fixture
def counted(noisy, monkeypatch):
    """The model, and a list that grows with each encoding."""
    encoded = []

    def counting(model, processor, video):
        encoded.append(video.source)
        return open_video(model, processor, video)

    monkeypatch.setattr(video_cache, "open_video", counting)
    monkeypatch.setattr(noisy[1], "num_frames", 2)
    return noisy, encoded


def test_answers_are_those_of_the_video_opened_alone(noisy, folders):
    cache = VideoCache(*noisy, most=2)
    alone = open_video(*noisy, noisy[1].load_video(folders / "b"))
    for _ in range(2):
        assert cache.open(folders / "b").generate(["Why?", "Where?"], 4) == alone.generate(["Why?", "Where?"], 4)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(st.sampled_from(NAMES), max_size=12), most=st.integers(1, 4))
def test_it_encodes_when_a_list_of_the_last_used_says_so(counted, folders, asked, most):
    noisy, encoded = counted
    encoded.clear()
    cache, model = VideoCache(*noisy, most=most), OrderedDict()
    expected = 0
    for name in asked:
        expected += name not in model
        model[name] = True
        model.move_to_end(name)
        if len(model) > most:
            model.popitem(last=False)
        opened = cache.open(folders / name)
        assert opened.video is not None
        assert len(encoded) == expected
        assert len(cache) == len(model)


def test_a_video_is_known_by_its_content_and_the_choice_of_frames(counted, folders, monkeypatch, tmp_path):
    noisy, encoded = counted
    cache = VideoCache(*noisy)
    first = cache.open(folders / "a")
    assert cache.open(folders / "copy of a") is first
    assert cache.open(folders / "a", num_frames=2) is first
    assert cache.open(folders / "a", num_frames=1) is not first
    monkeypatch.setattr(noisy[1], "add_time_instruction", True)
    assert cache.open(folders / "a") is not first
    monkeypatch.undo()
    changed = shutil.copytree(folders / "a", tmp_path / "a")
    shutil.copy(folders / "b" / "0.png", changed / "0.png")
    assert cache.open(changed) is not first
    assert len(encoded) == 3


def test_a_video_that_threads_open_at_once_is_encoded_once(counted, folders):
    noisy, encoded = counted
    cache = VideoCache(*noisy)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(cache.open, [folders / "a", folders / "copy of a"] * 4))
    assert all(opened is found[0] for opened in found)
    assert len(encoded) == len(cache) == 1


def test_memory_is_that_of_what_is_kept(noisy, folders):
    cache = VideoCache(*noisy, most=2)
    assert cache.nbytes == 0
    for name in NAMES:
        cache.open(folders / name, num_frames=2)
    text, tokens = noisy[0].config.qwen2, cache.open(folders / "d", num_frames=2).prefix_tokens
    keys = 2 * text.num_hidden_layers * text.num_key_value_heads * text.hidden_size // text.num_attention_heads * tokens
    assert cache.nbytes == 2 * 4 * (keys + noisy[1].layout.video_tokens(2) * text.hidden_size)
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)


def test_a_video_that_cannot_be_read_costs_no_other_its_place(noisy, folders, tmp_path):
    cache = VideoCache(*noisy, most=1)
    kept = cache.open(folders / "a", num_frames=2)
    (tmp_path / "bad.mp4").write_text("hello")
    for path in ("absent.mp4", "bad.mp4", "."):
        with pytest.raises(UserError, match=str(tmp_path)):
            cache.open(tmp_path / path)
    assert cache.open(folders / "a", num_frames=2) is kept


def test_a_cache_of_nothing_is_refused(noisy):
    with pytest.raises(ValueError, match="at least 1"):
        VideoCache(*noisy, most=0)
