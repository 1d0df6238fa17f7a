"""Open videos in folders: the same answers afterwards, and nothing else is taken for one."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers.normalizers import Lowercase

from tests.inference.conftest import loaded_with_noise
from vlm3r.checkpoints.loading import load
from vlm3r.errors import UserError
from vlm3r.inference import saved as saved_module
from vlm3r.inference.fingerprint import weight_hashes
from vlm3r.inference.opened import OpenedVideo, open_video
from vlm3r.inference.saved import RECORD, TENSORS

QUESTIONS = ("How many chairs are there?", "Look: <image> What is it?", "Why?", "<image>\nWhere?")


@pytest.fixture(scope="module")
def opened(noisy, video):
    return open_video(*noisy, video)


@pytest.fixture(scope="module")
def folder(opened, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "room"
    opened.save(folder)
    return folder


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_answers_after_restoring_are_the_same_ids(noisy, opened, folder):
    restored = OpenedVideo.restore(*noisy, folder)
    assert restored.generate(QUESTIONS, 6) == opened.generate(QUESTIONS, 6)
    assert restored.ask(QUESTIONS, 6) == opened.ask(QUESTIONS, 6)
    assert restored.prefix_tokens == opened.prefix_tokens
    assert sorted(path.name for path in folder.iterdir()) == [RECORD, TENSORS]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_questions_without_a_video_are_saved_too(noisy, tmp_path):
    opened = open_video(*noisy)
    opened.save(tmp_path / "text")
    assert OpenedVideo.restore(*noisy, tmp_path / "text").generate(["Why?"], 6) == opened.generate(["Why?"], 6)


def test_a_video_may_be_saved_in_the_middle_of_a_stream_and_after_questions(noisy, video, folder, tmp_path):
    opened = open_video(*noisy, video)
    opened.ask(QUESTIONS, 6)
    stream = opened.stream("Why?", 6)
    next(stream)
    opened.save(tmp_path / "room")
    assert (tmp_path / "room" / TENSORS).read_bytes() == (folder / TENSORS).read_bytes()


def test_hashes_of_the_weights_may_be_computed_once(noisy, opened, folder, monkeypatch):
    hashes = weight_hashes(noisy[0])
    monkeypatch.setattr(saved_module, "weight_hashes", lambda _: 1 / 0)
    assert OpenedVideo.restore(*noisy, folder, hashes).generate(QUESTIONS, 3) == opened.generate(QUESTIONS, 3)


def test_other_weights_are_named(noisy, folder):
    model, processor = noisy
    other = copy.deepcopy(model)
    other.projector.linear_1.bias.data[0] += 1
    with pytest.raises(UserError, match=rf"{folder}: was saved with other weights \(projector\); .*save it anew"):
        OpenedVideo.restore(other, processor, folder)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"pool_mode": "max"}, "pool_mode 'bilinear' instead of 'max'"),
        ({"newline_position": "frame"}, "newline_position 'grid' instead of 'frame'"),
        ({"add_time_instruction": True}, "add_time_instruction False instead of True"),
    ],
)
def test_other_prompt_settings_are_named(noisy, folder, change, expected):
    model, processor = load(device="cpu", dtype="float32", config_overrides=change)
    with pytest.raises(UserError, match=f"{folder}: was saved with {expected}; "):
        OpenedVideo.restore(model, processor, folder, weight_hashes(noisy[0]))


def test_another_precision_is_named(folder, noisy):
    model, processor = load(device="cpu", dtype="bfloat16")
    with pytest.raises(UserError, match="dtype 'float32' instead of 'bfloat16'"):
        OpenedVideo.restore(model, processor, folder, weight_hashes(noisy[0]))


def test_another_model_configuration_is_refused_and_another_kernel_is_not(noisy, opened, folder):
    model, processor = loaded_with_noise("eager")
    assert OpenedVideo.restore(model, processor, folder).generate(QUESTIONS, 3) == opened.generate(QUESTIONS, 3)
    model.config.qwen2.rope_parameters = {"rope_type": "default", "rope_theta": 10.0}
    with pytest.raises(UserError, match="another model configuration"):
        OpenedVideo.restore(model, processor, folder)


def test_another_tokenizer_is_refused(noisy, folder):
    model, processor = noisy
    other = copy.deepcopy(processor)
    other.tokenizer.backend_tokenizer.normalizer = Lowercase()
    with pytest.raises(UserError, match=f"{folder}: was saved with another tokenizer"):
        OpenedVideo.restore(model, other, folder)


def test_a_model_in_training_mode_is_not_restored_to(folder):
    model, processor = loaded_with_noise()
    with pytest.raises(ValueError, match=r"model\.eval"):
        OpenedVideo.restore(model.train(), processor, folder)


def test_what_stands_there_is_not_overwritten(opened, folder, tmp_path):
    before = (folder / RECORD).read_bytes()
    with pytest.raises(UserError, match=f"{folder}: exists already"):
        opened.save(folder)
    assert (folder / RECORD).read_bytes() == before
    (tmp_path / "file").write_text("hello")
    with pytest.raises(UserError, match="exists already"):
        opened.save(tmp_path / "file")


def test_a_write_that_fails_leaves_nothing(opened, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved_module, "file_hash", full)
    with pytest.raises(UserError, match="no space left"):
        opened.save(tmp_path / "room")
    assert list(tmp_path.iterdir()) == []


def refuse(noisy, folder, expected):
    with pytest.raises(UserError) as refusal:
        OpenedVideo.restore(*noisy, folder)
    message = str(refusal.value)
    assert str(folder) in message
    assert expected in message
    assert ";" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", [RECORD, TENSORS])
def test_a_missing_or_shortened_file_is_named(noisy, copied, name):
    file = copied / name
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    refuse(noisy, copied, name)
    file.unlink()
    refuse(noisy, copied, name)
    shutil.rmtree(copied)
    refuse(noisy, copied, "no saved video")


def change_record(folder, **entries):
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps(record | entries))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"format": 99}, "format 99"),
        ({"settings": None}, "no record of its settings"),
        ({"settings": {"weights": 3}}, "other weights"),
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"video": 5}, "not described"),
        ({"video": {}}, "not described"),
        ({"video": {"indices": [10**30]}}, "not described"),
        ({"video": None}, "not expected"),
    ],
)
def test_a_record_of_something_else_is_named(noisy, copied, entries, expected):
    change_record(copied, **entries)
    refuse(noisy, copied, expected)


def test_a_video_of_another_length_is_refused(noisy, copied):
    video = json.loads((copied / RECORD).read_text())["video"]
    shorter = {name: value[:-1] if isinstance(value, list) else value for name, value in video.items()}
    change_record(copied, video=shorter)
    refuse(noisy, copied, "number of visual tokens")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t | {"keys.0": t["keys.0"][:, :, :-1].contiguous()}, "keys.0"),
        (lambda t: t | {"values.1": t["values.1"].half()}, "values.1"),
        (lambda t: t | {"video_embeddings": t["video_embeddings"][0].clone()}, "video_embeddings"),
        (lambda t: t | {"video_embeddings": t["video_embeddings"][1:].clone()}, "visual tokens"),
        (lambda t: {name: value for name, value in t.items() if name != "keys.2"}, "keys.2"),
        (lambda t: t | {"more": torch.zeros(2)}, "more"),
        (lambda t: t | {"prefix": t["prefix"].float()}, "no ids of a prompt"),
        (lambda t: t | {"prefix": t["prefix"].flip(0)}, "another tokenizer"),
    ],
)
def test_tensors_that_do_not_fit_are_named(noisy, copied, change, expected):
    changed = change(load_file(copied / TENSORS))
    (copied / TENSORS).unlink()
    save_file(changed, copied / TENSORS)
    change_record(copied, sha256=hashlib.sha256((copied / TENSORS).read_bytes()).hexdigest())
    refuse(noisy, copied, expected)


def test_a_pickle_in_the_place_of_the_tensors_is_not_opened(noisy, copied):
    torch.save({"prefix": torch.zeros(1)}, copied / TENSORS)
    change_record(copied, sha256=hashlib.sha256((copied / TENSORS).read_bytes()).hexdigest())
    refuse(noisy, copied, TENSORS)
